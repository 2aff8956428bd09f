wm_test(settings SOURCES settings_test.c LIBS wm_settings)
wm_fuzz(settings SOURCES ${PROJECT_SOURCE_DIR}/tests/fuzz/settings.c LIBS wm_settings)

wm_test(settings SOURCES settings_test.c LIBS wm_settings)
wm_test(settings_memory SOURCES settings_memory_test.c LIBS wm_settings)
target_link_options(test_settings_memory PRIVATE
    LINKER:--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup)
wm_fuzz(settings SOURCES ${PROJECT_SOURCE_DIR}/tests/fuzz/settings.c LIBS wm_settings)

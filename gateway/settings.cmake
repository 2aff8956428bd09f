# The settings stand alone, so that their tests and their fuzzer link nothing else.
add_library(wm_settings STATIC
    files.c
    settings.c
    settings_findings.c
    settings_read.c
    settings_rules.c
    settings_schema.c
    settings_tree.c
    settings_values.c)
target_link_libraries(wm_settings PUBLIC wm_base PkgConfig::YAML)

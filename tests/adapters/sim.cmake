# The simulator: alone, and with the real adapter against it; its page, in a browser, with the whole program behind it.
add_library(sim_world STATIC ${CMAKE_CURRENT_LIST_DIR}/sim_world.c)
target_link_libraries(sim_world PUBLIC wm_sim PkgConfig::CMOCKA)
foreach(part webhooks graph verbs adapter)
    wm_test(sim_${part} SOURCES ${CMAKE_CURRENT_LIST_DIR}/sim_${part}_test.c LIBS sim_world wm_adapters)
endforeach()
wm_script_test(page COMMAND python3 tests/e2e/page.py LABELS e2e)
wm_fuzz(sim SOURCES ${PROJECT_SOURCE_DIR}/tests/fuzz/sim.c LIBS wm_sim)

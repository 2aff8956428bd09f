# The simulator: alone, and with the real adapter against it; its page, in a browser, with the whole program behind it.
wm_test(sim SOURCES ${CMAKE_CURRENT_LIST_DIR}/sim_test.c LIBS wm_sim wm_adapters)
wm_script_test(page COMMAND python3 tests/e2e/page.py LABELS e2e)
wm_fuzz(sim SOURCES ${PROJECT_SOURCE_DIR}/tests/fuzz/sim.c LIBS wm_sim)

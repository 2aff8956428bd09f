# The simulator: alone, and with the real adapter against it; its page, in a browser, with the whole program behind it.
wm_test(sim SOURCES ${CMAKE_CURRENT_LIST_DIR}/sim_test.c LIBS wm_sim wm_adapters)

wm_test(sim_host SOURCES ${CMAKE_CURRENT_LIST_DIR}/sim_host_test.c ${PROJECT_SOURCE_DIR}/gateway/sim_host.c
    LIBS wm_sim wm_http wm_courier LABELS threads)

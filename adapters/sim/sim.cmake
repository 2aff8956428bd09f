# Meta's side of WhatsApp, for `wingman sim`, `wingman demo` and tests. The page's files become a C file at build time.
set(sim_page ${CMAKE_CURRENT_LIST_DIR}/page)
set(sim_page_files index.html style.css app.js icon.svg shape-1.jpg shape-2.jpg shape-3.jpg)
list(TRANSFORM sim_page_files PREPEND ${sim_page}/ OUTPUT_VARIABLE sim_page_paths)
list(JOIN sim_page_files "," sim_page_names)
set(sim_page_c ${CMAKE_CURRENT_BINARY_DIR}/sim_page_files.c)
add_custom_command(
    OUTPUT ${sim_page_c}
    COMMAND ${CMAKE_COMMAND} -DFOLDER=${sim_page} -DFILES=${sim_page_names} -DOUTPUT=${sim_page_c}
        -P ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
    DEPENDS ${sim_page_paths} ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
    COMMENT "Embedding the simulator's page" VERBATIM)

add_library(wm_sim STATIC
    sim/faults.c
    sim/graph.c
    sim/graph_error.c
    sim/media.c
    sim/page.c
    sim/panel.c
    sim/payload.c
    sim/people.c
    sim/sending.c
    sim/sim.c
    sim/statuses.c
    sim/verbs.c
    sim/view.c
    sim/webhooks.c
    ${sim_page_c})
target_link_libraries(wm_sim PUBLIC wm_sessions PkgConfig::JANSSON PkgConfig::OPENSSL)

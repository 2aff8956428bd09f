# The HTTP server, and the text form of metrics. Included by gateway/CMakeLists.txt, so paths begin at gateway/.
add_library(wm_http STATIC
    http/answer.c
    http/chunked.c
    http/connection.c
    http/deadlines.c
    http/exchange.c
    http/head.c
    http/listen.c
    http/parser.c
    http/peers.c
    http/sending.c
    http/server.c
    http/target.c
    http/tls.c
    metrics.c)
target_include_directories(wm_http SYSTEM PRIVATE ${EV_INCLUDE})
target_link_libraries(wm_http PUBLIC wm_base PkgConfig::WEBSOCKETS PkgConfig::OPENSSL ${EV_LIBRARY})

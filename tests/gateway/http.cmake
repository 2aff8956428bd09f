# The HTTP server: tests, fuzzer, and the server with nothing behind it that tests/bench/ingest measures.
wm_test(http_parser SOURCES http_parser_test.c LIBS wm_http)
wm_test(http_parts SOURCES http_parts_test.c LIBS wm_http)
wm_test(http_server SOURCES http_server_test.c http_peer.c LIBS wm_http LABELS threads)
wm_test(http_stream SOURCES http_stream_test.c http_peer.c LIBS wm_http LABELS threads)
wm_test(http_crowd SOURCES http_crowd_test.c http_peer.c LIBS wm_http LABELS threads)
wm_test(http_tls SOURCES http_tls_test.c http_peer.c LIBS wm_http LABELS threads)
wm_test(metrics SOURCES metrics_test.c LIBS wm_http)
wm_fuzz(http SOURCES ${PROJECT_SOURCE_DIR}/tests/fuzz/http.c LIBS wm_http)

add_executable(bench_ingest_null ${PROJECT_SOURCE_DIR}/tests/bench/ingest_null.c)
target_link_libraries(bench_ingest_null PRIVATE wm_http)

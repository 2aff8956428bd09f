# The HTTP server: tests, fuzzer, and the server with nothing behind it that tests/bench/ingest measures.
add_executable(bench_ingest_null ${PROJECT_SOURCE_DIR}/tests/bench/ingest_null.c)
target_link_libraries(bench_ingest_null PRIVATE wm_http)

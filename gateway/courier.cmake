# HTTP out. Stands alone, like the HTTP server: what needs a transport links this, tests bring their own.
add_library(wm_courier STATIC
    courier.c
    courier_address.c
    courier_errand.c)
target_link_libraries(wm_courier PUBLIC wm_sessions PkgConfig::CURL)

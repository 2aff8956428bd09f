wm_test(courier SOURCES courier_test.c LIBS wm_courier LABELS threads)

/* path_avx512.c -- the hot loops, compiled for AVX-512 with VNNI (Ice Lake, Zen 4 and later). */
#define LANES_AVX512
#define LANES_PATH wm_path_avx512

#include "kernels/cpu/loops.h"

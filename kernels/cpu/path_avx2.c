/* path_avx2.c -- the hot loops, compiled for AVX2 with FMA and F16C (Haswell, Zen and later). */
#define LANES_AVX2
#define LANES_PATH wm_path_avx2

#include "kernels/cpu/loops.h"

/* path_avx2.c -- the hot loops, compiled for AVX2 with FMA and F16C (Haswell, Zen and later). */
#define LANES_AVX2

#include "kernels/cpu/lanes.h"

#include "kernels/cpu/attend.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/spin.h"

const struct wm_cpu_path wm_path_avx2 = {
    .name = LANES_NAME,
    .text = LANES_TEXT,
    .product = product,
    .prepare = prepare,
    .quantize = quantize,
    .attend_start = attend_start,
    .attend_block = attend_block,
    .softmax_sum = softmax_sum,
    .spin_dot4 = spin_dot4,
    .spin_fma = spin_fma,
    .read = read_memory,
    .rows = LANES_ROWS,
};

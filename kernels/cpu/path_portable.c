/* path_portable.c -- the hot loops, compiled for any machine. */
#define LANES_PORTABLE

#include "kernels/cpu/lanes.h"

#include "kernels/cpu/attend.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/spin.h"

const struct wm_cpu_path wm_path_portable = {
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

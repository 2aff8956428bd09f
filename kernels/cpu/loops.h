/* loops.h -- the hot loops and their table, once for each kind of machine: a path_*.c says which lanes to use and what
 * to call the table (LANES_PATH), is compiled with its own flags, and holds nothing else.
 */
#include "kernels/cpu/lanes.h"

#include "kernels/cpu/attend.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/rows.h"

#include "kernels/cpu/norms.h" /* stands on rows.h */
#include "kernels/cpu/spin.h"

const struct wm_cpu_path LANES_PATH = {
    .name = LANES_NAME,
    .text = LANES_TEXT,
    .product = product,
    .prepare = prepare,
    .quantize = quantize,
    .attend_start = attend_start,
    .attend_block = attend_block,
    .rms_factor = rms_factor,
    .layer_norm = layer_norm,
    .softmax_columns = softmax_columns,
    .softmax_sum = softmax_sum,
    .spin_dot4 = spin_dot4,
    .spin_fma = spin_fma,
    .read = read_memory,
    .rows = LANES_ROWS,
};

/* types.h -- the number formats that weights are stored in, and their exact values.
 *
 * The enum values are GGUF's own type numbers (ggml's `enum ggml_type`), so a file's number is ours. A "block"
 * is the smallest unit: `block` consecutive elements of one row in `bytes` bytes.
 */
#ifndef WM_KERNELS_TYPES_H
#define WM_KERNELS_TYPES_H

#include <stddef.h>
#include <stdint.h>

/* id, GGUF number, name, elements per block, bytes per block */
#define WM_TYPES(X)                                                                                          \
    X(F32, 0, "F32", 1, 4)                                                                                   \
    X(F16, 1, "F16", 1, 2)                                                                                   \
    X(Q4_0, 2, "Q4_0", 32, 18)                                                                               \
    X(Q4_1, 3, "Q4_1", 32, 20)                                                                               \
    X(Q8_0, 8, "Q8_0", 32, 34)                                                                               \
    X(Q6_K, 14, "Q6_K", 256, 210)                                                                            \
    X(BF16, 30, "BF16", 1, 2)

enum wm_type {
#define X(id, number, name, block, bytes) WM_TYPE_##id = number,
    WM_TYPES(X)
#undef X
};

struct wm_type_info {
    enum wm_type type;
    const char *name;
    uint32_t block; /* elements */
    uint32_t bytes; /* of one block */
};

/* What we know of GGUF type `number`; NULL for one that this build cannot read. Any thread. */
const struct wm_type_info *wm_type_info(uint32_t number);

/* out[0..count) = the exact values of `count` elements at `blocks` (count a multiple of the type's block).
 * Products of scale and code are rounded once, to float. No alignment is needed. Any thread. */
void wm_dequantize(enum wm_type type, const void *blocks, size_t count, float *out);

#endif

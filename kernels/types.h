/* types.h -- the number formats that weights are stored in, and their exact values.
 *
 * The enum values are GGUF's own type numbers (ggml's `enum ggml_type`), so a file's number is ours. Formats that only
 * other files have are numbered from WM_TYPE_OWN on, where GGUF has none. A "block" is the smallest unit: `block`
 * consecutive elements of one row in `bytes` bytes.
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
    X(Q5_0, 6, "Q5_0", 32, 22)                                                                               \
    X(Q5_1, 7, "Q5_1", 32, 24)                                                                               \
    X(Q8_0, 8, "Q8_0", 32, 34)                                                                               \
    X(Q2_K, 10, "Q2_K", 256, 84)                                                                             \
    X(Q3_K, 11, "Q3_K", 256, 110)                                                                            \
    X(Q4_K, 12, "Q4_K", 256, 144)                                                                            \
    X(Q5_K, 13, "Q5_K", 256, 176)                                                                            \
    X(Q6_K, 14, "Q6_K", 256, 210)                                                                            \
    X(IQ4_NL, 20, "IQ4_NL", 32, 18)                                                                          \
    X(IQ4_XS, 23, "IQ4_XS", 256, 136)                                                                        \
    X(BF16, 30, "BF16", 1, 2)                                                                                \
    X(F8_E4M3, 1000, "F8_E4M3", 1, 1)                                                                        \
    X(I4, 1001, "I4", 8, 4)

enum { WM_TYPE_OWN = 1000 }; /* the first number that no GGUF file may use */

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

/* What we know of type `number`; NULL for one that this build cannot read. Any thread. */
const struct wm_type_info *wm_type_info(uint32_t number);

/* out[0..count) = the exact values of `count` elements at `blocks` (count a multiple of the type's block).
 * Products of scale and code are rounded once, to float. No alignment is needed. Any thread. */
void wm_dequantize(enum wm_type type, const void *blocks, size_t count, float *out);

/* --- pieces of blocks, for a face that packs codes and scales itself ------------------------------------ */

/* Q4_K and Q5_K: the 6-bit scale and minimum of elements [32 j, 32 j + 32), from the twelve bytes that hold them. */
void wm_k_scale(const uint8_t *scales, int j, uint8_t *scale, uint8_t *min);

/* Q3_K: the scale, -32..31, of elements [16 j, 16 j + 16) of a block. */
int wm_q3_k_scale(const uint8_t *block, int j);

/* IQ4_XS: the scale, -32..31, of elements [32 j, 32 j + 32) of a block. */
int wm_iq4_xs_scale(const uint8_t *block, int j);

/* IQ4_NL and IQ4_XS: what the codes 0..15 stand for. */
#define WM_IQ4_VALUES(X)                                                                                     \
    X(-127) X(-104) X(-83) X(-65) X(-49) X(-35) X(-22) X(-10) X(1) X(13) X(25) X(38) X(53) X(69) X(89) X(113)

#endif

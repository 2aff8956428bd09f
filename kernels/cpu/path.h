/* path.h -- what the cpu face needs from a kind of processor, and the data layouts that all kinds share.
 *
 *   weights      "panels" of 16 outputs, see `enum wm_cpu_format`
 *   activations  "tiles" of up to WM_TILE_ROWS rows, one group (or input) of all rows behind the other, so that
 *                every address inside a product is a constant away from one pointer:
 *                  quantised:  struct x_group [cols / 32, rounded up][tile_rows]
 *                  floats:     float          [cols][tile_rows]
 *   K            per layer and head of a block: codes [2][head_dim / 2][16 positions][2 dims], float scales [32]
 *   V            codes [16 pairs of positions][head_dim up to a multiple of 16][2 positions], float scales [32]
 *
 * In each of them a load of 16 lanes meets a broadcast of what the rows bring: no shuffles, no sums across lanes.
 */
#ifndef WM_KERNELS_CPU_PATH_H
#define WM_KERNELS_CPU_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/ops.h"

enum {
    WM_PANEL = 16,     /* outputs */
    WM_TILE_ROWS = 12, /* rows of activations */
    WM_GROUP = 32      /* inputs that share a scale of the activations */
};

/* How a panel holds 16 outputs: as segments, which are a head and then groups of 32 inputs. A line is 64
 * bytes: [16 outputs][4 inputs].
 *
 *   NIBBLES  4 lines: inputs 8i.. of line i in the low halves of its bytes, inputs 8i + 4.. in the high ones
 *   FIVES    nibbles, then a line whose bit i is the fifth bit of inputs 4i..
 *   SIXES    nibbles, then 2 lines: pair of bits i % 4 of line i / 4 is the fifth and sixth bit of inputs 4i..
 *   BYTES    8 lines
 *
 * w = scale * (code - offset), or scale * code + min; table formats take the WM_IQ4_VALUES of a nibble, plus
 * 128, for its code. Scales and mins are f16 or f32, one for each output, and lie behind the codes of a
 * group, or in the head for the whole segment. "Parts" are signed bytes behind the codes, one for each
 * output, that multiply the head's; two of them serve the first and the last 16 inputs of the group.
 *
 * id, bytes of a head, how the codes of a group lie, bytes behind them */
#define WM_CPU_FORMATS(X)                                                                                    \
    X(U4, 0, NIBBLES, 32)     /* f16 scales; offset 8: Q4_0 */                                               \
    X(U4_MIN, 0, NIBBLES, 64) /* f16 scales, f16 mins: Q4_1 */                                               \
    X(U5, 0, FIVES, 32)       /* f16 scales; offset 16: Q5_0 */                                              \
    X(U5_MIN, 0, FIVES, 64)   /* f16 scales, f16 mins: Q5_1 */                                               \
    X(T4, 0, NIBBLES, 32)     /* of the table; f16 scales; offset 128: IQ4_NL */                             \
    X(U8, 0, BYTES, 32)       /* f16 scales; offset 128: Q8_0 */                                             \
    X(S4, 64, NIBBLES, 0)     /* head: f32 scales; offset 8: I4 */                                           \
    X(K4, 64, NIBBLES, 32)    /* head: f16 scales, f16 mins; parts of scales, of mins: Q4_K */               \
    X(K5, 64, FIVES, 32)      /* head: f16 scales, f16 mins; parts of scales, of mins: Q5_K */               \
    X(K4_16, 64, NIBBLES, 64) /* head: f16 scales, f16 mins; two parts of scales, of mins: Q2_K, Q3_K */     \
    X(KT4, 32, NIBBLES, 16)   /* of the table; head: f16 scales; parts; offset 128: IQ4_XS */                \
    X(K6_16, 32, SIXES, 32)   /* head: f16 scales; two parts; offset 32: Q6_K */                             \
    X(F8, 64, INPUT, 16)      /* an input at a time, E4M3 of 16 outputs; head: f32, 256 times the scales */  \
    X(F32, 0, INPUT, 64)                                                                                     \
    X(F16, 0, INPUT, 32)                                                                                     \
    X(BF16, 0, INPUT, 32)

/* Bytes of the codes of a group. */
enum wm_cpu_codes {
    WM_CODES_INPUT = 0,
    WM_CODES_NIBBLES = 4 * 64,
    WM_CODES_FIVES = 5 * 64,
    WM_CODES_SIXES = 6 * 64,
    WM_CODES_BYTES = 8 * 64
};

enum wm_cpu_format {
#define X(id, head, codes, tail) WM_FORMAT_##id,
    WM_CPU_FORMATS(X)
#undef X
        WM_FORMATS
};

static inline size_t wm_format_head(enum wm_cpu_format format)
{
#define X(id, head, codes, tail) [WM_FORMAT_##id] = (head),
    static const size_t bytes[WM_FORMATS] = {WM_CPU_FORMATS(X)};
#undef X
    return bytes[format];
}

static inline enum wm_cpu_codes wm_format_codes(enum wm_cpu_format format)
{
#define X(id, head, codes, tail) [WM_FORMAT_##id] = WM_CODES_##codes,
    static const enum wm_cpu_codes of[WM_FORMATS] = {WM_CPU_FORMATS(X)};
#undef X
    return of[format];
}

/* Bytes of a group, or of an input. */
static inline size_t wm_format_group(enum wm_cpu_format format)
{
#define X(id, head, codes, tail) [WM_FORMAT_##id] = WM_CODES_##codes + (tail),
    static const size_t bytes[WM_FORMATS] = {WM_CPU_FORMATS(X)};
#undef X
    return bytes[format];
}

static inline bool wm_format_is_float(enum wm_cpu_format format)
{
    return wm_format_codes(format) == WM_CODES_INPUT;
}

/* Groups that `inputs` take (inputs themselves for the float formats). */
static inline size_t wm_format_units(enum wm_cpu_format format, size_t inputs)
{
    return wm_format_is_float(format) ? inputs : (inputs + WM_GROUP - 1) / WM_GROUP;
}

/* Where the segment of input `from` (a multiple of `segment`) begins in a panel; its end, for from = cols. */
static inline size_t wm_segment_at(enum wm_cpu_format format, size_t segment, size_t from)
{
    return (from + segment - 1) / segment * wm_format_head(format) +
           wm_format_units(format, from) * wm_format_group(format);
}

/* 32 activations of one row: x = scale * q. What the offsets of the weights add to a dot product of codes is
 * known here already, so the integer sums start from it. One cache line. */
struct x_group {
    int8_t q[WM_GROUP];
    float scale;
    float sum;           /* scale * sum of q, for formats with a min */
    int32_t minus_8;     /* -8 * sum of q */
    int32_t minus_16;    /* -16 * sum of q */
    int32_t minus_128;   /* -128 * sum of q */
    int32_t minus_32[2]; /* -32 * sum of q, of either half */
    int32_t unused;
};

/* One panel against one tile. */
struct wm_product {
    enum wm_cpu_format format;
    const uint8_t *panel;
    size_t cols, segment; /* inputs; segment: of the panel, cols when it has one */
    const void *x;        /* a tile, of x_group or float as the format asks */
    int rows;             /* 1..tile_rows */
    int tile_rows;        /* that the tile was laid out for */
    float *y;             /* [rows], y_stride floats apart: the panel's first output */
    size_t y_stride;
    int outs;          /* 1..16: outputs of the panel that exist */
    const float *bias; /* [outs], added once; or NULL */
    bool add;
};

/* Input rows to tiles. */
struct wm_prepare {
    enum wm_prologue prologue;
    const float *norm, *norm_bias;
    float eps;
    float score; /* multiplies what the RMS norm gives */
    size_t cols;
    int tile_rows; /* of the tile that is written: 1..WM_TILE_ROWS */
};

/* The queries that share one KV head: up to WM_TILE_ROWS vectors with their running softmax. */
struct wm_attend {
    int vectors;
    int head_dim;                                 /* even; <= WM_MAX_HEAD_DIM */
    int32_t q[WM_MAX_HEAD_DIM / 2][WM_TILE_ROWS]; /* pairs of 16-bit codes */
    float q_scale[16];                            /* of the codes, times the softmax scale */
    float max[16], sum[16];
    float acc[WM_TILE_ROWS][WM_MAX_HEAD_DIM];
};

struct wm_cpu_path {
    const char *name; /* value of WM_CPU_PATH */
    const char *text; /* for a person */

    void (*product)(const struct wm_product *p);

    /* Writes row `row` of a tile; each of the three may be NULL. `rest` is a tile of what `groups` left out,
     * in the same form. For WM_PROLOGUE_SWIGLU x is [gate | up]. */
    void (*prepare)(const struct wm_prepare *p, const float *x, int row, struct x_group *groups,
                    struct x_group *rest, float *floats);

    /* codes[i] = x[i] / scale, |codes[i]| <= 127; returns scale. n <= WM_MAX_HEAD_DIM. */
    float (*quantize)(const float *x, int n, int8_t *codes);

    /* Query `i` of the tile: quantised, and its softmax made empty. */
    void (*attend_start)(struct wm_attend *a, int i, const float *q, float scale);
    /* One block for vectors [first, vectors): vector i sees positions low..high[i] (0..31) of it. k and v as above. */
    void (*attend_block)(struct wm_attend *a, int first, const uint8_t *k, const uint8_t *v, int low,
                         const int *high);

    /* The factor of an RMS norm: 1 / sqrt(mean(x^2) + eps). */
    float (*rms_factor)(const float *x, size_t n, float eps);
    /* x = layer norm of x, in place. */
    void (*layer_norm)(float *x, size_t n, const float *norm, const float *norm_bias, float eps);
    /* Sixteen softmaxes side by side: column c of x, [rows][16], becomes exp(x - its largest); sums[c] is its sum. */
    void (*softmax_columns)(float *x, size_t rows, float *sums);

    /* Over logits with NaN counted as the smallest and infinities as the largest finite float: *max is the largest,
     * the return value the sum of exp((x - max) * inverse_temperature). */
    double (*softmax_sum)(const float *x, size_t n, float inverse_temperature, float *max);

    /* For peaks.c. Each returns something of its result, so that no compiler can leave the work out. */
    int32_t (*spin_dot4)(int64_t rounds);                 /* rounds x LANES_ROWS x 128 integer operations */
    float (*spin_fma)(int64_t rounds);                    /* rounds x LANES_ROWS x 32 float operations */
    int32_t (*read)(const uint8_t *memory, size_t bytes); /* bytes: a multiple of 256 */
    int rows;                                             /* LANES_ROWS */
};

extern const struct wm_cpu_path wm_path_portable;
#ifdef WM_X86_PATHS
extern const struct wm_cpu_path wm_path_avx2, wm_path_avx512;
#endif

/* The bytes of K (or V) of one head in one layer of a block. */
static inline size_t wm_k_bytes(int head_dim)
{
    return ((size_t)head_dim * WM_KV_BLOCK + 63) / 64 * 64 + WM_KV_BLOCK * sizeof(float);
}

static inline size_t wm_v_bytes(int head_dim)
{
    return (size_t)((head_dim + 15) / 16 * 16) * WM_KV_BLOCK + WM_KV_BLOCK * sizeof(float);
}

/* Where the scales lie behind the codes. */
static inline size_t wm_k_scales(int head_dim)
{
    return wm_k_bytes(head_dim) - WM_KV_BLOCK * sizeof(float);
}

static inline size_t wm_v_scales(int head_dim)
{
    return wm_v_bytes(head_dim) - WM_KV_BLOCK * sizeof(float);
}

#endif

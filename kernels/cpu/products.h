/* products.h -- one panel of 16 outputs against up to LANES_ROWS rows: the loops in which the time goes.
 *
 * WHY     A conversation's next token costs one pass over all weights. With few rows the pass runs at the speed of
 *         memory, so 4-bit weights stay 4-bit until they are in a register; with many it runs at the speed of the
 *         multipliers, so one loaded line of weights serves LANES_ROWS rows.
 *
 * HOW     Group by group of 32 inputs: eight integer dot products per row, one conversion, then
 *           sum += scale_w * (scale_x * dot)   and, with a min,   sum += min * (scale_x * sum of the codes of x)
 *
 * ALWAYS  The operations that make one output of one row, and their order, are the same for every number of rows:
 *         a row's result does not depend on its company, bit for bit.
 *
 * Included by the path_*.c files, after lanes.h.
 */
#include "kernels/cpu/path.h"

LANE void finish_group(int rows, const vi *dot, const struct x_group *x, vf scale, vf *sum)
{
    UNROLL for (int r = 0; r < rows; r++) sum[r] =
        vf_fma(vf_mul(vf_of_int(dot[r]), vf_set(x[r].scale)), scale, sum[r]);
}

/* Lines [first, last) of bytes, four inputs each. */
LANE void dot_bytes(int rows, const uint8_t *lines, int first, int last, bool small, const struct x_group *x,
                    vi *dot)
{
    UNROLL for (int i = first; i < last; i++)
    {
        vb codes = vb_load(lines + 64 * i);
        UNROLL for (int r = 0; r < rows; r++) dot[r] =
            small ? vi_dot4_small(dot[r], codes, load_32(x[r].q + 4 * i))
                  : vi_dot4(dot[r], codes, load_32(x[r].q + 4 * i));
    }
}

LANE void dot_nibbles(int rows, const uint8_t *lines, const struct x_group *x, vi *dot)
{
    UNROLL for (int i = 0; i < 4; i++)
    {
        vb both = vb_load(lines + 64 * i);
        vb low = vb_low_nibbles(both), high = vb_high_nibbles(both);
        UNROLL for (int r = 0; r < rows; r++) dot[r] = vi_dot4_small(dot[r], low, load_32(x[r].q + 8 * i));
        UNROLL for (int r = 0; r < rows; r++) dot[r] =
            vi_dot4_small(dot[r], high, load_32(x[r].q + 8 * i + 4));
    }
}

LANE void group_u4(int rows, const uint8_t *w, const struct x_group *x, bool with_min, vf *sum)
{
    vi dot[LANES_ROWS];
    UNROLL for (int r = 0; r < rows; r++) dot[r] = vi_set(with_min ? 0 : x[r].minus_8);
    dot_nibbles(rows, w, x, dot);
    finish_group(rows, dot, x, vf_load_f16(w + 256), sum);
    if (!with_min)
        return;
    vf min = vf_load_f16(w + 288);
    UNROLL for (int r = 0; r < rows; r++) sum[r] = vf_fma(min, vf_set(x[r].sum), sum[r]);
}

LANE void group_u8(int rows, const uint8_t *w, const struct x_group *x, vf *sum)
{
    vi dot[LANES_ROWS];
    UNROLL for (int r = 0; r < rows; r++) dot[r] = vi_set(x[r].minus_128);
    dot_bytes(rows, w, 0, 8, false, x, dot);
    finish_group(rows, dot, x, vf_load_f16(w + 512), sum);
}

LANE void group_u8_16(int rows, const uint8_t *w, const struct x_group *x, vf *sum)
{
    for (int half = 0; half < 2; half++) {
        vi dot[LANES_ROWS];
        UNROLL for (int r = 0; r < rows; r++) dot[r] = vi_set(x[r].minus_32[half]);
        if (half == 0)
            dot_bytes(rows, w, 0, 4, true, x, dot);
        else
            dot_bytes(rows, w, 4, 8, true, x, dot);
        finish_group(rows, dot, x, vf_load((const float *)(w + 512) + 16 * half), sum);
    }
}

LANE void input_float(int rows, vf w, const float *x, vf *sum)
{
    UNROLL for (int r = 0; r < rows; r++) sum[r] = vf_fma(w, vf_set(x[r]), sum[r]);
}

/* Distance at which a panel's next lines are asked for: one row alone leaves no time to wait for memory. */
enum { PREFETCH = 2048 /* bytes */ };

LANE void prefetch_group(const uint8_t *w, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(w + PREFETCH + i);
}

LANE void put_sums(const struct wm_product *p, float *y, vf sum)
{
    size_t outs = (size_t)p->outs;
    if (p->bias)
        sum = vf_add(sum, load_some(p->bias, outs));
    if (p->add)
        sum = vf_add(load_some(y, outs), sum);
    if (outs == WM_PANEL) {
        vf_store(y, sum);
    } else {
        float some[WM_PANEL];
        vf_store(some, sum);
        memcpy(y, some, outs * sizeof *y);
    }
}

/* Rows [first, first + rows) of the tile; `rows` and `format` are constants where this is expanded. */
LANE void product_rows(enum wm_cpu_format format, int rows, const struct wm_product *p, int first)
{
    vf sum[LANES_ROWS];
    UNROLL for (int r = 0; r < rows; r++) sum[r] = vf_set(0);
    const uint8_t *w = p->panel;
    const size_t bytes = wm_format_bytes(format);
    if (wm_format_is_float(format)) {
        const float *x = (const float *)p->x + first;
        for (size_t i = 0; i < p->cols; i++, w += bytes, x += WM_TILE_ROWS)
            input_float(rows,
                        format == WM_FORMAT_F32   ? vf_load((const float *)w)
                        : format == WM_FORMAT_F16 ? vf_load_f16(w)
                                                  : vf_load_bf16(w),
                        x, sum);
    } else {
        const struct x_group *x = (const struct x_group *)p->x + first;
        for (size_t g = 0; g < p->cols / WM_GROUP; g++, w += bytes, x += WM_TILE_ROWS) {
            prefetch_group(w, bytes);
            if (format == WM_FORMAT_U8)
                group_u8(rows, w, x, sum);
            else if (format == WM_FORMAT_U8_16)
                group_u8_16(rows, w, x, sum);
            else
                group_u4(rows, w, x, format == WM_FORMAT_U4_MIN, sum);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) put_sums(p, p->y + (size_t)(first + r) * p->y_stride, sum[r]);
}

LANE void product_format(enum wm_cpu_format format, const struct wm_product *p)
{
    for (int first = 0; first < p->rows; first += LANES_ROWS) {
        int rows = p->rows - first < LANES_ROWS ? p->rows - first : LANES_ROWS;
#ifdef LANES_ROLLED
        product_rows(format, rows, p, first);
#else
        switch (rows) {
#define X(n)                                                                                                 \
    case n:                                                                                                  \
        product_rows(format, n, p, first);                                                                   \
        break;
            LANES_COUNTS(X)
#undef X
        }
#endif
    }
}

/* One function per format: the compiler's registers are worth more than its inlining. */
#define PRODUCT(id)                                                                                          \
    static __attribute__((noinline)) void product_##id(const struct wm_product *p)                           \
    {                                                                                                        \
        product_format(WM_FORMAT_##id, p);                                                                   \
    }
PRODUCT(U4)
PRODUCT(U4_MIN)
PRODUCT(U8)
PRODUCT(U8_16)
PRODUCT(F32)
PRODUCT(F16)
PRODUCT(BF16)
#undef PRODUCT

static void product(const struct wm_product *p)
{
    static void (*const of[WM_FORMATS])(const struct wm_product *) = {
        [WM_FORMAT_U4] = product_U4,       [WM_FORMAT_U4_MIN] = product_U4_MIN, [WM_FORMAT_U8] = product_U8,
        [WM_FORMAT_U8_16] = product_U8_16, [WM_FORMAT_F32] = product_F32,       [WM_FORMAT_F16] = product_F16,
        [WM_FORMAT_BF16] = product_BF16,
    };
    of[p->format](p);
}

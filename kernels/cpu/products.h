/* products.h -- one panel of 16 outputs against up to LANES_ROWS rows: the loops in which the time goes.
 *
 * WHY     A conversation's next token costs one pass over all weights. With few rows the pass runs at the
 *         speed of memory, so 4-bit weights stay 4-bit until they are in a register; with many it runs at the
 *         speed of the multipliers, so one loaded line of weights serves LANES_ROWS rows.
 *
 * HOW     Group by group of 32 inputs: eight integer dot products per row, one conversion, then
 *           sum += scale_w * (scale_x * dot)   and, with a min,   sum += min * (scale_x * sum of the codes of x)
 *         Formats differ in how a line of codes is read, where a dot product starts (what the offset of the
 *         codes adds is known beforehand) and where scale and min lie: four small functions, of which the
 *         compiler makes one loop for each format and number of rows.
 *
 * ALWAYS  The operations that make one output of one row, and their order, are the same for every number of
 *         rows: a row's result does not depend on its company, bit for bit.
 *
 * Included by the path_*.c files, after lanes.h.
 */
#include "kernels/cpu/path.h"
#include "kernels/types.h"

/* --- what a format is: constants where these are expanded ----------------------------------------------- */

LANE bool has_table(enum wm_cpu_format f)
{
    return f == WM_FORMAT_T4 || f == WM_FORMAT_KT4;
}

LANE bool has_halves(enum wm_cpu_format f)
{
    return f == WM_FORMAT_K4_16 || f == WM_FORMAT_K6_16;
}

LANE bool has_parts(enum wm_cpu_format f)
{
    return f == WM_FORMAT_K4 || f == WM_FORMAT_K5 || f == WM_FORMAT_KT4 || has_halves(f);
}

LANE bool has_min(enum wm_cpu_format f)
{
    return f == WM_FORMAT_U4_MIN || f == WM_FORMAT_U5_MIN || f == WM_FORMAT_K4 || f == WM_FORMAT_K5 ||
           f == WM_FORMAT_K4_16;
}

/* Codes below 128 have a faster dot product on some machines. */
LANE bool has_small_codes(enum wm_cpu_format f)
{
    return f != WM_FORMAT_U8 && !has_table(f);
}

/* --- a group of 32 inputs ------------------------------------------------------------------------------- */

#define X(value) (value) + 128,
static const uint8_t table_codes[16] = {WM_IQ4_VALUES(X)};
#undef X

/* The codes of inputs 4i.. */
LANE vb line_of(enum wm_cpu_format f, const uint8_t *w, int i)
{
    if (wm_format_codes(f) == WM_CODES_BYTES)
        return vb_load(w + 64 * i);
    vb both = vb_load(w + 64 * (i / 2));
    vb codes = i % 2 ? vb_high_nibbles(both) : vb_low_nibbles(both);
    if (has_table(f))
        return vb_of_table(table_codes, codes);
    if (wm_format_codes(f) == WM_CODES_FIVES)
        return vb_with_fifth(codes, vb_load(w + WM_CODES_NIBBLES), i);
    if (wm_format_codes(f) == WM_CODES_SIXES)
        return vb_with_pair(codes, vb_load(w + WM_CODES_NIBBLES + 64 * (i / 4)), i % 4);
    return codes;
}

/* What the offset of the codes adds to a dot product. */
LANE int32_t start_of(enum wm_cpu_format f, const struct x_group *x, int half)
{
    if (f == WM_FORMAT_U4 || f == WM_FORMAT_S4)
        return x->minus_8;
    if (f == WM_FORMAT_U5)
        return x->minus_16;
    if (f == WM_FORMAT_K6_16)
        return x->minus_32[half];
    return has_min(f) ? 0 : x->minus_128;
}

/* The head of a segment. */
struct head {
    vf scale, min;
};

LANE struct head head_of(enum wm_cpu_format f, const uint8_t *w)
{
    struct head head = {vf_set(0), vf_set(0)};
    if (f == WM_FORMAT_S4 || f == WM_FORMAT_F8)
        head.scale = vf_load((const float *)w);
    if (has_parts(f))
        head.scale = vf_load_f16(w);
    if (has_parts(f) && has_min(f))
        head.min = vf_load_f16(w + 32);
    return head;
}

LANE vf scale_of(enum wm_cpu_format f, struct head head, const uint8_t *w, int half)
{
    if (f == WM_FORMAT_S4)
        return head.scale;
    if (has_parts(f))
        return vf_mul(head.scale, vf_load_s8(w + wm_format_codes(f) + 16 * half));
    return vf_load_f16(w + wm_format_codes(f));
}

LANE vf min_of(enum wm_cpu_format f, struct head head, const uint8_t *w, int half)
{
    if (has_parts(f))
        return vf_mul(head.min, vf_load_s8(w + wm_format_codes(f) + (has_halves(f) ? 32 : 16) + 16 * half));
    return vf_load_f16(w + wm_format_codes(f) + 32);
}

/* Lines [first, last) of a group, which share a scale. */
LANE void lines(enum wm_cpu_format f, int rows, struct head head, const uint8_t *w, int half, int first,
                int last, const struct x_group *x, vf *sum)
{
    vi dot[LANES_ROWS];
    UNROLL for (int r = 0; r < rows; r++) dot[r] = vi_set(start_of(f, &x[r], half));
    UNROLL for (int i = first; i < last; i++)
    {
        vb codes = line_of(f, w, i);
        UNROLL for (int r = 0; r < rows; r++) dot[r] =
            has_small_codes(f) ? vi_dot4_small(dot[r], codes, load_32(x[r].q + 4 * i))
                               : vi_dot4(dot[r], codes, load_32(x[r].q + 4 * i));
    }
    vf scale = scale_of(f, head, w, half);
    UNROLL for (int r = 0; r < rows; r++) sum[r] =
        vf_fma(vf_mul(vf_of_int(dot[r]), vf_set(x[r].scale)), scale, sum[r]);
    if (!has_min(f))
        return;
    vf min = min_of(f, head, w, half);
    UNROLL for (int r = 0; r < rows; r++)
    {
        float x_sum = has_halves(f) ? x[r].scale * -0x1p-5f * (float)x[r].minus_32[half] : x[r].sum;
        sum[r] = vf_fma(min, vf_set(x_sum), sum[r]);
    }
}

LANE void group(enum wm_cpu_format f, int rows, struct head head, const uint8_t *w, const struct x_group *x,
                vf *sum)
{
    if (has_halves(f)) {
        lines(f, rows, head, w, 0, 0, 4, x, sum);
        lines(f, rows, head, w, 1, 4, 8, x, sum);
    } else {
        lines(f, rows, head, w, 0, 0, 8, x, sum);
    }
}

/* --- floats --------------------------------------------------------------------------------------------- */

LANE vf sixteen(enum wm_cpu_format f, const uint8_t *w)
{
    return f == WM_FORMAT_F32   ? vf_load((const float *)w)
           : f == WM_FORMAT_F16 ? vf_load_f16(w)
           : f == WM_FORMAT_F8  ? vf_load_f8(w)
                                : vf_load_bf16(w);
}

LANE void one_input(enum wm_cpu_format f, int rows, const uint8_t *w, const float *x, vf *sum)
{
    vf weights = sixteen(f, w);
    UNROLL for (int r = 0; r < rows; r++) sum[r] = vf_fma(weights, vf_set(x[r]), sum[r]);
}

/* Distance at which a panel's next lines are asked for: one row alone leaves no time to wait for memory. */
enum { PREFETCH = 2048 /* bytes */ };

LANE void prefetch(const uint8_t *w, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(w + PREFETCH + i);
}

/* `n` inputs, the even ones in one sum and the odd ones in another: a row alone would wait for each addition. */
LANE void inputs(enum wm_cpu_format f, int rows, const uint8_t *w, const float *x, int stride, size_t n,
                 vf *even, vf *odd)
{
    const size_t bytes = wm_format_group(f);
    const float *next = x + stride;
    for (; n >= 2; n -= 2, w += 2 * bytes, x += 2 * stride, next += 2 * stride) {
        prefetch(w, 2 * bytes);
        one_input(f, rows, w, x, even);
        one_input(f, rows, w + bytes, next, odd);
    }
    if (n > 0)
        one_input(f, rows, w, x, even);
}

/* --- a panel -------------------------------------------------------------------------------------------- */

/* A function of its own, not twelve copies: it runs once for thousands of multiplications. */
static __attribute__((noinline)) void put_sums(const struct wm_product *p, int first, int rows,
                                               float (*sums)[WM_PANEL])
{
    size_t outs = (size_t)p->outs;
    for (int r = 0; r < rows; r++) {
        float *y = p->y + (size_t)(first + r) * p->y_stride;
        vf sum = vf_load(sums[r]);
        if (p->bias)
            sum = vf_add(sum, load_some(p->bias, outs));
        if (p->add)
            sum = vf_add(load_some(y, outs), sum);
        if (outs == WM_PANEL) { /* nearly always, and a call of memcpy is dear beside a short row of inputs */
            vf_store(y, sum);
            continue;
        }
        vf_store(sums[r], sum);
        memcpy(y, sums[r], outs * sizeof *y);
    }
}

LANE void codes_segment(enum wm_cpu_format f, int rows, const struct wm_product *p, const uint8_t *w,
                        const struct x_group *x, size_t n, vf *sum)
{
    const struct head head = head_of(f, w);
    w += wm_format_head(f);
    for (size_t g = 0; g < n; g += WM_GROUP, w += wm_format_group(f), x += p->tile_rows) {
        prefetch(w, wm_format_group(f));
        group(f, rows, head, w, x, sum);
    }
}

LANE void floats_segment(enum wm_cpu_format f, int rows, const struct wm_product *p, const uint8_t *w,
                         const float *x, size_t n, vf *sum)
{
    vf even[LANES_ROWS], odd[LANES_ROWS];
    UNROLL for (int r = 0; r < rows; r++) even[r] = odd[r] = vf_set(0);
    inputs(f, rows, w + wm_format_head(f), x, p->tile_rows, n, even, odd);
    const struct head head = head_of(f, w);
    UNROLL for (int r = 0; r < rows; r++)
    {
        vf both = vf_add(even[r], odd[r]);
        sum[r] =
            f == WM_FORMAT_F8 ? vf_fma(both, head.scale, sum[r]) : both; /* only F8 has several segments */
    }
}

/* Rows [first, first + rows) of the tile; `rows` and `f` are constants where this is expanded. */
LANE void product_rows(enum wm_cpu_format f, int rows, const struct wm_product *p, int first)
{
    vf sum[LANES_ROWS];
    UNROLL for (int r = 0; r < rows; r++) sum[r] = vf_set(0);
    for (size_t from = 0; from < p->cols; from += p->segment) {
        const uint8_t *w = p->panel + wm_segment_at(f, p->segment, from);
        size_t n = p->cols - from < p->segment ? p->cols - from : p->segment;
        size_t x = wm_format_units(f, from) * (size_t)p->tile_rows + (size_t)first;
        if (wm_format_is_float(f))
            floats_segment(f, rows, p, w, (const float *)p->x + x, n, sum);
        else
            codes_segment(f, rows, p, w, (const struct x_group *)p->x + x, n, sum);
    }
    float sums[LANES_ROWS][WM_PANEL];
    UNROLL for (int r = 0; r < rows; r++) vf_store(sums[r], sum[r]);
    put_sums(p, first, rows, sums);
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
#define X(id, head, codes, tail)                                                                             \
    static __attribute__((noinline)) void product_##id(const struct wm_product *p)                           \
    {                                                                                                        \
        product_format(WM_FORMAT_##id, p);                                                                   \
    }
WM_CPU_FORMATS(X)
#undef X

static void product(const struct wm_product *p)
{
#define X(id, head, codes, tail) [WM_FORMAT_##id] = product_##id,
    static void (*const of[WM_FORMATS])(const struct wm_product *) = {WM_CPU_FORMATS(X)};
#undef X
    of[p->format](p);
}

/* rows.h -- what happens to a row before a product, and to a row of logits after the last.
 *
 * The norm or the gate is applied while the row is quantised: it is read once (twice with a norm, whose factor
 * must be known first) and never written as floats. Included by the path_*.c files, after lanes.h.
 */
#include "kernels/cpu/path.h"

LANE float norm_factor(const float *x, size_t n, float eps)
{
    vf even = vf_set(0), odd = vf_set(0);
    for (size_t i = 0; i < n; i += 32) {
        vf a = load_some(x + i, n - i);
        even = vf_fma(a, a, even);
        if (n - i > 16) {
            vf b = load_some(x + i + 16, n - i - 16);
            odd = vf_fma(b, b, odd);
        }
    }
    return 1 / sqrtf(vf_sum(vf_add(even, odd)) / (float)n + eps);
}

/* The sum of (x - mean)^2 as well, so that the two never cancel: a second pass, over a row that is in the cache. */
LANE void layer_norm_factors(const float *x, size_t n, float eps, float *mean, float *factor)
{
    vf sum = vf_set(0), square = vf_set(0);
    for (size_t i = 0; i < n; i += 16)
        sum = vf_add(load_some(x + i, n - i), sum);
    *mean = vf_sum(sum) / (float)n;
    for (size_t i = 0; i < n; i += 16) {
        vf a = vf_sub(load_some(x + i, n - i), vf_set(*mean));
        if (n - i < 16) {
            float some[16];
            vf_store(some, a);
            a = load_some(some, n - i); /* lanes behind the row count as 0 */
        }
        square = vf_fma(a, a, square);
    }
    *factor = 1 / sqrtf(vf_sum(square) / (float)n + eps);
}

/* x (1 + erf(x / sqrt 2)) / 2. For the error function Abramowitz and Stegun 7.1.26: within 1.5e-7 everywhere. */
LANE vf gelu(vf x)
{
    vf z = vf_mul(vf_abs(x), vf_set(0.70710678f));
    vf t = vf_div(vf_set(1), vf_fma(z, vf_set(0.3275911f), vf_set(1)));
    vf sum = vf_set(1.061405429f);
    sum = vf_fma(sum, t, vf_set(-1.453152027f));
    sum = vf_fma(sum, t, vf_set(1.421413741f));
    sum = vf_fma(sum, t, vf_set(-0.284496736f));
    sum = vf_fma(sum, t, vf_set(0.254829592f));
    vf outside = vf_mul(vf_mul(sum, t), vf_exp(vf_sub(vf_set(0), vf_mul(z, z)))); /* 1 - erf(z) */
    /* max(x, 0) - |x| (1 - erf) / 2: for either sign */
    return vf_fma(vf_mul(vf_abs(x), vf_set(-0.5f)), outside, vf_max(x, vf_set(0)));
}

LANE vf silu(vf x)
{
    return vf_div(x, vf_add(vf_set(1), vf_exp(vf_sub(vf_set(0), x))));
}

/* Sixteen inputs of the product, from i on. */
LANE vf input(enum wm_prologue prologue, const struct wm_prepare *p, const float *x, vf mean, vf factor,
              size_t i)
{
    size_t left = p->cols - i;
    vf a = load_some(x + i, left);
    if (prologue == WM_PROLOGUE_RMS_NORM)
        return vf_mul(vf_mul(a, factor), load_some(p->norm + i, left));
    if (prologue == WM_PROLOGUE_LAYER_NORM)
        return vf_fma(vf_mul(vf_sub(a, mean), factor), load_some(p->norm + i, left),
                      load_some(p->norm_bias + i, left));
    if (prologue == WM_PROLOGUE_GELU)
        return gelu(a);
    if (prologue == WM_PROLOGUE_SWIGLU)
        return vf_mul(silu(a), load_some(x + p->cols + i, left));
    return a;
}

/* Codes of x; what is not a number becomes some code. */
LANE vi codes_of(vf x, float inverse)
{
    return vi_round(vf_min(vf_max(vf_mul(x, vf_set(inverse)), vf_set(-127)), vf_set(127)));
}

/* Quantises 32 inputs and leaves in them what was rounded away. */
LANE void quantize_group(vf *a, vf *b, struct x_group *out)
{
    float top = vf_top(vf_max(vf_abs(*a), vf_abs(*b)));
    float inverse = top > 0 ? 127 / top : 0;
    vi qa = codes_of(*a, inverse), qb = codes_of(*b, inverse);
    vi_store_s8(out->q, qa);
    vi_store_s8(out->q + 16, qb);
    int32_t first = vi_sum(qa), second = vi_sum(qb);
    out->scale = top / 127;
    out->sum = out->scale * (float)(first + second);
    out->minus_8 = -8 * (first + second);
    out->minus_16 = -16 * (first + second);
    out->minus_128 = -128 * (first + second);
    out->minus_32[0] = -32 * first;
    out->minus_32[1] = -32 * second;
    *a = vf_fma(vf_of_int(qa), vf_set(-out->scale), *a);
    *b = vf_fma(vf_of_int(qb), vf_set(-out->scale), *b);
}

LANE void prepare_with(enum wm_prologue prologue, const struct wm_prepare *p, const float *x, int row,
                       struct x_group *groups, struct x_group *rest, float *floats)
{
    float row_mean = 0, row_factor = 1;
    if (prologue == WM_PROLOGUE_RMS_NORM)
        row_factor = p->score * norm_factor(x, p->cols, p->eps);
    if (prologue == WM_PROLOGUE_LAYER_NORM)
        layer_norm_factors(x, p->cols, p->eps, &row_mean, &row_factor);
    vf mean = vf_set(row_mean), factor = vf_set(row_factor);
    for (size_t i = 0; i < p->cols; i += WM_GROUP) {
        vf a = input(prologue, p, x, mean, factor, i);
        vf b = p->cols - i > 16 ? input(prologue, p, x, mean, factor, i + 16) : vf_set(0);
        size_t to = i / WM_GROUP * (size_t)p->tile_rows + (size_t)row;
        if (floats) {
            float values[WM_GROUP];
            vf_store(values, a);
            vf_store(values + 16, b);
            for (size_t j = 0; j < WM_GROUP && i + j < p->cols; j++)
                floats[(i + j) * (size_t)p->tile_rows + (size_t)row] = values[j];
        }
        if (groups)
            quantize_group(&a, &b, &groups[to]);
        if (rest)
            quantize_group(&a, &b, &rest[to]);
    }
}

static void prepare(const struct wm_prepare *p, const float *x, int row, struct x_group *groups,
                    struct x_group *rest, float *floats)
{
    switch (p->prologue) {
    case WM_PROLOGUE_NONE:
        prepare_with(WM_PROLOGUE_NONE, p, x, row, groups, rest, floats);
        break;
    case WM_PROLOGUE_RMS_NORM:
        prepare_with(WM_PROLOGUE_RMS_NORM, p, x, row, groups, rest, floats);
        break;
    case WM_PROLOGUE_LAYER_NORM:
        prepare_with(WM_PROLOGUE_LAYER_NORM, p, x, row, groups, rest, floats);
        break;
    case WM_PROLOGUE_SWIGLU:
        prepare_with(WM_PROLOGUE_SWIGLU, p, x, row, groups, rest, floats);
        break;
    case WM_PROLOGUE_GELU:
        prepare_with(WM_PROLOGUE_GELU, p, x, row, groups, rest, floats);
        break;
    }
}

static float quantize(const float *x, int n, int8_t *codes)
{
    vf most = vf_set(0);
    for (int i = 0; i < n; i += 16)
        most = vf_max(vf_abs(load_some(x + i, (size_t)(n - i))), most);
    float top = vf_top(most);
    float inverse = top > 0 ? 127 / top : 0;
    for (int i = 0; i < n; i += 16) {
        int8_t some[16];
        vi_store_s8(some, codes_of(load_some(x + i, (size_t)(n - i)), inverse));
        memcpy(codes + i, some, (size_t)(n - i < 16 ? n - i : 16));
    }
    return top / 127;
}

/* NaN becomes the smallest: vf_max and vf_min give their second operand for it. */
LANE vf load_logits(const float *x, size_t i, size_t n)
{
    vf smallest = vf_set(-3.402823466e38f), largest = vf_set(3.402823466e38f);
    if (n - i >= 16)
        return vf_min(vf_max(vf_load(x + i), smallest), largest);
    return vf_keep(vf_min(vf_max(load_some(x + i, n - i), smallest), largest), 0, (int)(n - i) - 1);
}

static double softmax_sum(const float *x, size_t n, float inverse_temperature, float *max)
{
    vf most = vf_set(-INFINITY);
    for (size_t i = 0; i < n; i += 16)
        most = vf_max(load_logits(x, i, n), most);
    *max = vf_top(most);
    vf top = vf_set(*max), inverse = vf_set(inverse_temperature);
    double total = 0;
    for (size_t i = 0; i < n;) {
        vf sum = vf_set(0);
        for (size_t end = i + 4096; i < n && i < end; i += 16) {
            vf part = vf_exp(vf_mul(vf_sub(load_logits(x, i, n), top), inverse));
            sum = vf_add(sum, part);
        }
        total += (double)vf_sum(sum);
    }
    return total;
}

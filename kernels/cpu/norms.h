/* norms.h -- norms where no product follows, and softmaxes side by side.
 * Included by the path_*.c files, after rows.h, whose sums it uses. */
#include "kernels/cpu/path.h"

static float rms_factor(const float *x, size_t n, float eps)
{
    return norm_factor(x, n, eps);
}

static void layer_norm(float *x, size_t n, const float *norm, const float *norm_bias, float eps)
{
    float row_mean, row_factor;
    layer_norm_factors(x, n, eps, &row_mean, &row_factor);
    vf mean = vf_set(row_mean), factor = vf_set(row_factor);
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i;
        float some[16];
        vf_store(some, vf_fma(vf_mul(vf_sub(load_some(x + i, left), mean), factor), load_some(norm + i, left),
                              load_some(norm_bias + i, left)));
        memcpy(x + i, some, (left < 16 ? left : 16) * sizeof *x);
    }
}

/* Column by column nothing crosses lanes. */
static void softmax_columns(float *x, size_t rows, float *sums)
{
    vf even = vf_set(-INFINITY), odd = even;
    for (size_t r = 0; r + 1 < rows; r += 2) {
        even = vf_max(vf_load(x + 16 * r), even);
        odd = vf_max(vf_load(x + 16 * r + 16), odd);
    }
    if (rows % 2)
        even = vf_max(vf_load(x + 16 * (rows - 1)), even);
    vf top = vf_max(even, odd), sum = vf_set(0);
    for (size_t r = 0; r < rows; r++) {
        vf weight = vf_exp(vf_sub(vf_load(x + 16 * r), top));
        vf_store(x + 16 * r, weight);
        sum = vf_add(sum, weight);
    }
    vf_store(sums, sum);
}

/* rows.c -- operations on whole rows: copies, the layer norm in place, pixel shuffle. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/reference/face.h"

static double *row_of(const struct wm_act *act, int64_t row)
{
    assert(row >= 0 && row < act->rows);
    return act->data + (size_t)row * (size_t)act->width;
}

enum wm_status reference_copy_rows(struct wm_backend *be, const struct wm_act *from, int32_t from_row,
                                   struct wm_act *to, int32_t to_row, int32_t rows, struct wm_error *err)
{
    (void)be;
    (void)err;
    assert(from != to && from->width == to->width);
    for (int32_t r = 0; r < rows; r++)
        memcpy(row_of(to, to_row + r), row_of(from, from_row + r), (size_t)to->width * sizeof *to->data);
    return WM_OK;
}

void reference_layer_norm_row(const double *x, int64_t n, const float *norm, const float *norm_bias,
                              double eps, double *out)
{
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    double factor = 1 / sqrt(square / (double)n + eps);
    for (int64_t i = 0; i < n; i++)
        out[i] = (x[i] - mean) * factor * (double)norm[i] + (double)norm_bias[i];
}

enum wm_status reference_layer_norm(struct wm_backend *be, struct wm_act *x, int32_t rows, const float *norm,
                                    const float *norm_bias, float eps, struct wm_error *err)
{
    (void)be;
    (void)err;
    for (int32_t r = 0; r < rows; r++) {
        double *row = row_of(x, r);
        reference_layer_norm_row(row, x->width, norm, norm_bias, (double)eps, row);
    }
    return WM_OK;
}

enum wm_status reference_pixel_shuffle(struct wm_backend *be, const struct wm_pixel_shuffle *op,
                                       struct wm_error *err)
{
    (void)be;
    (void)err;
    int32_t factor = op->factor, squares = op->side / factor;
    assert(op->side % factor == 0 && op->side * op->side <= op->tokens);
    assert(op->in->width >= op->width && op->out->width >= op->width * factor * factor);
    for (int32_t t = 0; t < op->tiles; t++)
        for (int32_t y = 0; y < op->side; y++)
            for (int32_t x = 0; x < op->side; x++) {
                int64_t square = (int64_t)t * squares * squares + y / factor * squares + x / factor;
                int32_t place = y % factor * factor + x % factor;
                memcpy(row_of(op->out, square) + (size_t)place * (size_t)op->width,
                       row_of(op->in, (int64_t)t * op->tokens + y * op->side + x),
                       (size_t)op->width * sizeof(double));
            }
    return WM_OK;
}

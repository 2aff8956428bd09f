/* matmul.c -- weights in place, the product with its prologue, and the lookup of rows. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/matrix.h"
#include "kernels/reference/face.h"

/* Rows of the batch that share one pass over a weight row: independent sums, so that additions overlap. */
enum { ROWS_AT_ONCE = 8 };

struct wm_weight {
    int64_t rows, cols; /* all parts together */
    int n_parts;
    struct wm_matrix parts[]; /* their data is borrowed */
};

enum wm_status reference_weight_new(struct wm_backend *be, const struct wm_matrix *parts, int n_parts,
                                    enum wm_use use, struct wm_weight **out, struct wm_error *err)
{
    (void)be;
    (void)use;
    assert(n_parts >= 1);
    struct wm_weight *w = malloc(sizeof *w + (size_t)n_parts * sizeof *parts);
    if (!w)
        return wm_fail(err, WM_ENOMEM, "no memory for a weight of %d parts", n_parts);
    *w = (struct wm_weight){.cols = parts[0].cols, .n_parts = n_parts};
    for (int i = 0; i < n_parts; i++) {
        assert(parts[i].cols == w->cols && wm_type_info(parts[i].type));
        w->parts[i] = parts[i];
        w->rows += parts[i].rows;
    }
    *out = w;
    return WM_OK;
}

void reference_weight_free(struct wm_backend *be, struct wm_weight *w)
{
    (void)be;
    free(w);
}

size_t reference_weight_bytes(const struct wm_weight *w)
{
    return sizeof *w + (size_t)w->n_parts * sizeof *w->parts;
}

static void weight_row(const struct wm_weight *w, int64_t row, float *out)
{
    const struct wm_matrix *part = w->parts;
    for (; row >= part->rows; part++)
        row -= part->rows;
    wm_matrix_row(part, row, out);
}

enum wm_status reference_embed(struct wm_backend *be, const struct wm_weight *table, const int32_t *ids,
                               int32_t rows, struct wm_act *x, struct wm_error *err)
{
    assert(x->width == table->cols && rows <= x->rows);
    float *row = (float *)reference_scratch(be, (size_t)table->cols);
    if (!row)
        return wm_fail(err, WM_ENOMEM, "no memory to look up embeddings");
    for (int32_t r = 0; r < rows; r++) {
        assert(ids[r] >= 0 && ids[r] < table->rows);
        weight_row(table, ids[r], row);
        for (int64_t i = 0; i < table->cols; i++)
            x->data[r * table->cols + i] = row[i];
    }
    return WM_OK;
}

static void rms_norm(const double *x, const float *norm, double eps, int64_t n, double *out)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    double factor = 1 / sqrt(sum / (double)n + eps);
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] * factor * (double)norm[i];
}

static void gelu(const double *x, int64_t n, double *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] * erfc(-x[i] * 0.70710678118654752440) / 2;
}

static void swiglu(const double *gate, const double *up, int64_t n, double *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
}

static void prologue(const struct wm_matmul *op, int32_t row, int64_t cols, double *out)
{
    int32_t from = op->index ? op->index[row] : row;
    assert(from >= 0 && from < op->x->rows);
    const double *x = op->x->data + (size_t)from * (size_t)op->x->width;
    switch (op->prologue) {
    case WM_PROLOGUE_NONE:
        memcpy(out, x, (size_t)cols * sizeof *out);
        break;
    case WM_PROLOGUE_RMS_NORM:
        rms_norm(x, op->norm, (double)op->eps, cols, out);
        break;
    case WM_PROLOGUE_LAYER_NORM:
        reference_layer_norm_row(x, cols, op->norm, op->norm_bias, (double)op->eps, out);
        break;
    case WM_PROLOGUE_SWIGLU:
        swiglu(x, x + cols, cols, out);
        break;
    case WM_PROLOGUE_GELU:
        gelu(x, cols, out);
        break;
    }
}

/* sums[j] = x[j, :] . w for `rows` <= ROWS_AT_ONCE rows of x, each added up in index order. */
static void dot_rows(const double *x, int32_t rows, const double *w, int64_t cols, double *sums)
{
    for (int j = 0; j < ROWS_AT_ONCE; j++)
        sums[j] = 0;
    if (rows == ROWS_AT_ONCE)
        for (int64_t i = 0; i < cols; i++)
            for (int j = 0; j < ROWS_AT_ONCE; j++)
                sums[j] += x[j * cols + i] * w[i];
    else
        for (int j = 0; j < rows; j++)
            for (int64_t i = 0; i < cols; i++)
                sums[j] += x[j * cols + i] * w[i];
}

enum wm_status reference_matmul(struct wm_backend *be, const struct wm_matmul *op, struct wm_error *err)
{
    int64_t cols = op->w->cols;
    assert(op->x != op->y && op->y->rows >= op->rows && op->y->width >= op->w->rows);
    assert(op->x->width >= (op->prologue == WM_PROLOGUE_SWIGLU ? 2 * cols : cols));
    size_t n = (size_t)cols;
    double *x =
        reference_scratch(be, (size_t)op->rows * n + 2 * n); /* inputs, one weight row, the same as floats */
    if (!x)
        return wm_fail(err, WM_ENOMEM, "no memory for a product of %d rows", op->rows);
    double *w = x + (size_t)op->rows * n;
    float *w_float = (float *)(w + n);

    for (int32_t r = 0; r < op->rows; r++)
        prologue(op, r, cols, x + (size_t)r * n);
    for (int64_t o = 0; o < op->w->rows; o++) {
        weight_row(op->w, o, w_float);
        for (size_t i = 0; i < n; i++)
            w[i] = w_float[i];
        for (int32_t r = 0; r < op->rows; r += ROWS_AT_ONCE) {
            double sums[ROWS_AT_ONCE];
            int32_t some = op->rows - r < ROWS_AT_ONCE ? op->rows - r : ROWS_AT_ONCE;
            dot_rows(x + (size_t)r * n, some, w, cols, sums);
            for (int32_t j = 0; j < some; j++) {
                double *y = op->y->data + (size_t)(r + j) * (size_t)op->y->width + o;
                double sum = op->bias ? sums[j] + (double)op->bias[o] : sums[j];
                *y = op->add ? *y + sum : sum;
            }
        }
    }
    return WM_OK;
}

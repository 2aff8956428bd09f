/* tile_attention.c -- every token of a tile sees all tokens of it, as the formula has it. */
#include <assert.h>
#include <math.h>

#include "kernels/reference/face.h"

/* One head of one token, rotated by that token's angles. */
static void rotated(const struct wm_tile_attention *op, int32_t token, const double *from, double *to)
{
    int32_t half = op->head_dim / 2;
    const float *cosines = op->cos + (size_t)token * (size_t)half;
    const float *sines = op->sin + (size_t)token * (size_t)half;
    for (int32_t i = 0; i < half; i++) {
        double x = from[2 * i], y = from[2 * i + 1], c = (double)cosines[i], s = (double)sines[i];
        to[2 * i] = x * c - y * s;
        to[2 * i + 1] = x * s + y * c;
    }
}

/* Head `head` of the tile that starts at `row`. scratch: rotated keys, one rotated query, scores. */
static void attend(const struct wm_tile_attention *op, int32_t row, int32_t head, double *scratch)
{
    size_t n = (size_t)op->head_dim, tokens = (size_t)op->tokens, width = (size_t)op->qkv->width;
    size_t from_q_to_k = (size_t)op->heads * n;
    const double *first_q = op->qkv->data + (size_t)row * width + (size_t)head * n;
    const double *first_k = first_q + from_q_to_k, *first_v = first_k + from_q_to_k;
    double *keys = scratch, *q = keys + tokens * n, *weights = q + n;
    for (size_t j = 0; j < tokens; j++)
        rotated(op, (int32_t)j, first_k + j * width, keys + j * n);
    for (size_t t = 0; t < tokens; t++) {
        double *out = op->out->data + ((size_t)row + t) * (size_t)op->out->width + (size_t)head * n;
        double max = -INFINITY, sum = 0;
        rotated(op, (int32_t)t, first_q + t * width, q);
        for (size_t j = 0; j < tokens; j++) {
            double dot = 0;
            for (size_t i = 0; i < n; i++)
                dot += q[i] * keys[j * n + i];
            weights[j] = dot * (double)op->scale;
            max = fmax(max, weights[j]);
        }
        for (size_t i = 0; i < n; i++)
            out[i] = 0;
        for (size_t j = 0; j < tokens; j++) {
            double weight = exp(weights[j] - max);
            sum += weight;
            for (size_t i = 0; i < n; i++)
                out[i] += weight * first_v[j * width + i];
        }
        for (size_t i = 0; i < n; i++)
            out[i] /= sum;
    }
}

enum wm_status reference_tile_attention(struct wm_backend *be, const struct wm_tile_attention *op,
                                        struct wm_error *err)
{
    assert(op->head_dim % 2 == 0 && op->tokens >= 1);
    assert(op->qkv->width == 3 * op->heads * op->head_dim && op->out->width >= op->heads * op->head_dim);
    assert((int64_t)op->tiles * op->tokens <= op->qkv->rows &&
           (int64_t)op->tiles * op->tokens <= op->out->rows);
    size_t n = (size_t)op->head_dim, tokens = (size_t)op->tokens;
    double *scratch = reference_scratch(be, tokens * n + n + tokens);
    if (!scratch)
        return wm_fail(err, WM_ENOMEM, "no memory for the attention of a tile of %d tokens", op->tokens);
    for (int32_t t = 0; t < op->tiles; t++)
        for (int32_t h = 0; h < op->heads; h++)
            attend(op, t * op->tokens, h, scratch);
    return WM_OK;
}

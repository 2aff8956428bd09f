/* attention.c -- the KV cache as doubles; rope, norm and temperature; attention as its formula has it. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pages.h"
#include "kernels/reference/face.h"

struct wm_kv {
    struct wm_kv_shape shape;
    size_t block_bytes;
    double *data; /* [block][layer][K, V][position in block][head][head_dim]; blocks start at whole pages */
};

size_t reference_kv_block_bytes(const struct wm_kv_shape *s)
{
    return wm_pages_round((size_t)s->layers * 2 * WM_KV_BLOCK * (size_t)s->kv_heads * (size_t)s->head_dim *
                          sizeof(double));
}

enum wm_status reference_kv_new(struct wm_backend *be, const struct wm_kv_shape *shape, struct wm_kv **out,
                                struct wm_error *err)
{
    (void)be;
    struct wm_kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        return wm_fail(err, WM_ENOMEM, "no memory for a KV cache");
    kv->shape = *shape;
    kv->block_bytes = reference_kv_block_bytes(shape);
    void *memory;
    enum wm_status st = wm_pages_new(kv->block_bytes * (size_t)shape->blocks, &memory, err);
    if (st != WM_OK) {
        free(kv);
        return st;
    }
    kv->data = memory;
    *out = kv;
    return WM_OK;
}

void reference_kv_free(struct wm_backend *be, struct wm_kv *kv)
{
    (void)be;
    if (!kv)
        return;
    wm_pages_free(kv->data, kv->block_bytes * (size_t)kv->shape.blocks);
    free(kv);
}

void reference_kv_discard(struct wm_backend *be, struct wm_kv *kv, int32_t block)
{
    (void)be;
    assert(block >= 0 && block < kv->shape.blocks);
    wm_pages_drop((char *)kv->data + (size_t)block * kv->block_bytes, kv->block_bytes);
}

double *reference_kv_at(const struct wm_kv *kv, const struct wm_span *span, int32_t group, int32_t layer,
                        int64_t position, int which, int32_t head)
{
    const struct wm_kv_shape *s = &kv->shape;
    int32_t block = span->table[group].blocks[position / WM_KV_BLOCK - span->table[group].first_block];
    assert(block >= 0 && block < s->blocks && layer < s->layers);
    size_t in_block = (((size_t)layer * 2 + (size_t)which) * WM_KV_BLOCK + (size_t)(position % WM_KV_BLOCK)) *
                          (size_t)s->kv_heads +
                      (size_t)head;
    return kv->data + (size_t)block * (kv->block_bytes / sizeof(double)) + in_block * (size_t)s->head_dim;
}

static void rotate(double *head, int32_t n, enum wm_rope_pairing pairing, int64_t position,
                   const double *inv_freq)
{
    for (int32_t i = 0; i < n / 2; i++) {
        int32_t a = pairing == WM_ROPE_ADJACENT ? 2 * i : i;
        int32_t b = pairing == WM_ROPE_ADJACENT ? 2 * i + 1 : i + n / 2;
        double angle = (double)position * inv_freq[i], c = cos(angle), s = sin(angle);
        double x = head[a], y = head[b];
        head[a] = x * c - y * s;
        head[b] = x * s + y * c;
    }
}

static void norm_head(double *head, int32_t n, double eps)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += head[i] * head[i];
    double factor = 1 / sqrt(sum / n + eps);
    for (int32_t i = 0; i < n; i++)
        head[i] *= factor;
}

/* Queries far into a conversation are sharpened: attention over millions of positions would else be even. */
static double temperature(const struct wm_qkv_post *op, int64_t position)
{
    if (op->temperature_floor <= 0)
        return 1;
    return 1 + op->temperature_scale * log(floor((double)(position + 1) / op->temperature_floor) + 1);
}

/* The heads of one row, q and k, in place. */
static void turn_row(const struct wm_qkv_post *op, int64_t position, double *heads)
{
    int32_t n = op->head_dim;
    double sharper = temperature(op, position);
    for (int32_t h = 0; h < op->heads + op->kv_heads; h++) {
        double *head = heads + (size_t)h * (size_t)n;
        if (op->rope != WM_ROPE_NONE)
            rotate(head, n, op->rope, position, op->inv_freq);
        if (op->qk_norm)
            norm_head(head, n, (double)op->eps);
        for (int32_t i = 0; h < op->heads && i < n; i++)
            head[i] *= sharper;
    }
}

enum wm_status reference_qkv_post(struct wm_backend *be, const struct wm_batch *batch,
                                  const struct wm_qkv_post *op, struct wm_error *err)
{
    (void)be;
    (void)err;
    int32_t n = op->head_dim;
    size_t head_bytes = (size_t)n * sizeof(double);
    assert(op->qkv->width == (op->heads + 2 * op->kv_heads) * n && batch->rows <= op->qkv->rows);
    for (int32_t i = 0; i < batch->n_spans; i++) {
        const struct wm_span *span = &batch->spans[i];
        for (int32_t r = 0; r < span->rows; r++) {
            int64_t position = span->first_pos + r;
            double *q = op->qkv->data + (size_t)(span->first_row + r) * (size_t)op->qkv->width;
            double *k = q + op->heads * n, *v = k + op->kv_heads * n;
            turn_row(op, position, q);
            for (int32_t h = 0; h < op->kv_heads; h++) {
                memcpy(reference_kv_at(op->kv, span, op->group, op->layer, position, 0, h), k + h * n,
                       head_bytes);
                memcpy(reference_kv_at(op->kv, span, op->group, op->layer, position, 1, h), v + h * n,
                       head_bytes);
            }
        }
    }
    return WM_OK;
}

static int64_t first_visible(const struct wm_attention *op, int64_t position)
{
    return op->chunk > 0 ? position / op->chunk * op->chunk : 0;
}

/* One row, one head; `scores` has room for every visible position. */
static void attend(const struct wm_attention *op, const struct wm_span *span, int64_t position, int32_t head,
                   const double *q, double *scores, double *out)
{
    int32_t n = op->head_dim, kv_head = head / (op->heads / op->kv_heads);
    int64_t first = first_visible(op, position);
    double max = -INFINITY, sum = 0;
    for (int64_t p = first; p <= position; p++) {
        const double *k = reference_kv_at(op->kv, span, op->group, op->layer, p, 0, kv_head);
        double dot = 0;
        for (int32_t i = 0; i < n; i++)
            dot += q[i] * k[i];
        scores[p - first] = dot * (double)op->scale;
        max = fmax(max, scores[p - first]);
    }
    for (int32_t i = 0; i < n; i++)
        out[i] = 0;
    for (int64_t p = first; p <= position; p++) {
        const double *v = reference_kv_at(op->kv, span, op->group, op->layer, p, 1, kv_head);
        double weight = exp(scores[p - first] - max);
        sum += weight;
        for (int32_t i = 0; i < n; i++)
            out[i] += weight * v[i];
    }
    for (int32_t i = 0; i < n; i++)
        out[i] /= sum;
}

enum wm_status reference_attention(struct wm_backend *be, const struct wm_batch *batch,
                                   const struct wm_attention *op, struct wm_error *err)
{
    assert(op->heads % op->kv_heads == 0 && op->out->width >= op->heads * op->head_dim);
    for (int32_t i = 0; i < batch->n_spans; i++) {
        const struct wm_span *span = &batch->spans[i];
        int64_t end = span->first_pos + span->rows, most = end - first_visible(op, span->first_pos);
        if (op->chunk > 0 && most > op->chunk)
            most = op->chunk;
        double *scores = reference_scratch(be, (size_t)most);
        if (!scores)
            return wm_fail(err, WM_ENOMEM, "no memory for the scores of %lld positions", (long long)most);
        for (int32_t r = 0; r < span->rows; r++) {
            size_t row = (size_t)(span->first_row + r);
            for (int32_t h = 0; h < op->heads; h++)
                attend(op, span, span->first_pos + r, h,
                       op->qkv->data + row * (size_t)op->qkv->width + h * op->head_dim, scores,
                       op->out->data + row * (size_t)op->out->width + h * op->head_dim);
        }
    }
    return WM_OK;
}

/* kv.c -- the KV cache in 8 bits, and the step that fills it: rope, norm, temperature, spread, quantise, write.
 *
 * WHY     A kept conversation costs memory for every token: at 8 bits with one scale per position and head it
 *         is half of 16-bit floats, and what attention must read is halved with it.
 *
 * HOW     A block is one run of whole pages [layer][head][K, V], so giving it back is one call. Within a
 *         head, codes lie as attention reads them (path.h). Angles are position * inv_freq in double, exact
 *         to far beyond any context; sines and cosines are kept from layer to layer, as long as positions and
 *         frequencies are the same.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/face.h"
#include "kernels/pages.h"

enum { ROWS_ALONE = 4, ROWS_PER_CHUNK = 4 };

struct wm_kv {
    struct wm_kv_shape shape;
    size_t head_bytes, block_bytes;
    uint8_t *data;
};

static size_t head_bytes(const struct wm_kv_shape *shape)
{
    return wm_k_bytes(shape->head_dim) + wm_v_bytes(shape->head_dim);
}

size_t cpu_kv_block_bytes(const struct wm_kv_shape *shape)
{
    return wm_pages_round((size_t)shape->layers * (size_t)shape->kv_heads * head_bytes(shape));
}

enum wm_status cpu_kv_new(struct wm_backend *be, const struct wm_kv_shape *shape, struct wm_kv **out,
                          struct wm_error *err)
{
    (void)be;
    assert(shape->head_dim > 0 && shape->head_dim % 2 == 0 && shape->head_dim <= WM_MAX_HEAD_DIM);
    struct wm_kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        return wm_fail(err, WM_ENOMEM, "no memory for a KV cache");
    kv->shape = *shape;
    kv->head_bytes = head_bytes(shape);
    kv->block_bytes = cpu_kv_block_bytes(shape);
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

void cpu_kv_free(struct wm_backend *be, struct wm_kv *kv)
{
    (void)be;
    if (!kv)
        return;
    wm_pages_free(kv->data, kv->block_bytes * (size_t)kv->shape.blocks);
    free(kv);
}

void cpu_kv_discard(struct wm_backend *be, struct wm_kv *kv, int32_t block)
{
    (void)be;
    assert(block >= 0 && block < kv->shape.blocks);
    wm_pages_drop(kv->data + (size_t)block * kv->block_bytes, kv->block_bytes);
}

uint8_t *cpu_kv_head(const struct wm_kv *kv, int32_t block, int32_t layer, int32_t head)
{
    assert(block >= 0 && block < kv->shape.blocks && layer < kv->shape.layers && head < kv->shape.kv_heads);
    return kv->data + (size_t)block * kv->block_bytes +
           ((size_t)layer * (size_t)kv->shape.kv_heads + (size_t)head) * kv->head_bytes;
}

static void write_k(uint8_t *head, int n, int slot, const int8_t *codes, float scale)
{
    uint8_t *to = head + slot / 16 * n * 16 + slot % 16 * 2;
    for (int i = 0; i < n / 2; i++)
        memcpy(to + 32 * i, codes + 2 * i, 2);
    memcpy(head + wm_k_scales(n) + (size_t)slot * sizeof scale, &scale, sizeof scale);
}

static void write_v(uint8_t *head, int n, int slot, const int8_t *codes, float scale)
{
    int width = (n + 15) / 16 * 16;
    uint8_t *to = head + slot / 2 * width * 2 + slot % 2;
    for (int i = 0; i < n; i++)
        to[2 * i] = (uint8_t)codes[i];
    memcpy(head + wm_v_scales(n) + (size_t)slot * sizeof scale, &scale, sizeof scale);
}

/* --- rope ----------------------------------------------------------------------------------------------- */

/* What the sines and cosines in be->angles were made for lies in front of them. */
struct angles {
    int32_t rows, half; /* half = head_dim / 2 */
    double *inv_freq;   /* [half] */
    int64_t *positions; /* [rows] */
    float *turns;       /* [rows][half] cosines, then [rows][half] sines */
};

static size_t angles_bytes(int32_t rows, int32_t half)
{
    return sizeof(struct angles) + (size_t)half * sizeof(double) + (size_t)rows * sizeof(int64_t) +
           (size_t)rows * (size_t)half * 2 * sizeof(float);
}

static void turn_row(const struct angles *a, int32_t row)
{
    float *cosines = a->turns + (size_t)row * (size_t)a->half;
    float *sines = cosines + (size_t)a->rows * (size_t)a->half;
    for (int32_t i = 0; i < a->half; i++) {
        double angle = (double)a->positions[row] * a->inv_freq[i];
        cosines[i] = (float)cos(angle);
        sines[i] = (float)sin(angle);
    }
}

static void rotate(float *head, int n, enum wm_rope_pairing pairing, const float *cosines, const float *sines)
{
    int step = pairing == WM_ROPE_ADJACENT ? 2 : 1, apart = pairing == WM_ROPE_ADJACENT ? 1 : n / 2;
    for (int i = 0; i < n / 2; i++) {
        float *a = head + i * step, x = a[0], y = a[apart];
        a[0] = x * cosines[i] - y * sines[i];
        a[apart] = x * sines[i] + y * cosines[i];
    }
}

/* --- spreading what is large ---------------------------------------------------------------------------- */

/* Rope leaves keys with a few elements ten times larger than the rest, and those set the scale that all are rounded
 * with. Sums and differences of far elements (a Hadamard matrix, orthogonal) spread them; done to q and k alike
 * it changes no product. Measured on SmolLM2: a third of the error. */
static void spread(float *head, int n)
{
    const float half = 0x1.6a09e6p-1f; /* sqrt(1/2) */
    for (int apart = n; apart % 32 == 0;) {
        apart /= 2;
        for (int first = 0; first < n; first += 2 * apart)
            for (int i = first; i < first + apart; i += 16)
                for (int j = i; j < i + 16; j++) {
                    float a = head[j], b = head[j + apart];
                    head[j] = (a + b) * half;
                    head[j + apart] = (a - b) * half;
                }
    }
}

/* --- the operation -------------------------------------------------------------------------------------- */

struct job {
    const struct wm_cpu_path *path;
    const struct wm_batch *batch;
    const struct wm_qkv_post *op;
    struct angles *angles;
    bool new_angles;
};

/* Queries far into a conversation are sharpened: attention over millions of positions would else be even. */
static float temperature(const struct wm_qkv_post *op, int64_t position)
{
    if (op->temperature_floor <= 0)
        return 1;
    double floors = floor((double)(position + 1) / op->temperature_floor);
    return (float)(1 + op->temperature_scale * log(floors + 1));
}

/* Norm and temperature of one head, in one multiplication. */
static void scale_head(const struct job *job, float *head, float factor)
{
    size_t n = (size_t)job->op->head_dim;
    if (job->op->qk_norm)
        factor *= job->path->rms_factor(head, n, job->op->eps);
    for (size_t i = 0; i < n; i++)
        head[i] *= factor;
}

static void post_row(const struct job *job, const struct wm_span *span, int32_t row)
{
    const struct wm_qkv_post *op = job->op;
    int n = op->head_dim;
    int64_t position = span->first_pos + (row - span->first_row);
    float *q = act_row(op->qkv, row), *k = q + op->heads * n, *v = k + op->kv_heads * n;
    if (op->rope != WM_ROPE_NONE) {
        const struct angles *a = job->angles;
        if (job->new_angles)
            turn_row(a, row);
        const float *cosines = a->turns + (size_t)row * (size_t)a->half;
        for (int32_t h = 0; h < op->heads + op->kv_heads; h++)
            rotate(q + h * n, n, op->rope, cosines, cosines + (size_t)a->rows * (size_t)a->half);
    }
    float sharper = temperature(op, position);
    for (int32_t h = 0; h < op->heads + op->kv_heads; h++) {
        if (op->qk_norm || sharper != 1)
            scale_head(job, q + h * n, h < op->heads ? sharper : 1);
        spread(q + h * n, n);
    }
    int32_t block =
        span->table[op->group].blocks[position / WM_KV_BLOCK - span->table[op->group].first_block];
    int slot = (int)(position % WM_KV_BLOCK);
    for (int32_t h = 0; h < op->kv_heads; h++) {
        uint8_t *head = cpu_kv_head(op->kv, block, op->layer, h);
        int8_t codes[WM_MAX_HEAD_DIM];
        float scale = job->path->quantize(k + h * n, n, codes);
        write_k(head, n, slot, codes, scale);
        scale = job->path->quantize(v + h * n, n, codes);
        write_v(head + wm_k_bytes(n), n, slot, codes, scale);
    }
}

static void post_rows(void *arg, int chunk, int worker)
{
    (void)worker;
    const struct job *job = arg;
    int32_t row = chunk * ROWS_PER_CHUNK;
    int32_t end = row + ROWS_PER_CHUNK < job->batch->rows ? row + ROWS_PER_CHUNK : job->batch->rows;
    const struct wm_span *span = job->batch->spans;
    for (; row < end; row++) {
        while (row >= span->first_row + span->rows)
            span++;
        post_row(job, span, row);
    }
}

/* Finds or starts the table of angles for this batch. Its rows are filled in by turn_row. */
static enum wm_status find_angles(struct wm_backend *be, struct job *job, struct wm_error *err)
{
    int32_t rows = job->batch->rows, half = job->op->head_dim / 2;
    struct angles *old = be->angles.memory;
    bool same = old && old->rows == rows && old->half == half &&
                memcmp(old->inv_freq, job->op->inv_freq, (size_t)half * sizeof(double)) == 0;
    for (int32_t i = 0; same && i < job->batch->n_spans; i++) {
        const struct wm_span *span = &job->batch->spans[i];
        for (int32_t r = 0; same && r < span->rows; r++)
            same = old->positions[span->first_row + r] == span->first_pos + r;
    }
    job->angles = old;
    job->new_angles = !same;
    if (same)
        return WM_OK;
    struct angles *a = cpu_scratch(&be->angles, angles_bytes(rows, half));
    if (!a)
        return wm_fail(err, WM_ENOMEM, "no memory for the angles of %d rows", rows);
    *a = (struct angles){.rows = rows, .half = half, .inv_freq = (double *)(a + 1)};
    a->positions = (int64_t *)(a->inv_freq + half);
    a->turns = (float *)(a->positions + rows);
    memcpy(a->inv_freq, job->op->inv_freq, (size_t)half * sizeof(double));
    for (int32_t i = 0; i < job->batch->n_spans; i++) {
        const struct wm_span *span = &job->batch->spans[i];
        for (int32_t r = 0; r < span->rows; r++)
            a->positions[span->first_row + r] = span->first_pos + r;
    }
    job->angles = a;
    return WM_OK;
}

enum wm_status cpu_qkv_post(struct wm_backend *be, const struct wm_batch *batch, const struct wm_qkv_post *op,
                            struct wm_error *err)
{
    assert(op->qkv->width == (op->heads + 2 * op->kv_heads) * op->head_dim && batch->rows <= op->qkv->rows);
    assert(op->head_dim == op->kv->shape.head_dim && op->kv_heads == op->kv->shape.kv_heads);
    struct job job = {.path = be->path, .batch = batch, .op = op};
    if (op->rope != WM_ROPE_NONE) {
        enum wm_status st = find_angles(be, &job, err);
        if (st != WM_OK)
            return st;
    }
    if (batch->rows <= ROWS_ALONE)
        post_rows(&job, 0, 0);
    else
        wm_workers_run(be->workers, post_rows, &job, (batch->rows + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK);
    return WM_OK;
}

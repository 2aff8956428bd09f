/* tile_attention.c -- attention inside the tiles of a picture: two products and a softmax.
 *
 * WHY     A large picture is 17 tiles of 577 tokens, each of which looks at 577 others, in every layer. Nothing is
 *         cached and nothing is masked, so all of it is multiplication of floats.
 *
 * HOW     Sixteen queries of one head stand side by side in the lanes:
 *
 *           scores  [tokens][16] = keys  [tokens][head_dim]  x  queries [head_dim][16]
 *           weights [tokens][16] = softmax down each column
 *           out   [head_dim][16] = values^T [head_dim][tokens] x weights [tokens][16]
 *
 *         Both products are the float product of the path: a panel of 16 outputs is what stands in the lanes, keys and
 *         dimensions of values are its rows. The result of either is the panel or the sums that come next: nothing is
 *         turned round in between. Keys (rotated) and values are laid out as tiles once for each tile of the
 *         picture, then every (head, sixteen queries) is a chunk of work.
 *
 * ALWAYS  A query's lane never meets another's, and sums run over the tokens in order: its bits depend on nothing but
 *         its own tile.
 *
 * LIMITS  Scratch is K and V of one tile of the picture, once, and three small arrays for each thread.
 */
#include <assert.h>
#include <string.h>

#include "kernels/cpu/face.h"

/* `n` things in as few product tiles as they fit, spread evenly. */
struct cut {
    int32_t n, rows, tiles;
};

static struct cut cut(int32_t n)
{
    int32_t tiles = (n + WM_TILE_ROWS - 1) / WM_TILE_ROWS;
    int32_t rows = (n + tiles - 1) / tiles;
    return (struct cut){n, rows, (n + rows - 1) / rows};
}

static int rows_of(const struct cut *c, int32_t tile)
{
    int32_t left = c->n - tile * c->rows;
    return left < c->rows ? left : c->rows;
}

struct job {
    const struct wm_cpu_path *path;
    const struct wm_tile_attention *op;
    int32_t first_row;           /* of this tile of the picture */
    struct cut tokens, dims;     /* how keys, and dimensions of values, are cut into rows of products */
    int32_t queries;             /* sixteens of them */
    size_t key_floats;           /* of one head: [tokens.tiles][head_dim][tokens.rows] */
    size_t value_floats;         /* of one head: [dims.tiles][tokens][dims.rows] */
    size_t worker_floats;        /* of one worker: queries, weights, out */
    float *keys, *values, *work; /* of all heads, of all workers */
};

/* to[i * step] = element i of the head, rotated by its token's angles, times `factor`. */
static void rotate(const struct wm_tile_attention *op, int32_t token, const float *head, float factor,
                   float *to, size_t step)
{
    size_t half = (size_t)op->head_dim / 2;
    const float *cosines = op->cos + (size_t)token * half, *sines = op->sin + (size_t)token * half;
    for (size_t i = 0; i < half; i++) {
        float x = head[2 * i] * factor, y = head[2 * i + 1] * factor;
        to[2 * i * step] = x * cosines[i] - y * sines[i];
        to[(2 * i + 1) * step] = x * sines[i] + y * cosines[i];
    }
}

/* q (which = 0), k (1) or v (2) of one token and head. */
static const float *head_of(const struct job *job, int32_t token, int which, int32_t head)
{
    const struct wm_tile_attention *op = job->op;
    return act_row(op->qkv, job->first_row + token) +
           (size_t)(which * op->heads + head) * (size_t)op->head_dim;
}

/* Lays out the keys and values of one head. */
static void lay_out(void *arg, int head, int worker)
{
    (void)worker;
    const struct job *job = arg;
    size_t n = (size_t)job->op->head_dim, tokens = (size_t)job->op->tokens;
    size_t key_rows = (size_t)job->tokens.rows, value_rows = (size_t)job->dims.rows;
    float *keys = job->keys + (size_t)head * job->key_floats;
    float *values = job->values + (size_t)head * job->value_floats;
    for (int32_t t = 0; t < job->op->tokens; t++) {
        size_t tile = (size_t)(t / job->tokens.rows), row = (size_t)(t % job->tokens.rows);
        rotate(job->op, t, head_of(job, t, 1, head), 1, keys + tile * n * key_rows + row, key_rows);
        const float *v = head_of(job, t, 2, head);
        for (int32_t d = 0; d < job->dims.tiles; d++)
            memcpy(values + ((size_t)d * tokens + (size_t)t) * value_rows, v + d * job->dims.rows,
                   (size_t)rows_of(&job->dims, d) * sizeof *v);
    }
}

/* y[row][16] = rows of `x`, tile by tile, times the panel of `cols` x 16. */
static void multiply(const struct job *job, const float *panel, size_t cols, const float *x,
                     const struct cut *rows, float *y)
{
    for (int32_t t = 0; t < rows->tiles; t++)
        job->path->product(&(struct wm_product){
            .format = WM_FORMAT_F32,
            .panel = (const uint8_t *)panel,
            .cols = cols,
            .segment = cols,
            .x = x + (size_t)t * cols * (size_t)rows->rows,
            .rows = rows_of(rows, t),
            .tile_rows = rows->rows,
            .y = y + (size_t)t * (size_t)rows->rows * WM_PANEL,
            .y_stride = WM_PANEL,
            .outs = WM_PANEL,
        });
}

/* Sixteen queries of one head. */
static void attend(void *arg, int chunk, int worker)
{
    const struct job *job = arg;
    const struct wm_tile_attention *op = job->op;
    size_t n = (size_t)op->head_dim, tokens = (size_t)op->tokens;
    int32_t head = chunk / job->queries, first = chunk % job->queries * WM_PANEL;
    int32_t some = op->tokens - first < WM_PANEL ? op->tokens - first : WM_PANEL;
    float *queries = job->work + (size_t)worker * job->worker_floats;
    float *weights = queries + n * WM_PANEL, *out = weights + tokens * WM_PANEL, sums[WM_PANEL];

    if (some < WM_PANEL)
        memset(queries, 0, n * WM_PANEL * sizeof *queries);
    for (int32_t i = 0; i < some; i++)
        rotate(op, first + i, head_of(job, first + i, 0, head), op->scale, queries + i, WM_PANEL);
    multiply(job, queries, n, job->keys + (size_t)head * job->key_floats, &job->tokens, weights);
    job->path->softmax_columns(weights, tokens, sums);
    multiply(job, weights, tokens, job->values + (size_t)head * job->value_floats, &job->dims, out);
    for (int32_t i = 0; i < some; i++) {
        float *to = act_row(op->out, job->first_row + first + i) + (size_t)head * n, factor = 1 / sums[i];
        for (size_t d = 0; d < n; d++)
            to[d] = out[d * WM_PANEL + (size_t)i] * factor;
    }
}

enum wm_status cpu_tile_attention(struct wm_backend *be, const struct wm_tile_attention *op,
                                  struct wm_error *err)
{
    assert(op->head_dim % 2 == 0 && op->tokens >= 1);
    assert(op->qkv->width == 3 * op->heads * op->head_dim && op->out->width >= op->heads * op->head_dim);
    assert((int64_t)op->tiles * op->tokens <= op->qkv->rows &&
           (int64_t)op->tiles * op->tokens <= op->out->rows);
    struct job job = {.path = be->path, .op = op, .tokens = cut(op->tokens), .dims = cut(op->head_dim)};
    size_t heads = (size_t)op->heads, threads = (size_t)wm_workers_threads(be->workers);
    size_t n = (size_t)op->head_dim, tokens = (size_t)op->tokens;
    job.queries = (op->tokens + WM_PANEL - 1) / WM_PANEL;
    job.key_floats = (size_t)job.tokens.tiles * n * (size_t)job.tokens.rows;
    job.value_floats = (size_t)job.dims.tiles * tokens * (size_t)job.dims.rows;
    job.worker_floats = (2 * n + tokens) * WM_PANEL;
    job.work = cpu_scratch(&be->pictures,
                           (threads * job.worker_floats + heads * (job.key_floats + job.value_floats)) *
                               sizeof *job.work);
    if (!job.work)
        return wm_fail(err, WM_ENOMEM, "no memory for the attention of a tile of %d tokens", op->tokens);
    job.keys = job.work + threads * job.worker_floats;
    job.values = job.keys + heads * job.key_floats;
    for (int32_t t = 0; t < op->tiles; t++) {
        job.first_row = t * op->tokens;
        wm_workers_run(be->workers, lay_out, &job, op->heads);
        wm_workers_run(be->workers, attend, &job, op->heads * job.queries);
    }
    return WM_OK;
}

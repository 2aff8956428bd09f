/* attention.c -- cuts a ragged batch into work, and puts long histories together.
 *
 * WHY     A step holds single rows with histories of any length and slices of prompts; some steps hold one row with a
 *         very long one. All of these must keep every thread busy, and none may change a row's result.
 *
 * HOW     A tile is a few neighbouring rows of one sequence times the query heads of one KV head: up to WM_TILE_ROWS
 *         vectors that read the same K and V together. A history is cut into segments of SEGMENT_BLOCKS blocks (longer
 *         ones past SEGMENTS_MAX segments); each is attended to from an empty start, and their results are merged
 *         in order. With work enough for all threads one item does all segments of its tile; else each segment
 *         is an item, and a second pass merges. Either way the same numbers meet in the same order.
 *
 * ALWAYS  Where a segment ends depends on the row's own position alone: rows for which that differs, or that see
 *         different chunks, do not share a tile.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/face.h"

enum {
    SEGMENT_BLOCKS = 8,  /* 256 positions */
    SEGMENTS_MAX = 64,   /* of one tile */
    ITEMS_PER_THREAD = 3 /* with so many, segments need not be spread */
};

/* One tile of one KV head, or one segment of it. */
struct item {
    const struct wm_span *span;
    int32_t row, rows;   /* first row within the span */
    int32_t head, heads; /* query heads, all of one KV head */
    int64_t first_block; /* of positions / WM_KV_BLOCK that is visible */
    int32_t low;         /* first visible position in it */
    int32_t segment_blocks;
    int32_t segment, segments; /* [segment, segment + segments) are this item's */
    int32_t part;              /* its first partial result; -1: none, the item writes the output itself */
};

struct job {
    const struct wm_cpu_path *path;
    const struct wm_attention *op;
    struct item *items;
    int n_items;
    struct wm_attend *tiles; /* two per worker */
    struct wm_attend *parts;
};

static int64_t first_visible(const struct wm_attention *op, int64_t position)
{
    return op->chunk > 0 ? position / op->chunk * op->chunk : 0;
}

static int64_t visible_blocks(const struct wm_attention *op, int64_t position)
{
    return position / WM_KV_BLOCK - first_visible(op, position) / WM_KV_BLOCK + 1;
}

static int32_t segment_blocks(const struct wm_attention *op, int64_t position)
{
    int64_t even = (visible_blocks(op, position) + SEGMENTS_MAX - 1) / SEGMENTS_MAX;
    return even > SEGMENT_BLOCKS ? (int32_t)even : SEGMENT_BLOCKS;
}

/* --- one item ------------------------------------------------------------------------------------------- */

static void start(const struct job *job, const struct item *item, struct wm_attend *a)
{
    const struct wm_attention *op = job->op;
    a->vectors = item->rows * item->heads;
    a->head_dim = op->head_dim;
    for (int32_t r = 0; r < item->rows; r++) {
        const float *q = act_row(op->qkv, item->span->first_row + item->row + r) + item->head * op->head_dim;
        for (int32_t h = 0; h < item->heads; h++)
            job->path->attend_start(a, r * item->heads + h, q + h * op->head_dim, op->scale);
    }
}

static void attend_segment(const struct job *job, const struct item *item, int32_t segment,
                           struct wm_attend *a)
{
    const struct wm_attention *op = job->op;
    int64_t position = item->span->first_pos + item->row; /* of the tile's first row */
    int64_t last = (position + item->rows - 1) / WM_KV_BLOCK;
    int64_t block = item->first_block + (int64_t)segment * item->segment_blocks;
    int64_t end = block + item->segment_blocks < last + 1 ? block + item->segment_blocks : last + 1;
    int32_t kv_head = item->head / (op->heads / op->kv_heads);
    size_t k_bytes = wm_k_bytes(op->head_dim);
    start(job, item, a);
    for (; block < end; block++) {
        int high[WM_TILE_ROWS], first = 0;
        for (int32_t v = 0; v < a->vectors; v++) {
            int64_t in_block = position + v / item->heads - block * WM_KV_BLOCK;
            high[v] = in_block < WM_KV_BLOCK ? (int)in_block : WM_KV_BLOCK - 1;
            if (in_block < 0)
                first = v + 1; /* rows stand in order: all before it end earlier */
        }
        int32_t number =
            item->span->table[op->group].blocks[block - item->span->table[op->group].first_block];
        const uint8_t *k = cpu_kv_head(op->kv, number, op->layer, kv_head);
        job->path->attend_block(a, first, k, k + k_bytes, block == item->first_block ? item->low : 0, high);
    }
}

/* Adds what `part` has seen to `sum`. */
static void merge(struct wm_attend *sum, const struct wm_attend *part)
{
    for (int v = 0; v < sum->vectors; v++) {
        if (part->sum[v] == 0)
            continue; /* this row ends before that segment */
        float max = fmaxf(sum->max[v], part->max[v]);
        float old = expf(sum->max[v] - max), new = expf(part->max[v] - max);
        sum->max[v] = max;
        sum->sum[v] = sum->sum[v] * old + part->sum[v] * new;
        for (int i = 0; i < sum->head_dim; i++)
            sum->acc[v][i] = sum->acc[v][i] * old + part->acc[v][i] * new;
    }
}

static void write_out(const struct job *job, const struct item *item, const struct wm_attend *a)
{
    const struct wm_attention *op = job->op;
    for (int32_t v = 0; v < a->vectors; v++) {
        float *out = act_row(op->out, item->span->first_row + item->row + v / item->heads) +
                     (item->head + v % item->heads) * op->head_dim;
        float factor = 1 / a->sum[v];
        for (int32_t i = 0; i < op->head_dim; i++)
            out[i] = a->acc[v][i] * factor;
    }
}

static void do_item(void *arg, int chunk, int worker)
{
    const struct job *job = arg;
    const struct item *item = &job->items[chunk];
    struct wm_attend *whole = item->part >= 0 ? &job->parts[item->part] : &job->tiles[2 * worker];
    attend_segment(job, item, item->segment, whole);
    for (int32_t i = 1; i < item->segments; i++) {
        struct wm_attend *next = &job->tiles[2 * worker + 1];
        attend_segment(job, item, item->segment + i, next);
        merge(whole, next);
    }
    if (item->part < 0)
        write_out(job, item, whole);
}

/* --- the work list -------------------------------------------------------------------------------------- */

/* How many of the span's rows, from `row` on, make one tile; fills in what depends on their positions. */
static int32_t cut_tile(const struct wm_attention *op, const struct wm_span *span, int32_t row,
                        int32_t at_most, struct item *out)
{
    int64_t position = span->first_pos + row, first = first_visible(op, position);
    *out = (struct item){
        .span = span,
        .row = row,
        .rows = 1,
        .first_block = first / WM_KV_BLOCK,
        .low = (int32_t)(first % WM_KV_BLOCK),
        .segment_blocks = segment_blocks(op, position),
        .part = -1,
    };
    while (out->rows < at_most && row + out->rows < span->rows &&
           first_visible(op, position + out->rows) == first &&
           segment_blocks(op, position + out->rows) == out->segment_blocks)
        out->rows++;
    int64_t blocks = visible_blocks(op, position + out->rows - 1);
    out->segments = (int32_t)((blocks + out->segment_blocks - 1) / out->segment_blocks);
    return out->rows;
}

/* Calls for every tile of every KV head; with `items` NULL it only counts. */
static int list_tiles(const struct wm_batch *batch, const struct wm_attention *op, struct item *items)
{
    int n = 0;
    int32_t ratio = op->heads / op->kv_heads;
    int32_t heads_at_once = ratio < WM_TILE_ROWS ? ratio : WM_TILE_ROWS;
    for (int32_t s = 0; s < batch->n_spans; s++) {
        struct item tile;
        for (int32_t row = 0; row < batch->spans[s].rows; row += tile.rows) {
            cut_tile(op, &batch->spans[s], row, WM_TILE_ROWS / heads_at_once, &tile);
            for (int32_t head = 0; head < op->heads; head += tile.heads) {
                int32_t left = ratio - head % ratio;
                tile.head = head;
                tile.heads = left < heads_at_once ? left : heads_at_once;
                if (items)
                    items[n] = tile;
                n++;
            }
        }
    }
    return n;
}

static int count_segments(const struct item *tiles, int n)
{
    int total = 0;
    for (int i = 0; i < n; i++)
        total += tiles[i].segments;
    return total;
}

/* Every segment of every tile becomes an item with a partial result. */
static void spread(const struct item *tiles, int n, struct item *out)
{
    int part = 0;
    for (int i = 0; i < n; i++)
        for (int32_t s = 0; s < tiles[i].segments; s++, part++) {
            out[part] = tiles[i];
            out[part].segment = s;
            out[part].segments = 1;
            out[part].part = part;
        }
}

enum wm_status cpu_attention(struct wm_backend *be, const struct wm_batch *batch,
                             const struct wm_attention *op, struct wm_error *err)
{
    assert(op->heads % op->kv_heads == 0 && op->head_dim % 2 == 0 && op->head_dim <= WM_MAX_HEAD_DIM);
    assert(op->out->width >= op->heads * op->head_dim);
    int threads = wm_workers_threads(be->workers);
    int n = list_tiles(batch, op, NULL);
    /* few tiles: room for them and, behind them, for all their segments */
    bool few = n < threads * ITEMS_PER_THREAD;
    struct item *tiles = cpu_scratch(&be->items, (size_t)n * (few ? 1 + SEGMENTS_MAX : 1) * sizeof *tiles);
    struct job job = {be->path, op, tiles, n, NULL, NULL};
    job.tiles = cpu_scratch(&be->tiles, (size_t)threads * 2 * sizeof *job.tiles);
    if (!tiles || !job.tiles)
        goto no_memory;
    list_tiles(batch, op, tiles);

    int segments = few ? count_segments(tiles, n) : n;
    if (threads == 1 || segments == n) {
        wm_workers_run(be->workers, do_item, &job, n);
        return WM_OK;
    }
    job.parts = cpu_scratch(&be->parts, (size_t)segments * sizeof *job.parts);
    if (!job.parts)
        goto no_memory;
    job.items = tiles + n;
    spread(tiles, n, job.items);
    wm_workers_run(be->workers, do_item, &job, segments);
    for (int i = 0, part = 0; i < n; part += tiles[i].segments, i++) {
        for (int32_t s = 1; s < tiles[i].segments; s++)
            merge(&job.parts[part], &job.parts[part + s]);
        write_out(&job, &tiles[i], &job.parts[part]);
    }
    return WM_OK;

no_memory:
    return wm_fail(err, WM_ENOMEM, "no memory for the attention of %d rows", batch->rows);
}

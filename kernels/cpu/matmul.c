/* matmul.c -- a product: its input rows to tiles, then every panel against every tile.
 *
 * Two passes over the workers, because every panel needs all rows; a few rows are prepared by the caller alone, which
 * takes less time than calling the others. Rows are spread evenly over the tiles (16 rows are two tiles of 8, not
 * 12 and 4), and a chunk of panels goes through all tiles before the next: it stays in the cache.
 *
 * A precise product keeps what the first rounding left out as a second set of tiles, and adds their product to the
 * first's: 16 bits of input for twice the multiplications.
 */
#include <assert.h>

#include "kernels/cpu/face.h"

enum {
    ROWS_ALONE = 4,                      /* at most so many rows are prepared without the workers */
    ROWS_PER_CHUNK = 4,                  /* of preparing */
    CHUNKS_PER_THREAD = 8,               /* of panels: enough to even out a thread that is slower, */
    PRODUCTS_PER_CHUNK = 8 * 1000 * 1000 /* and with many rows more: some 50 us of the fastest path */
};

struct job {
    const struct wm_cpu_path *path;
    const struct wm_matmul *op;
    struct wm_prepare prepare;
    int tiles, tile_rows; /* the last tile may have fewer */
    struct x_group *groups;
    struct x_group *rest; /* NULL unless precise */
    float *floats;
    size_t tile_groups, tile_floats; /* elements of one tile */
    int64_t panels;                  /* of all parts */
    int panels_per_chunk;
};

static void prepare_rows(void *arg, int chunk, int worker)
{
    (void)worker;
    const struct job *job = arg;
    const struct wm_matmul *op = job->op;
    int32_t end = (chunk + 1) * ROWS_PER_CHUNK < op->rows ? (chunk + 1) * ROWS_PER_CHUNK : op->rows;
    for (int32_t r = chunk * ROWS_PER_CHUNK; r < end; r++) {
        int32_t from = op->index ? op->index[r] : r;
        assert(from >= 0 && from < op->x->rows);
        size_t tile = (size_t)(r / job->tile_rows);
        job->path->prepare(&job->prepare, act_row(op->x, from), r % job->tile_rows,
                           job->groups ? job->groups + tile * job->tile_groups : NULL,
                           job->rest ? job->rest + tile * job->tile_groups : NULL,
                           job->floats ? job->floats + tile * job->tile_floats : NULL);
    }
}

/* Panel `i` of `p` against every tile. */
static void one_panel(const struct job *job, const struct panels *p, int64_t i)
{
    const struct wm_matmul *op = job->op;
    bool is_float = wm_format_is_float(p->format);
    struct wm_product product = {
        .format = p->format,
        .panel = p->data + (size_t)i * p->panel_bytes,
        .cols = job->prepare.cols,
        .y_stride = op->y->stride,
        .outs = p->rows - i * WM_PANEL < WM_PANEL ? (int)(p->rows - i * WM_PANEL) : WM_PANEL,
    };
    for (int t = 0; t < job->tiles; t++) {
        int first = t * job->tile_rows;
        product.rows = op->rows - first < job->tile_rows ? op->rows - first : job->tile_rows;
        product.y = act_row(op->y, first) + p->first_out + i * WM_PANEL;
        product.bias = op->bias ? op->bias + p->first_out + i * WM_PANEL : NULL;
        product.add = op->add;
        if (is_float)
            product.x = job->floats + (size_t)t * job->tile_floats;
        else
            product.x = job->groups + (size_t)t * job->tile_groups;
        job->path->product(&product);
        if (is_float || !job->rest)
            continue;
        product.x = job->rest + (size_t)t * job->tile_groups;
        product.bias = NULL;
        product.add = true;
        job->path->product(&product);
    }
}

static void some_panels(void *arg, int chunk, int worker)
{
    (void)worker;
    const struct job *job = arg;
    const struct panels *part = job->op->w->panels;
    int64_t i = (int64_t)chunk * job->panels_per_chunk;
    int64_t end = i + job->panels_per_chunk < job->panels ? i + job->panels_per_chunk : job->panels;
    for (int64_t before = 0; i < end; i++) {
        int64_t in_part = (part->rows + WM_PANEL - 1) / WM_PANEL;
        while (i - before >= in_part) {
            before += in_part;
            part++;
            in_part = (part->rows + WM_PANEL - 1) / WM_PANEL;
        }
        one_panel(job, part, i - before);
    }
}

enum wm_status cpu_matmul(struct wm_backend *be, const struct wm_matmul *op, struct wm_error *err)
{
    const struct wm_weight *w = op->w;
    size_t cols = (size_t)w->cols;
    assert(op->x != op->y && op->y->rows >= op->rows && op->y->width >= w->rows);
    assert(op->x->width >= (op->prologue == WM_PROLOGUE_SWIGLU ? 2 : 1) * w->cols);
    if (op->rows == 0)
        return WM_OK;

    struct job job = {
        .path = be->path,
        .op = op,
        .prepare = {op->prologue, op->norm, op->norm_bias, op->eps, cols},
        .tiles = (op->rows + WM_TILE_ROWS - 1) / WM_TILE_ROWS,
        .tile_groups = cols / WM_GROUP * WM_TILE_ROWS,
        .tile_floats = cols * WM_TILE_ROWS,
    };
    job.tile_rows = (op->rows + job.tiles - 1) / job.tiles;
    job.tiles = (op->rows + job.tile_rows - 1) / job.tile_rows;
    size_t groups = (size_t)job.tiles * job.tile_groups;
    if (w->any_codes)
        job.groups = cpu_scratch(&be->groups, (op->precise ? 2 : 1) * groups * sizeof *job.groups);
    if (job.groups && op->precise)
        job.rest = job.groups + groups;
    if (w->any_floats)
        job.floats = cpu_scratch(&be->floats, (size_t)job.tiles * job.tile_floats * sizeof *job.floats);
    if ((w->any_codes && !job.groups) || (w->any_floats && !job.floats))
        return wm_fail(err, WM_ENOMEM, "no memory for the input of a product of %d rows", op->rows);

    int chunks = (op->rows + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK;
    if (op->rows <= ROWS_ALONE)
        prepare_rows(&job, 0, 0);
    else
        wm_workers_run(be->workers, prepare_rows, &job, chunks);

    for (int i = 0; i < w->n_parts; i++)
        job.panels += (w->panels[i].rows + WM_PANEL - 1) / WM_PANEL;
    int wanted = wm_workers_threads(be->workers) * CHUNKS_PER_THREAD;
    int64_t even = (job.panels + wanted - 1) / wanted;
    int64_t quick = PRODUCTS_PER_CHUNK / (WM_PANEL * w->cols * op->rows) + 1;
    job.panels_per_chunk = (int)(even < quick ? even : quick);
    chunks = (int)((job.panels + job.panels_per_chunk - 1) / job.panels_per_chunk);
    wm_workers_run(be->workers, some_panels, &job, chunks);
    return WM_OK;
}

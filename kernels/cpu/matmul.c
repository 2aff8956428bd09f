/* matmul.c -- a product: its input rows to tiles, then every panel against every tile.
 *
 * Two passes over the workers, because every panel needs all rows; a few rows are prepared by the caller
 * alone, which takes less time than calling the others. Rows are spread evenly over the tiles (16 rows are
 * two tiles of 8, not 12 and 4), and a chunk of panels goes through all tiles before the next: it stays in the cache.
 *
 * Rows may come in runs, each with a weight of its own: the experts of a layer are one product, in which no
 * thread waits for another between experts.
 *
 * A precise product keeps what the first rounding left out as a second set of tiles, and adds their product
 * to the first's: 16 bits of input for twice the multiplications.
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
    const float *scores;
    struct cpu_run *runs;
    int n_runs;
    struct wm_prepare prepare;
    struct x_group *groups;
    struct x_group *rest; /* NULL unless precise */
    float *floats;
    size_t tile_groups, tile_floats; /* elements of one tile */
    int64_t panels;                  /* of all runs */
    int panels_per_chunk;
};

static int64_t count_panels(const struct wm_weight *w)
{
    int64_t n = 0;
    for (int i = 0; i < w->n_parts; i++)
        n += (w->panels[i].rows + WM_PANEL - 1) / WM_PANEL;
    return n;
}

static void prepare_rows(void *arg, int chunk, int worker)
{
    (void)worker;
    const struct job *job = arg;
    const struct wm_matmul *op = job->op;
    const struct cpu_run *run = job->runs;
    int32_t end = (chunk + 1) * ROWS_PER_CHUNK < op->rows ? (chunk + 1) * ROWS_PER_CHUNK : op->rows;
    for (int32_t r = chunk * ROWS_PER_CHUNK; r < end; r++) {
        while (r >= run->first_row + run->rows)
            run++;
        int32_t from = op->index ? op->index[r] : r, row = r - run->first_row;
        assert(from >= 0 && from < op->x->rows);
        size_t tile = (size_t)(run->first_tile + row / run->tile_rows);
        struct wm_prepare prepare = job->prepare;
        prepare.score = job->scores ? job->scores[r] : 1;
        prepare.tile_rows = run->tile_rows;
        job->path->prepare(&prepare, act_row(op->x, from), row % run->tile_rows,
                           job->groups ? job->groups + tile * job->tile_groups : NULL,
                           job->rest ? job->rest + tile * job->tile_groups : NULL,
                           job->floats ? job->floats + tile * job->tile_floats : NULL);
    }
}

/* Panel `i` of `p` against every tile of the run. */
static void one_panel(const struct job *job, const struct cpu_run *run, const struct panels *p, int64_t i)
{
    const struct wm_matmul *op = job->op;
    bool is_float = wm_format_is_float(p->format);
    struct wm_product product = {
        .format = p->format,
        .panel = p->data + (size_t)i * p->panel_bytes,
        .cols = job->prepare.cols,
        .segment = p->segment,
        .tile_rows = run->tile_rows,
        .y_stride = op->y->stride,
        .outs = p->rows - i * WM_PANEL < WM_PANEL ? (int)(p->rows - i * WM_PANEL) : WM_PANEL,
    };
    for (int t = 0; t < run->tiles; t++) {
        int first = t * run->tile_rows;
        size_t tile = (size_t)(run->first_tile + t);
        product.rows = run->rows - first < run->tile_rows ? run->rows - first : run->tile_rows;
        product.y = act_row(op->y, run->first_row + first) + p->first_out + i * WM_PANEL;
        product.bias = op->bias ? op->bias + p->first_out + i * WM_PANEL : NULL;
        product.add = op->add;
        if (is_float)
            product.x = job->floats + tile * job->tile_floats;
        else
            product.x = job->groups + tile * job->tile_groups;
        job->path->product(&product);
        if (is_float || !job->rest)
            continue;
        product.x = job->rest + tile * job->tile_groups;
        product.bias = NULL;
        product.add = true;
        job->path->product(&product);
    }
}

static void some_panels(void *arg, int chunk, int worker)
{
    (void)worker;
    const struct job *job = arg;
    int64_t i = (int64_t)chunk * job->panels_per_chunk;
    int64_t end = i + job->panels_per_chunk < job->panels ? i + job->panels_per_chunk : job->panels;
    const struct cpu_run *run = job->runs;
    for (; i - run->first_panel >= count_panels(run->w); run++)
        ;
    const struct panels *part = run->w->panels;
    for (int64_t before = run->first_panel; i < end; i++) {
        int64_t in_part = (part->rows + WM_PANEL - 1) / WM_PANEL;
        while (i - before >= in_part) {
            before += in_part;
            if (++part == run->w->panels + run->w->n_parts)
                part = (++run)->w->panels;
            in_part = (part->rows + WM_PANEL - 1) / WM_PANEL;
        }
        one_panel(job, run, part, i - before);
    }
}

/* Rows are spread evenly over a run's tiles. Returns how many there are in all; *most is the largest run's rows. */
static int lay_out(struct job *job, int32_t *most)
{
    int tiles = 0;
    *most = 0;
    for (int i = 0; i < job->n_runs; i++) {
        struct cpu_run *run = &job->runs[i];
        assert(run->rows >= 1 && run->first_row + run->rows <= job->op->rows);
        int wanted = (run->rows + WM_TILE_ROWS - 1) / WM_TILE_ROWS;
        run->tile_rows = (run->rows + wanted - 1) / wanted;
        run->tiles = (run->rows + run->tile_rows - 1) / run->tile_rows;
        run->first_tile = tiles;
        tiles += run->tiles;
        run->first_panel = job->panels;
        job->panels += count_panels(run->w);
        *most = run->rows > *most ? run->rows : *most;
    }
    return tiles;
}

enum wm_status cpu_matmul_runs(struct wm_backend *be, const struct wm_matmul *op, const float *scores,
                               struct cpu_run *runs, int n_runs, struct wm_error *err)
{
    int64_t cols = runs[0].w->cols;
    assert(op->x != op->y && op->y->rows >= op->rows && op->y->width >= runs[0].w->rows);
    assert(op->x->width >= (op->prologue == WM_PROLOGUE_SWIGLU ? 2 : 1) * cols);
    struct job job = {
        .path = be->path,
        .op = op,
        .scores = scores,
        .runs = runs,
        .n_runs = n_runs,
        .prepare = {op->prologue, op->norm, op->norm_bias, op->eps, 1, (size_t)cols, 0},
        .tile_groups = ((size_t)cols + WM_GROUP - 1) / WM_GROUP * WM_TILE_ROWS,
        .tile_floats = (size_t)cols * WM_TILE_ROWS,
    };
    int32_t most;
    size_t tiles = (size_t)lay_out(&job, &most);
    bool codes = false, floats = false;
    for (int i = 0; i < n_runs; i++) {
        assert(runs[i].w->cols == cols && runs[i].w->rows == runs[0].w->rows);
        codes |= runs[i].w->any_codes;
        floats |= runs[i].w->any_floats;
    }
    if (codes)
        job.groups =
            cpu_scratch(&be->groups, (op->precise ? 2 : 1) * tiles * job.tile_groups * sizeof *job.groups);
    if (job.groups && op->precise)
        job.rest = job.groups + tiles * job.tile_groups;
    if (floats)
        job.floats = cpu_scratch(&be->floats, tiles * job.tile_floats * sizeof *job.floats);
    if ((codes && !job.groups) || (floats && !job.floats))
        return wm_fail(err, WM_ENOMEM, "no memory for the input of a product of %d rows", op->rows);

    if (op->rows <= ROWS_ALONE)
        prepare_rows(&job, 0, 0);
    else
        wm_workers_run(be->workers, prepare_rows, &job, (op->rows + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK);

    int wanted = wm_workers_threads(be->workers) * CHUNKS_PER_THREAD;
    int64_t even = (job.panels + wanted - 1) / wanted;
    int64_t quick = PRODUCTS_PER_CHUNK / (WM_PANEL * cols * most) + 1;
    job.panels_per_chunk = (int)(even < quick ? even : quick);
    wm_workers_run(be->workers, some_panels, &job,
                   (int)((job.panels + job.panels_per_chunk - 1) / job.panels_per_chunk));
    return WM_OK;
}

enum wm_status cpu_matmul(struct wm_backend *be, const struct wm_matmul *op, struct wm_error *err)
{
    if (op->rows == 0)
        return WM_OK;
    struct cpu_run all = {.w = op->w, .rows = op->rows};
    return cpu_matmul_runs(be, op, NULL, &all, 1, err);
}

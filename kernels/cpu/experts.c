/* experts.c -- the experts of a layer: chosen for each row, packed when first needed, run as one product.
 *
 * WHY     A layer of many experts is mostly weights that a given batch does not touch. With one row the
 *         chosen expert must run at the speed of memory, like any other product; with many rows each expert's
 *         weights should be read once for all rows that go to it.
 *
 * HOW     The pairs (row, route) are sorted by expert (wm_routes_group); the pairs of one expert are a run of
 *         a product (matmul.c), so that gate and up of all experts are two passes over the workers, and down
 *         two more. The outputs of the pairs lie beside each other until a last pass adds them, each row's in
 *         the order of its routes.
 *
 * ALWAYS  (1) A row's sum is made of the same numbers in the same order in any company: nothing is added from
 *             two threads.
 *         (2) y is written after the last read of x.
 *
 * LIMITS  Scratch for each pair: 2 hidden + width floats. The first use of an expert packs it, on all
 *         workers, while its row waits: about a tenth of a second for 100 MB on two threads.
 */
#include <assert.h>
#include <stdlib.h>

#include "kernels/cpu/face.h"
#include "kernels/routes.h"

enum { ROWS_PER_CHUNK = 4 /* of adding */ };

struct expert {
    struct wm_expert_matrices from;
    struct wm_weight *gate_up, *down; /* NULL before it is first needed */
};

struct wm_experts {
    int32_t n;
    int64_t width, hidden;
    struct expert *expert;
};

/* --- packing -------------------------------------------------------------------------------------------- */

void cpu_experts_free(struct wm_backend *be, struct wm_experts *x)
{
    if (!x)
        return;
    for (int32_t e = 0; e < x->n; e++) {
        cpu_weight_free(be, x->expert[e].gate_up);
        cpu_weight_free(be, x->expert[e].down);
    }
    free(x->expert);
    free(x);
}

enum wm_status cpu_experts_new(struct wm_backend *be, const struct wm_expert_matrices *experts, int32_t n,
                               struct wm_experts **out, struct wm_error *err)
{
    (void)be;
    assert(n >= 1);
    struct wm_experts *x = calloc(1, sizeof *x);
    struct expert *all = calloc((size_t)n, sizeof *all);
    if (!x || !all) {
        free(x);
        free(all);
        return wm_fail(err, WM_ENOMEM, "no memory for %d experts", n);
    }
    *x = (struct wm_experts){n, experts[0].down.rows, experts[0].down.cols, all};
    for (int32_t e = 0; e < n; e++) {
        const struct wm_expert_matrices *m = &experts[e];
        assert(m->gate.cols == x->width && m->gate.rows == x->hidden && m->up.rows == x->hidden);
        assert(m->down.rows == x->width && m->down.cols == x->hidden);
        x->expert[e].from = *m;
    }
    *out = x;
    return WM_OK;
}

size_t cpu_experts_bytes(const struct wm_experts *x)
{
    size_t bytes = sizeof *x + (size_t)x->n * sizeof *x->expert;
    for (int32_t e = 0; e < x->n; e++)
        if (x->expert[e].down)
            bytes += cpu_weight_bytes(x->expert[e].gate_up) + cpu_weight_bytes(x->expert[e].down);
    return bytes;
}

static enum wm_status pack_expert(struct wm_backend *be, struct expert *e, struct wm_error *err)
{
    if (e->down)
        return WM_OK;
    struct wm_weight *gate_up, *down;
    enum wm_status st =
        cpu_weight_new(be, (struct wm_matrix[]){e->from.gate, e->from.up}, 2, WM_USE_MATMUL, &gate_up, err);
    if (st != WM_OK)
        return st;
    st = cpu_weight_new(be, &e->from.down, 1, WM_USE_MATMUL, &down, err);
    if (st != WM_OK) {
        cpu_weight_free(be, gate_up);
        return st;
    }
    e->gate_up = gate_up;
    e->down = down;
    return WM_OK;
}

/* --- choosing ------------------------------------------------------------------------------------------- */

enum wm_status cpu_route(struct wm_backend *be, const struct wm_route *op, struct wm_error *err)
{
    struct wm_matmul product = {.x = op->x,
                                .rows = op->rows,
                                .prologue = WM_PROLOGUE_RMS_NORM,
                                .norm = op->norm,
                                .eps = op->eps,
                                .w = op->w,
                                .y = op->logits};
    enum wm_status st = cpu_matmul(be, &product, err);
    if (st != WM_OK)
        return st;
    assert(op->rows <= op->routes->rows && op->routes->used <= op->w->rows);
    for (int32_t r = 0; r < op->rows; r++) {
        const float *logits = act_row(op->logits, r);
        for (int32_t e = 0; e < op->w->rows; e++)
            wm_routes_offer(op->routes, r, e, (double)logits[e]);
        wm_routes_finish(op->routes, r);
    }
    return WM_OK;
}

/* --- running -------------------------------------------------------------------------------------------- */

/* Scratch of one operation. */
struct routing {
    struct cpu_run *runs;
    int n_runs;
    int32_t *first, *place, *row_at; /* see wm_routes_group */
    float *scores;                   /* of the row at each place */
};

static enum wm_status group(struct wm_backend *be, const struct wm_expert_run *op, struct routing *g,
                            struct wm_error *err)
{
    size_t n = (size_t)op->experts->n, pairs = (size_t)op->rows * (size_t)op->routes->used;
    g->runs = cpu_scratch(&be->routing, n * sizeof *g->runs + (n + 1 + 2 * pairs) * sizeof *g->first +
                                            pairs * sizeof *g->scores);
    if (!g->runs)
        return wm_fail(err, WM_ENOMEM, "no memory to send %d rows to experts", op->rows);
    g->first = (int32_t *)(g->runs + n);
    g->place = g->first + n + 1;
    g->row_at = g->place + pairs;
    g->scores = (float *)(g->row_at + pairs);
    wm_routes_group(op->routes, op->rows, op->experts->n, g->first, g->place, g->row_at);
    for (size_t p = 0; p < pairs; p++)
        g->scores[g->place[p]] = (float)op->routes->scores[p];
    return WM_OK;
}

/* The experts that have rows, as runs that meet their gate and up, or their down. */
static void make_runs(const struct wm_experts *x, struct routing *g, bool down)
{
    g->n_runs = 0;
    for (int32_t e = 0; e < x->n; e++)
        if (g->first[e + 1] > g->first[e])
            g->runs[g->n_runs++] = (struct cpu_run){.w = down ? x->expert[e].down : x->expert[e].gate_up,
                                                    .first_row = g->first[e],
                                                    .rows = g->first[e + 1] - g->first[e]};
}

struct adding {
    const struct wm_expert_run *op;
    const int32_t *place;
    const struct wm_act *sums;
};

static void add_rows(void *arg, int chunk, int worker)
{
    (void)worker;
    const struct adding *a = arg;
    int32_t rows = a->op->rows, used = a->op->routes->used;
    int32_t end = (chunk + 1) * ROWS_PER_CHUNK < rows ? (chunk + 1) * ROWS_PER_CHUNK : rows;
    for (int32_t r = chunk * ROWS_PER_CHUNK; r < end; r++) {
        float *y = act_row(a->op->y, r);
        for (int32_t i = 0; i < used; i++) {
            const float *sum = act_row(a->sums, a->place[r * used + i]);
            for (int32_t j = 0; j < a->sums->width; j++)
                y[j] += sum[j];
        }
    }
}

/* An activation in scratch memory; data NULL when that ran out. */
static struct wm_act scratch_act(struct scratch *s, int32_t rows, int64_t width)
{
    struct wm_act act = {rows, (int32_t)width, ((size_t)width + 15) / 16 * 16, NULL};
    act.data = cpu_scratch(s, ((size_t)rows * act.stride + 16) * sizeof *act.data);
    return act;
}

enum wm_status cpu_expert_run(struct wm_backend *be, const struct wm_expert_run *op, struct wm_error *err)
{
    const struct wm_experts *x = op->experts;
    assert(op->rows <= op->routes->rows && op->x->width >= x->width && op->y->width >= x->width);
    int32_t pairs = op->rows * op->routes->used;
    if (pairs == 0)
        return WM_OK;
    struct routing g;
    enum wm_status st = group(be, op, &g, err);
    for (int32_t e = 0; e < x->n && st == WM_OK; e++)
        if (g.first[e + 1] > g.first[e])
            st = pack_expert(be, &x->expert[e], err);
    if (st != WM_OK)
        return st;
    struct wm_act hidden = scratch_act(&be->hidden, pairs, 2 * x->hidden);
    struct wm_act sums = scratch_act(&be->sums, pairs, x->width);
    if (!hidden.data || !sums.data)
        return wm_fail(err, WM_ENOMEM, "no memory for %d rows of experts", pairs);

    struct wm_matmul gate_up = {.x = op->x,
                                .index = g.row_at,
                                .rows = pairs,
                                .prologue = WM_PROLOGUE_RMS_NORM,
                                .norm = op->norm,
                                .eps = op->eps,
                                .y = &hidden};
    make_runs(x, &g, false);
    st = cpu_matmul_runs(be, &gate_up, g.scores, g.runs, g.n_runs, err);
    if (st != WM_OK)
        return st;
    struct wm_matmul down = {.x = &hidden, .rows = pairs, .prologue = WM_PROLOGUE_SWIGLU, .y = &sums};
    make_runs(x, &g, true);
    st = cpu_matmul_runs(be, &down, NULL, g.runs, g.n_runs, err);
    if (st != WM_OK)
        return st;

    struct adding adding = {op, g.place, &sums};
    int chunks = (op->rows + ROWS_PER_CHUNK - 1) / ROWS_PER_CHUNK;
    if (chunks == 1)
        add_rows(&adding, 0, 0);
    else
        wm_workers_run(be->workers, add_rows, &adding, chunks);
    return WM_OK;
}

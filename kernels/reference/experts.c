/* experts.c -- which experts a row goes to, and what they add to it: by way of plain products. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/reference/face.h"
#include "kernels/routes.h"

struct expert {
    struct wm_weight *gate_up, *down;
};

struct wm_experts {
    int32_t n;
    int64_t width, hidden;
    struct expert expert[];
};

void reference_experts_free(struct wm_backend *be, struct wm_experts *x)
{
    for (int32_t e = 0; x && e < x->n; e++) {
        reference_weight_free(be, x->expert[e].gate_up);
        reference_weight_free(be, x->expert[e].down);
    }
    free(x);
}

enum wm_status reference_experts_new(struct wm_backend *be, const struct wm_expert_matrices *experts,
                                     int32_t n, struct wm_experts **out, struct wm_error *err)
{
    assert(n >= 1);
    struct wm_experts *x = calloc(1, sizeof *x + (size_t)n * sizeof *x->expert);
    if (!x)
        return wm_fail(err, WM_ENOMEM, "no memory for %d experts", n);
    x->n = n;
    x->width = experts[0].down.rows;
    x->hidden = experts[0].down.cols;
    for (int32_t e = 0; e < n; e++) {
        const struct wm_expert_matrices *m = &experts[e];
        assert(m->gate.cols == x->width && m->gate.rows == x->hidden && m->up.rows == x->hidden);
        assert(m->down.rows == x->width && m->down.cols == x->hidden);
        enum wm_status st = reference_weight_new(be, (struct wm_matrix[]){m->gate, m->up}, 2, WM_USE_MATMUL,
                                                 &x->expert[e].gate_up, err);
        if (st == WM_OK)
            st = reference_weight_new(be, &m->down, 1, WM_USE_MATMUL, &x->expert[e].down, err);
        if (st != WM_OK) {
            reference_experts_free(be, x);
            return st;
        }
    }
    *out = x;
    return WM_OK;
}

size_t reference_experts_bytes(const struct wm_experts *x)
{
    size_t bytes = sizeof *x + (size_t)x->n * sizeof *x->expert;
    for (int32_t e = 0; e < x->n; e++)
        bytes += reference_weight_bytes(x->expert[e].gate_up) + reference_weight_bytes(x->expert[e].down);
    return bytes;
}

enum wm_status reference_route(struct wm_backend *be, const struct wm_route *op, struct wm_error *err)
{
    enum wm_status st = reference_matmul(be,
                                         &(struct wm_matmul){.x = op->x,
                                                             .rows = op->rows,
                                                             .prologue = WM_PROLOGUE_RMS_NORM,
                                                             .norm = op->norm,
                                                             .eps = op->eps,
                                                             .w = op->w,
                                                             .y = op->logits},
                                         err);
    if (st != WM_OK)
        return st;
    int32_t experts = op->logits->width;
    assert(op->rows <= op->routes->rows && op->routes->used <= experts);
    for (int32_t r = 0; r < op->rows; r++) {
        for (int32_t e = 0; e < experts; e++)
            wm_routes_offer(op->routes, r, e, op->logits->data[(size_t)r * (size_t)experts + (size_t)e]);
        wm_routes_finish(op->routes, r);
    }
    return WM_OK;
}

static void scaled_norm(const struct wm_expert_run *op, int32_t row, double score, double *z)
{
    int64_t width = op->experts->width;
    const double *x = op->x->data + (size_t)row * (size_t)op->x->width;
    double sum = 0;
    for (int64_t i = 0; i < width; i++)
        sum += x[i] * x[i];
    double factor = score / sqrt(sum / (double)width + (double)op->eps);
    for (int64_t i = 0; i < width; i++)
        z[i] = x[i] * factor * (double)op->norm[i];
}

/* Activations of one operation; free(act.data). */
static bool new_rows(struct wm_act *act, int32_t rows, int64_t width)
{
    *act = (struct wm_act){rows, (int32_t)width, calloc((size_t)rows * (size_t)width, sizeof(double))};
    return act->data != NULL;
}

/* `rows` rows of act from `first` on, as an activation of their own. */
static struct wm_act part_of(const struct wm_act *act, int32_t first, int32_t rows)
{
    return (struct wm_act){rows, act->width, act->data + (size_t)first * (size_t)act->width};
}

static enum wm_status one_expert(struct wm_backend *be, const struct expert *e, int32_t first, int32_t rows,
                                 const struct wm_act *z, const struct wm_act *h, const struct wm_act *sums,
                                 struct wm_error *err)
{
    if (rows == 0)
        return WM_OK;
    struct wm_act in = part_of(z, first, rows), middle = part_of(h, first, rows),
                  out = part_of(sums, first, rows);
    struct wm_matmul up = {.x = &in, .rows = rows, .w = e->gate_up, .y = &middle};
    struct wm_matmul down = {
        .x = &middle, .rows = rows, .prologue = WM_PROLOGUE_SWIGLU, .w = e->down, .y = &out};
    enum wm_status st = reference_matmul(be, &up, err);
    return st == WM_OK ? reference_matmul(be, &down, err) : st;
}

/* A row goes to an expert once for each of its routes: such pairs are sorted by expert, and lie so in z, h and sums. */
enum wm_status reference_expert_run(struct wm_backend *be, const struct wm_expert_run *op,
                                    struct wm_error *err)
{
    const struct wm_experts *experts = op->experts;
    const struct wm_routes *routes = op->routes;
    assert(op->rows <= routes->rows && op->x->width >= experts->width && op->y->width >= experts->width);
    int32_t pairs = op->rows * routes->used;
    if (pairs == 0)
        return WM_OK;
    size_t n = (size_t)pairs, width = (size_t)experts->width;
    enum wm_status st = WM_OK;
    struct wm_act z = {0}, h = {0}, sums = {0};
    int32_t *numbers = calloc((size_t)experts->n + 1 + 2 * n, sizeof *numbers);
    if (!numbers || !new_rows(&z, pairs, experts->width) || !new_rows(&h, pairs, 2 * experts->hidden) ||
        !new_rows(&sums, pairs, experts->width)) {
        st = wm_fail(err, WM_ENOMEM, "no memory for %d rows of experts", pairs);
        goto out;
    }
    int32_t *first = numbers, *place = first + experts->n + 1, *row_at = place + n;
    wm_routes_group(routes, op->rows, experts->n, first, place, row_at);
    for (size_t p = 0; p < n; p++)
        scaled_norm(op, row_at[place[p]], routes->scores[p], z.data + (size_t)place[p] * width);
    for (int32_t e = 0; e < experts->n && st == WM_OK; e++)
        st = one_expert(be, &experts->expert[e], first[e], first[e + 1] - first[e], &z, &h, &sums, err);
    if (st != WM_OK)
        goto out;
    for (size_t p = 0; p < n; p++) { /* a row's routes one after the other: the order of its sum */
        double *y = op->y->data + p / (size_t)routes->used * (size_t)op->y->width;
        for (size_t i = 0; i < width; i++)
            y[i] += sums.data[(size_t)place[p] * width + i];
    }

out:
    free(numbers);
    free(z.data);
    free(h.data);
    free(sums.data);
    return st;
}

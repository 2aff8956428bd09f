/* routes.c -- which experts each row goes to. */
#include "kernels/routes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum wm_status wm_routes_new(struct wm_backend *be, int32_t rows, int32_t used, struct wm_routes **out,
                             struct wm_error *err)
{
    (void)be;
    assert(rows >= 0 && used >= 1);
    size_t n = (size_t)rows * (size_t)used;
    struct wm_routes *routes = calloc(1, sizeof *routes);
    int32_t *experts = calloc(n + 1, sizeof *experts);
    double *scores = calloc(n + 1, sizeof *scores);
    if (!routes || !experts || !scores) {
        free(routes);
        free(experts);
        free(scores);
        return wm_fail(err, WM_ENOMEM, "no memory for the routes of %d rows to %d experts each", rows, used);
    }
    *routes = (struct wm_routes){rows, used, experts, scores};
    *out = routes;
    return WM_OK;
}

void wm_routes_free(struct wm_backend *be, struct wm_routes *routes)
{
    (void)be;
    if (!routes)
        return;
    free(routes->experts);
    free(routes->scores);
    free(routes);
}

enum wm_status wm_routes_read(struct wm_backend *be, const struct wm_routes *routes, int32_t rows,
                              int32_t *experts, float *scores, struct wm_error *err)
{
    (void)be;
    (void)err;
    assert(rows >= 0 && rows <= routes->rows);
    for (size_t i = 0; i < (size_t)rows * (size_t)routes->used; i++) {
        experts[i] = routes->experts[i];
        scores[i] = (float)routes->scores[i];
    }
    return WM_OK;
}

enum wm_status wm_routes_write(struct wm_backend *be, struct wm_routes *routes, int32_t rows,
                               const int32_t *experts, const float *scores, struct wm_error *err)
{
    (void)be;
    (void)err;
    assert(rows >= 0 && rows <= routes->rows);
    for (size_t i = 0; i < (size_t)rows * (size_t)routes->used; i++) {
        routes->experts[i] = experts[i];
        routes->scores[i] = (double)scores[i];
    }
    return WM_OK;
}

void wm_routes_offer(struct wm_routes *routes, int32_t row, int32_t expert, double logit)
{
    int32_t *experts = routes->experts + (size_t)row * (size_t)routes->used;
    double *logits = routes->scores + (size_t)row * (size_t)routes->used;
    int32_t i = expert < routes->used ? expert : routes->used; /* so many are there already */
    for (; i > 0 && (logit > logits[i - 1] || (isnan(logits[i - 1]) && !isnan(logit))); i--)
        if (i < routes->used) {
            experts[i] = experts[i - 1];
            logits[i] = logits[i - 1];
        }
    if (i < routes->used) {
        experts[i] = expert;
        logits[i] = logit;
    }
}

void wm_routes_finish(struct wm_routes *routes, int32_t row)
{
    double *scores = routes->scores + (size_t)row * (size_t)routes->used;
    for (int32_t i = 0; i < routes->used; i++)
        scores[i] = 1 / (1 + exp(-scores[i]));
}

void wm_routes_group(const struct wm_routes *routes, int32_t rows, int32_t experts, int32_t *first,
                     int32_t *place, int32_t *row_at)
{
    int32_t pairs = rows * routes->used;
    for (int32_t e = 0; e <= experts; e++)
        first[e] = 0;
    for (int32_t p = 0; p < pairs; p++) {
        assert(routes->experts[p] >= 0 && routes->experts[p] < experts);
        first[routes->experts[p]]++;
    }
    for (int32_t e = 1; e <= experts; e++)
        first[e] += first[e - 1]; /* where the next expert's begin: counted down to its own beginning */
    for (int32_t p = pairs; p-- > 0;) {
        place[p] = --first[routes->experts[p]];
        row_at[place[p]] = p / routes->used;
    }
}

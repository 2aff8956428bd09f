/* routes.h -- which experts each row goes to, for the faces whose memory is the host's.
 *
 * A row's experts are chosen by offering it all of them, in rising order, and then finishing it. The functions of the
 * first part are operations (ops.h has their contracts). One thread at a time for each row.
 */
#ifndef WM_KERNELS_ROUTES_H
#define WM_KERNELS_ROUTES_H

#include "kernels/ops.h"

struct wm_routes {
    int32_t rows, used;
    int32_t *experts; /* [rows, used], by falling logit */
    double *scores;   /* [rows, used]; logits until the row is finished */
};

enum wm_status wm_routes_new(struct wm_backend *be, int32_t rows, int32_t used, struct wm_routes **out,
                             struct wm_error *err);
void wm_routes_free(struct wm_backend *be, struct wm_routes *routes);
enum wm_status wm_routes_read(struct wm_backend *be, const struct wm_routes *routes, int32_t rows,
                              int32_t *experts, float *scores, struct wm_error *err);
enum wm_status wm_routes_write(struct wm_backend *be, struct wm_routes *routes, int32_t rows,
                               const int32_t *experts, const float *scores, struct wm_error *err);

/* Experts 0, 1, 2, ... in this order, at least `used` of them: of equal logits the first stays ahead, NaN is behind
 * every number. */
void wm_routes_offer(struct wm_routes *routes, int32_t row, int32_t expert, double logit);

/* The logits of the chosen ones become scores. */
void wm_routes_finish(struct wm_routes *routes, int32_t row);

/* Sorts the pairs (row, route) of the first `rows` rows by expert, so that an expert's rows lie together:
 * pair row * used + i goes to place[row * used + i], those of expert e to first[e] .. first[e + 1] - 1, and
 * row_at[place] is the row again. `first` has experts + 1 elements. */
void wm_routes_group(const struct wm_routes *routes, int32_t rows, int32_t experts, int32_t *first,
                     int32_t *place, int32_t *row_at);

#endif

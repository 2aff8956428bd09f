/* batch.h -- one step: rows of many requests through the model at once. Engine thread. Design: batch.c. */
#ifndef WM_ENGINE_BATCH_H
#define WM_ENGINE_BATCH_H

#include "engine/model.h"
#include "engine/request.h"

struct wm_step; /* room for one step: rows, spans, logits */

/* Up to `max_rows` rows of up to `max_running` requests; max_running <= max_rows. Borrows the model. */
enum wm_status wm_step_new(struct wm_model *model, struct wm_kv *const kv[WM_KV_GROUPS], int32_t max_rows,
                           int32_t max_running, struct wm_step **out, struct wm_error *err);
void wm_step_free(struct wm_step *s); /* NULL is fine */

/* Chooses the rows of the step from the running requests (a list by ->next, at most max_running) and computes
 * them. Each request's step_rows and step_samples are set; its lease is still to be told (wm_kv_cache_wrote).
 * On failure no lease may be kept. */
enum wm_status wm_step_run(struct wm_step *s, struct wm_request *running, uint64_t step_number,
                           struct wm_error *err);

/* After wm_step_run: the token chosen for a request with step_samples. */
int32_t wm_step_token(const struct wm_step *s, const struct wm_request *r);

/* Rows of the last step. */
int32_t wm_step_rows(const struct wm_step *s);

/* A number in [0, 1) that depends on nothing but the seed and the place of the token in its reply. */
double wm_uniform(uint64_t seed, uint64_t place);

#endif

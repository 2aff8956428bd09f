/* queue.h -- requests that wait for a place in the batch, and whose turn it is. Engine thread. */
#ifndef WM_ENGINE_QUEUE_H
#define WM_ENGINE_QUEUE_H

#include "engine/request.h"

struct wm_queue {
    struct wm_request *first; /* oldest first */
    struct wm_request *last;
};

enum { WM_AGED_STEPS = 64 };

/* Is it served before the other? Watched streams come before messages, until a message has waited WM_AGED_STEPS steps; then age decides. */
bool wm_request_before(const struct wm_request *a, const struct wm_request *b, uint64_t step);

void wm_queue_add(struct wm_queue *q, struct wm_request *r);

/* The request whose turn it is: first by wm_request_before, but never before an older one of the same owner, and
 * none whose owner is running. NULL: none. It stays in the queue. */
struct wm_request *wm_queue_next(const struct wm_queue *q, const struct wm_kv_cache *cache, uint64_t step);

/* Unlinks `r`, which is in the queue. */
void wm_queue_remove(struct wm_queue *q, struct wm_request *r);

#endif

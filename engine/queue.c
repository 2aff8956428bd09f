/* queue.c -- see queue.h. A plain list: it is walked once for each admission, and admissions end when the batch is full. */
#include "engine/queue.h"

static bool hurries(const struct wm_request *r, uint64_t step)
{
    return r->ask.priority == WM_PRIORITY_STREAM || step - r->queued_step >= WM_AGED_STEPS;
}

bool wm_request_before(const struct wm_request *a, const struct wm_request *b, uint64_t step)
{
    bool a_hurries = hurries(a, step), b_hurries = hurries(b, step);
    return a_hurries != b_hurries ? a_hurries : a->id < b->id;
}

void wm_queue_add(struct wm_queue *q, struct wm_request *r)
{
    r->next = NULL;
    *(q->last ? &q->last->next : &q->first) = r;
    q->last = r;
}

/* The oldest waiting request of that owner. */
static struct wm_request *oldest_of(const struct wm_queue *q, uint64_t owner)
{
    struct wm_request *r = q->first;
    while (r->ask.owner != owner)
        r = r->next;
    return r;
}

struct wm_request *wm_queue_next(const struct wm_queue *q, const struct wm_kv_cache *cache, uint64_t step)
{
    struct wm_request *best = NULL;
    for (struct wm_request *r = q->first; r; r = r->next)
        if ((!best || wm_request_before(r, best, step)) && !wm_kv_cache_runs(cache, r->ask.owner))
            best = r;
    /* An older request of the same owner goes first and inherits the turn. */
    return best && best->ask.owner ? oldest_of(q, best->ask.owner) : best;
}

void wm_queue_remove(struct wm_queue *q, struct wm_request *r)
{
    struct wm_request *before = NULL;
    for (struct wm_request *at = q->first; at != r; at = at->next)
        before = at;
    *(before ? &before->next : &q->first) = r->next;
    if (q->last == r)
        q->last = before;
    r->next = NULL;
}

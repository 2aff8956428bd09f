/* request.h -- one request on its way through the engine thread, and what else travels there. Private to
 * engine.c, queue.c, batch.c and encoder.c. */
#ifndef WM_ENGINE_REQUEST_H
#define WM_ENGINE_REQUEST_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "engine/post.h"
#include "engine/tokenizer.h"

/* A picture of a prompt. */
struct wm_request_picture {
    struct wm_picture picture;   /* its path is ours */
    int32_t rows;                /* slots that it fills */
    size_t first;                /* place of the first of them in the prompt */
    struct wm_encoding *rows_of; /* while it is wanted */
};

struct wm_request {
    struct wm_post post;                         /* first */
    struct wm_request *live_before, *live_after; /* all that are not finished: under the engine's lock */
    uint64_t id;
    struct wm_generate ask; /* its prompt and pictures are in the lists below */
    atomic_bool canceled;

    /* engine thread */
    struct wm_request *next; /* in the queue or among the running, oldest first */
    uint64_t queued_step;    /* the step before which it came */
    int64_t submitted_ms;
    struct wm_tokens ids;                /* prompt, then the reply */
    struct wm_request_picture *pictures; /* [n_pictures] */
    int32_t n_pictures;
    int32_t picture,
        slot; /* the next slot to compute: a picture, and a row of it. picture == n_pictures: none is left */
    struct wm_lease *lease; /* while it runs; lease->ids.n of its ids have been computed */
    struct wm_decoder decoder;
    struct wm_usage usage;
    int32_t step_rows; /* in the step at hand */
    bool step_samples; /* in the step at hand: its last row is sampled */
};

/* Tokens of its list that are still to be computed; >= 1 while it runs, unless the prompt was all there. */
static inline size_t wm_request_left(const struct wm_request *r)
{
    return r->ids.n - r->lease->ids.n;
}

/* Positions it may need: the last token of a reply is never computed. */
static inline size_t wm_request_positions(const struct wm_request *r)
{
    return r->ask.prompt_len + (size_t)(r->ask.max_tokens > 1 ? r->ask.max_tokens - 1 : 0);
}

#endif

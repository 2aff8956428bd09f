/* collector.h -- what became of a request: its events gathered, and a wait for the last one. */
#ifndef WM_TESTS_ENGINE_COLLECTOR_H
#define WM_TESTS_ENGINE_COLLECTOR_H

#include <pthread.h>

#include "engine/engine.h"
#include "kernels/base/buffer.h"

struct collector {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct wm_tokens ids;
    struct wm_buffer text;
    struct wm_usage usage;
    enum wm_finish finish;
    enum wm_status error;
    int events, finishes;
    int order; /* of its last event among all collectors */
    uint64_t id;
    struct wm_engine *cancel_in; /* cancels itself there after the first token */
};

void collector_init(struct collector *c);
void collector_free(struct collector *c);

/* Of wm_generate; `arg` is the collector. */
void collector_event(void *arg, const struct wm_generated *g);

/* Submits a greedy request; fails the test unless it is accepted. */
void collector_submit(struct collector *c, struct wm_engine *e, uint64_t owner, const int32_t *prompt,
                      size_t n, int32_t max_tokens);

/* Waits for the last event. */
void collector_wait(struct collector *c);

/* Waits until at least that many events came. */
void collector_wait_events(struct collector *c, int events);

#endif

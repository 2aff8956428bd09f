/* engine_parts.h -- an engine from inside. Private to engine.c, which opens it and takes requests in, and
 * engine_loop.c, its thread. */
#ifndef WM_ENGINE_ENGINE_PARTS_H
#define WM_ENGINE_ENGINE_PARTS_H

#include <pthread.h>

#include "engine/batch.h"
#include "engine/encoder.h"
#include "engine/engine.h"
#include "engine/model.h"
#include "engine/queue.h"
#include "kernels/base/buffer.h"

/* What an owner left in the cache is to be dropped. */
struct wm_forget {
    struct wm_post post; /* first */
    uint64_t owner;
};

struct wm_engine {
    struct wm_model model;
    struct wm_engine_info info;
    int32_t max_running, step_rows;
    uint32_t max_queued;
    size_t block_bytes[WM_KV_GROUPS];
    struct wm_kv *kv[WM_KV_GROUPS];
    struct wm_step *step;
    struct wm_mailbox *mailbox;
    pthread_t thread;
    bool started;

    /* engine thread */
    struct wm_queue queue;
    struct wm_request *running; /* oldest admission first */
    int32_t n_running;
    struct wm_encoder *encoder; /* NULL: the model does not see */
    struct wm_buffer text;

    /* Guards the live list, the counters and the cache's bookkeeping. Never held in an event, a step or a
     * post. */
    pthread_mutex_t lock;
    struct wm_kv_cache *cache;
    struct wm_request *live; /* newest first */
    uint64_t last_id;
    struct wm_engine_stats stats;
};

/* The engine's thread; `arg` is the engine. Ends when the mailbox is closed, after the last event of every
 * request. */
void *wm_engine_loop(void *arg);

/* Off the live list; `lock` is held. */
void wm_engine_unlink(struct wm_engine *e, struct wm_request *r);

/* Of a request that is in no list. */
void wm_request_free(struct wm_request *r);

#endif

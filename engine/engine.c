/* engine.c -- the engine thread: takes requests, keeps the batch full, hands out what comes of it.
 *
 * WHY     The model, the KV blocks and the running sequences change together, step by step; one thread owns them, and no step
 *         ever waits for a lock that somebody holds for long.
 *
 * HOW     submit() checks and copies a request on the caller's thread and posts it. The loop then does, over and over:
 *
 *           letters -> queue -> drop what was canceled -> admit while there is room -> one step -> hand out
 *
 *         Without work it sleeps in the mailbox. Admission leases all KV blocks that a request can ever need
 *         (kv_cache.c), so that nothing that runs can fail for want of memory; what does not fit waits.
 *
 * ALWAYS  (1) Every accepted request gets exactly one event with finish != NONE, on the engine thread.
 *         (2) `lock` guards the live list, the counters and the cache's bookkeeping. It is never held in an event, a step or
 *             a post.
 *         (3) A request that failed or was canceled keeps what it has computed, unless the step itself failed: then its
 *             blocks may hold anything.
 *         (4) When requests wait, at least one runs or can be admitted: no request needs more blocks than there are.
 *
 * LIMITS  max_queued requests beyond those running; cancel and wm_engine_kv_of walk lists of that length.
 */
#include "engine/engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/batch.h"
#include "engine/model.h"
#include "engine/queue.h"
#include "kernels/base/buffer.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum {
    DEFAULT_CONTEXT = 8192,
    DEFAULT_RUNNING = 64,
    DEFAULT_QUEUED = 4096,
    DEFAULT_STEP_ROWS = 256,
    MAX_RUNNING = 1024,
    MAX_QUEUED = 1 << 20,
    MAX_STEP_ROWS = 8192,
    MAX_BLOCKS = 1 << 24,
    MAX_STEP_TEXT = 1 << 16 /* bytes of one event's text: a token or two */
};
static const size_t default_kv_bytes = (size_t)2 << 30;

struct wm_engine {
    struct wm_model model;
    struct wm_engine_info info;
    int32_t max_running, step_rows;
    uint32_t max_queued;
    size_t block_bytes;
    struct wm_kv *kv;
    struct wm_step *step;
    struct wm_mailbox *mailbox;
    pthread_t thread;
    bool started;

    /* engine thread */
    struct wm_queue queue;
    struct wm_request *running; /* oldest admission first */
    int32_t n_running;
    struct wm_buffer text;

    pthread_mutex_t lock;
    struct wm_kv_cache *cache;
    struct wm_request *live; /* newest first */
    uint64_t last_id;
    struct wm_engine_stats stats;
};

/* --- requests --------------------------------------------------------------------------------------------------- */

static void free_request(struct wm_request *r)
{
    wm_tokens_free(&r->ids);
    free(r);
}

/* Off the live list; `lock` is held. */
static void unlink_live(struct wm_engine *e, struct wm_request *r)
{
    *(r->live_before ? &r->live_before->live_after : &e->live) = r->live_after;
    if (r->live_after)
        r->live_after->live_before = r->live_before;
}

/* The text of an event has been handed out. */
static void clear_text(struct wm_engine *e)
{
    e->text.len = 0;
    e->text.failed = false;
}

/* The last event of a request, which is in no list of the engine thread any more, and its end. */
static void finish(struct wm_engine *e, struct wm_request *r, enum wm_finish why,
                   const struct wm_error *error, const int32_t *ids, size_t n_ids)
{
    pthread_mutex_lock(&e->lock);
    bool ran = r->lease != NULL;
    if (ran)
        wm_kv_cache_return(e->cache, r->lease, why != WM_FINISH_ERROR);
    unlink_live(e, r);
    *(ran ? &e->stats.running : &e->stats.queued) -= 1;
    e->stats.finished += why == WM_FINISH_STOP || why == WM_FINISH_LENGTH;
    e->stats.canceled += why == WM_FINISH_CANCELED;
    e->stats.failed += why == WM_FINISH_ERROR;
    pthread_mutex_unlock(&e->lock);
    (void)wm_decoder_flush(&r->decoder, &e->text); /* out of memory: the text ends a character earlier */
    r->ask.event(r->ask.arg, &(struct wm_generated){.request = r->id,
                                                    .ids = ids,
                                                    .n_ids = n_ids,
                                                    .text = e->text.data ? e->text.data : "",
                                                    .text_len = e->text.len,
                                                    .finish = why,
                                                    .usage = r->usage,
                                                    .error = error});
    clear_text(e);
    free_request(r);
}

/* --- the loop --------------------------------------------------------------------------------------------------- */

static void take_in(struct wm_engine *e, struct wm_letter *letters)
{
    while (letters) {
        struct wm_post *post = (struct wm_post *)letters;
        letters = letters->next;
        if (post->request) {
            post->request->queued_step = e->stats.steps; /* written by this thread alone */
            wm_queue_add(&e->queue, post->request);
            continue;
        }
        pthread_mutex_lock(&e->lock);
        wm_kv_cache_forget(e->cache, post->owner);
        pthread_mutex_unlock(&e->lock);
        free(post);
    }
}

/* Ends those in the list (queue or running) that were canceled, or all. */
static void drop_canceled(struct wm_engine *e, bool all)
{
    struct wm_request *next;
    for (struct wm_request *r = e->queue.first; r; r = next) {
        next = r->next;
        if (all || atomic_load(&r->canceled)) {
            wm_queue_remove(&e->queue, r);
            finish(e, r, WM_FINISH_CANCELED, NULL, NULL, 0);
        }
    }
    for (struct wm_request **at = &e->running; *at;) {
        struct wm_request *r = *at;
        if (!all && !atomic_load(&r->canceled)) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        e->n_running--;
        finish(e, r, WM_FINISH_CANCELED, NULL, NULL, 0);
    }
}

/* Leases blocks for a request at the front of the queue. */
static enum wm_status admit_one(struct wm_engine *e, struct wm_request *r)
{
    /* The last token of a prompt is computed again even when it is there: its logits are wanted. */
    size_t most = r->ask.max_tokens > 0 ? r->ask.prompt_len - 1 : r->ask.prompt_len;
    pthread_mutex_lock(&e->lock);
    enum wm_status st = wm_kv_cache_lease(e->cache, r->ask.owner, r->ids.ids, r->ask.prompt_len, most,
                                          wm_request_positions(r), &r->lease);
    if (st == WM_OK) {
        r->usage.cached_tokens = (int32_t)r->lease->ids.n;
        e->stats.queued--;
        e->stats.running++;
        e->stats.prompt_tokens += r->ask.prompt_len;
        e->stats.cached_tokens += r->lease->ids.n;
    }
    pthread_mutex_unlock(&e->lock);
    return st;
}

static void admit(struct wm_engine *e)
{
    struct wm_request **end = &e->running;
    while (*end)
        end = &(*end)->next;
    while (e->n_running < e->max_running) {
        struct wm_request *r = wm_queue_next(&e->queue, e->cache, e->stats.steps);
        enum wm_status st = r ? admit_one(e, r) : WM_EAGAIN;
        if (st == WM_EAGAIN)
            return; /* nobody, or no blocks: those behind do not overtake, or long prompts would starve */
        wm_queue_remove(&e->queue, r);
        if (st == WM_OK) {
            *end = r;
            end = &r->next;
            e->n_running++;
        } else {
            struct wm_error err = WM_ERROR_INIT;
            wm_fail(&err, st, "no memory to start a request of %zu tokens", r->ask.prompt_len);
            finish(e, r, WM_FINISH_ERROR, &err, NULL, 0);
        }
    }
}

/* What the step gave one request. Returns WM_FINISH_NONE while it goes on. */
static enum wm_finish take_token(struct wm_engine *e, struct wm_request *r, int32_t *token, size_t *n)
{
    *n = 0;
    if (r->ask.max_tokens == 0)
        return wm_request_left(r) == 0 ? WM_FINISH_LENGTH : WM_FINISH_NONE;
    if (!r->step_samples)
        return WM_FINISH_NONE;
    if (r->usage.first_token_ms < 0)
        r->usage.first_token_ms = (int32_t)(wm_now_ms() - r->submitted_ms);
    *token = wm_step_token(e->step, r);
    if (!r->ask.ignore_eos && wm_tokenizer_stops(e->model.tokenizer, *token))
        return WM_FINISH_STOP;
    *n = 1;
    r->usage.completion_tokens++;
    return r->usage.completion_tokens == r->ask.max_tokens ? WM_FINISH_LENGTH : WM_FINISH_NONE;
}

/* Hands out what the step brought; those that end leave the list of the running. */
static void hand_out(struct wm_engine *e)
{
    struct wm_error no_memory = WM_ERROR_INIT;
    uint64_t tokens = 0;
    for (struct wm_request **at = &e->running; *at;) {
        struct wm_request *r = *at;
        int32_t token;
        size_t n;
        enum wm_finish why = take_token(e, r, &token, &n);
        if (n) {
            tokens++;
            if (wm_tokens_add(&r->ids, &token, 1) != WM_OK ||
                wm_decoder_push(&r->decoder, e->model.tokenizer, token, &e->text) != WM_OK) {
                wm_fail(&no_memory, WM_ENOMEM, "no memory for the next token of a reply");
                why = WM_FINISH_ERROR;
            }
        }
        if (why != WM_FINISH_NONE) {
            *at = r->next;
            e->n_running--;
            finish(e, r, why, why == WM_FINISH_ERROR ? &no_memory : NULL, &token, n);
            continue;
        }
        if (n)
            r->ask.event(r->ask.arg, &(struct wm_generated){.request = r->id,
                                                            .ids = &token,
                                                            .n_ids = n,
                                                            .text = e->text.data ? e->text.data : "",
                                                            .text_len = e->text.len});
        clear_text(e);
        at = &r->next;
    }
    pthread_mutex_lock(&e->lock);
    e->stats.completion_tokens += tokens;
    pthread_mutex_unlock(&e->lock);
}

/* A step that failed leaves every sequence of it in doubt. */
static void fail_running(struct wm_engine *e, const struct wm_error *err)
{
    wm_log(WM_LOG_ERROR, "engine step failed", WM_S("error", err->text));
    while (e->running) {
        struct wm_request *r = e->running;
        e->running = r->next;
        e->n_running--;
        finish(e, r, WM_FINISH_ERROR, err, NULL, 0);
    }
}

static void *loop(void *arg)
{
    struct wm_engine *e = arg;
    while (!wm_mailbox_closed(e->mailbox)) {
        bool busy = e->running || e->queue.first;
        take_in(e, busy ? wm_mailbox_take(e->mailbox) : wm_mailbox_wait(e->mailbox, -1));
        drop_canceled(e, false);
        admit(e);
        if (!e->running)
            continue;
        struct wm_error err = WM_ERROR_INIT;
        enum wm_status st = wm_step_run(e->step, e->running, e->stats.steps, &err);
        pthread_mutex_lock(&e->lock);
        e->stats.steps++;
        e->stats.computed_tokens += (uint64_t)wm_step_rows(e->step);
        pthread_mutex_unlock(&e->lock);
        if (st == WM_OK)
            hand_out(e);
        else
            fail_running(e, &err);
    }
    take_in(e, wm_mailbox_take(e->mailbox));
    drop_canceled(e, true);
    return NULL;
}

/* --- opening and closing ---------------------------------------------------------------------------------------- */

static void discard_block(void *arg, int32_t block)
{
    struct wm_engine *e = arg;
    e->model.ops->kv_discard(e->model.backend, e->kv, block);
}

/* `given`, or `fallback` when it is 0; WM_EINVAL outside 1..max. */
static enum wm_status choose(const char *what, int given, int fallback, int max, int32_t *out,
                             struct wm_error *err)
{
    *out = given ? given : fallback;
    if (*out < 1 || *out > max)
        return wm_fail(err, WM_EINVAL, "engine: %s is %d, 1 to %d are allowed", what, given, max);
    return WM_OK;
}

/* As many blocks as the ceiling allows; the context shrinks to what they hold. */
static enum wm_status open_kv(struct wm_engine *e, size_t ceiling, struct wm_error *err)
{
    const struct wm_model *m = &e->model;
    struct wm_kv_shape shape = m->program->kv_shape(&m->shape, 1);
    e->block_bytes = m->ops->kv_block_bytes(&shape);
    size_t blocks = ceiling / e->block_bytes;
    if (blocks == 0)
        return wm_fail(
            err, WM_EINVAL,
            "engine: a KV cache of %zu bytes does not hold one block of %zu bytes: raise kv.device", ceiling,
            e->block_bytes);
    shape.blocks = blocks < MAX_BLOCKS ? (int32_t)blocks : MAX_BLOCKS;
    if (e->info.context > (int64_t)shape.blocks * WM_KV_BLOCK)
        e->info.context = shape.blocks * WM_KV_BLOCK;
    e->stats.kv_total_bytes = (uint64_t)shape.blocks * e->block_bytes;
    enum wm_status st = m->ops->kv_new(m->backend, &shape, &e->kv, err);
    return st == WM_OK ? wm_kv_cache_new(shape.blocks, discard_block, e, &e->cache, err) : st;
}

static enum wm_status open_parts(struct wm_engine *e, const struct wm_engine_options *o,
                                 void (*progress)(void *arg, int percent), void *arg, struct wm_error *err)
{
    int32_t max_queued = 0, context = 0;
    enum wm_status st =
        choose("step_rows", o->step_rows, DEFAULT_STEP_ROWS, MAX_STEP_ROWS, &e->step_rows, err);
    if (st == WM_OK)
        st = choose("max_running", o->max_running, DEFAULT_RUNNING, MAX_RUNNING, &e->max_running, err);
    if (st == WM_OK)
        st = choose("max_queued", o->max_queued, DEFAULT_QUEUED, MAX_QUEUED, &max_queued, err);
    if (st == WM_OK)
        st = choose("context", o->context, DEFAULT_CONTEXT, INT32_MAX, &context, err);
    if (st != WM_OK)
        return st;
    e->max_queued = (uint32_t)max_queued;
    if (e->max_running > e->step_rows)
        e->max_running = e->step_rows;
    st = wm_model_open(&(struct wm_model_options){.path = o->model,
                                                  .backend = o->backend,
                                                  .threads = o->threads,
                                                  .max_rows = e->step_rows,
                                                  .progress = progress,
                                                  .arg = arg},
                       &e->model, err);
    if (st != WM_OK)
        return st;
    e->info = (struct wm_engine_info){
        .name = e->model.name,
        .architecture = e->model.program->architecture,
        .backend = e->model.ops->describe(e->model.backend),
        .fingerprint = e->model.fingerprint,
        .context = context < e->model.shape.context ? context : e->model.shape.context,
        .vocabulary = e->model.shape.vocabulary,
    };
    e->stats.weight_bytes = e->model.program->weight_bytes(e->model.forward);
    st = open_kv(e, o->kv_bytes ? o->kv_bytes : default_kv_bytes, err);
    if (st == WM_OK)
        st = wm_step_new(&e->model, e->kv, e->step_rows, e->max_running, &e->step, err);
    if (st == WM_OK)
        st = wm_mailbox_new(e->max_queued, NULL, NULL, &e->mailbox, err);
    return st;
}

enum wm_status wm_engine_open(const struct wm_engine_options *options,
                              void (*progress)(void *arg, int percent), void *arg, struct wm_engine **out,
                              struct wm_error *err)
{
    struct wm_engine *e = calloc(1, sizeof *e);
    if (!e)
        return wm_fail(err, WM_ENOMEM, "no memory for an engine");
    e->text.max = MAX_STEP_TEXT;
    pthread_mutex_init(&e->lock, NULL);
    enum wm_status st = open_parts(e, options, progress, arg, err);
    if (st == WM_OK) {
        e->started = pthread_create(&e->thread, NULL, loop, e) == 0;
        if (!e->started)
            st = wm_fail(err, WM_EAGAIN, "the engine's thread could not be started");
    }
    if (st != WM_OK) {
        wm_engine_close(e);
        return st;
    }
    *out = e;
    return WM_OK;
}

void wm_engine_close(struct wm_engine *e)
{
    if (!e)
        return;
    if (e->started) {
        wm_mailbox_close(e->mailbox);
        pthread_join(e->thread, NULL);
    }
    wm_mailbox_free(e->mailbox);
    wm_kv_cache_free(e->cache);
    wm_step_free(e->step);
    if (e->kv)
        e->model.ops->kv_free(e->model.backend, e->kv);
    wm_model_close(&e->model);
    wm_buffer_free(&e->text);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* --- what any thread may call ----------------------------------------------------------------------------------- */

const struct wm_engine_info *wm_engine_info(const struct wm_engine *e)
{
    return &e->info;
}

static enum wm_status need_chat(const struct wm_engine *e, struct wm_error *err)
{
    return e->model.chat ? WM_OK : wm_fail(err, e->model.chat_error.code, "%s", e->model.chat_error.text);
}

enum wm_status wm_engine_render(const struct wm_engine *e, const struct wm_chat_message *messages, size_t n,
                                bool first, bool open_reply, struct wm_tokens *out, struct wm_error *err)
{
    enum wm_status st = need_chat(e, err);
    return st == WM_OK ? wm_chat_render(e->model.chat, messages, n, first, open_reply, out, err) : st;
}

enum wm_status wm_engine_close_reply(const struct wm_engine *e, struct wm_tokens *out, struct wm_error *err)
{
    enum wm_status st = need_chat(e, err);
    return st == WM_OK ? wm_chat_close_reply(e->model.chat, out, err) : st;
}

static enum wm_status check(const struct wm_engine *e, const struct wm_generate *g, struct wm_error *err)
{
    const struct wm_sampling *s = &g->sampling;
    if (g->prompt_len < 1 || g->max_tokens < 0 || !g->event)
        return wm_fail(err, WM_EINVAL,
                       "a request needs a prompt, max_tokens >= 0 and somewhere to send its events");
    if (!(s->temperature >= 0 && s->temperature <= 100) || !(s->top_p >= 0 && s->top_p <= 1) ||
        !(s->min_p >= 0 && s->min_p <= 1) || s->top_k < 0) /* a NaN fails these */
        return wm_fail(err, WM_EINVAL,
                       "sampling: temperature must be 0 to 100, top_p and min_p 0 to 1, top_k >= 0");
    if (g->prompt_len > (size_t)e->info.context ||
        (size_t)g->max_tokens > (size_t)e->info.context - g->prompt_len)
        return wm_fail(err, WM_ELIMIT,
                       "a prompt of %zu tokens and a reply of up to %d do not fit into the context of %d",
                       g->prompt_len, g->max_tokens, e->info.context);
    for (size_t i = 0; i < g->prompt_len; i++)
        if (g->prompt[i] < 0 || g->prompt[i] >= e->info.vocabulary)
            return wm_fail(err, WM_EINVAL, "id %d at place %zu of the prompt is outside the vocabulary of %d",
                           g->prompt[i], i, e->info.vocabulary);
    return WM_OK;
}

/* Onto the live list, with an id; WM_EAGAIN when the queue is full. */
static enum wm_status register_request(struct wm_engine *e, struct wm_request *r, struct wm_error *err)
{
    pthread_mutex_lock(&e->lock);
    bool full = e->stats.queued >= e->max_queued;
    if (!full) {
        r->id = ++e->last_id;
        r->live_after = e->live;
        if (e->live)
            e->live->live_before = r;
        e->live = r;
        e->stats.queued++;
        e->stats.requests++;
    }
    pthread_mutex_unlock(&e->lock);
    return full ? wm_fail(err, WM_EAGAIN, "%u requests are waiting already, try again later", e->max_queued)
                : WM_OK;
}

enum wm_status wm_engine_submit(struct wm_engine *e, const struct wm_generate *g, uint64_t *request,
                                struct wm_error *err)
{
    enum wm_status st = check(e, g, err);
    if (st != WM_OK)
        return st;
    struct wm_request *r = calloc(1, sizeof *r);
    if (!r || wm_tokens_add(&r->ids, g->prompt, g->prompt_len) != WM_OK) {
        free(r);
        return wm_fail(err, WM_ENOMEM, "no memory for a prompt of %zu tokens", g->prompt_len);
    }
    r->post.request = r;
    r->ask = *g;
    r->ask.prompt = NULL; /* the caller's; ours is in ids */
    r->submitted_ms = wm_now_ms();
    r->usage = (struct wm_usage){.prompt_tokens = (int32_t)g->prompt_len, .first_token_ms = -1};
    if ((st = register_request(e, r, err)) != WM_OK) {
        free_request(r);
        return st;
    }
    *request = r->id; /* before the post: events may come at once */
    if ((st = wm_mailbox_post_reply(e->mailbox, &r->post.letter)) !=
        WM_OK) { /* its bound is max_queued, checked above */
        pthread_mutex_lock(&e->lock);
        unlink_live(e, r);
        e->stats.queued--;
        e->stats.requests--;
        pthread_mutex_unlock(&e->lock);
        free_request(r);
        return wm_fail(err, st, "the engine is closing");
    }
    return WM_OK;
}

void wm_engine_cancel(struct wm_engine *e, uint64_t request)
{
    pthread_mutex_lock(&e->lock);
    struct wm_request *r = e->live;
    while (r && r->id != request)
        r = r->live_after;
    if (r)
        atomic_store(&r->canceled,
                     true); /* whoever is live is looked at before every step: no bell is needed */
    pthread_mutex_unlock(&e->lock);
}

void wm_engine_forget(struct wm_engine *e, uint64_t owner)
{
    struct wm_post *post = calloc(1, sizeof *post);
    if (!post) {
        wm_log(WM_LOG_ERROR, "no memory to forget an owner's cache; it stays until it is evicted",
               WM_N("owner", owner));
        return;
    }
    post->owner = owner;
    if (wm_mailbox_post_reply(e->mailbox, &post->letter) != WM_OK)
        free(post); /* closing: the whole cache goes */
}

struct wm_kv_bytes wm_engine_kv_of(struct wm_engine *e, uint64_t owner)
{
    pthread_mutex_lock(&e->lock);
    uint64_t blocks = (uint64_t)wm_kv_cache_blocks_of(e->cache, owner);
    pthread_mutex_unlock(&e->lock);
    return (struct wm_kv_bytes){.device = blocks * e->block_bytes};
}

void wm_engine_stats(struct wm_engine *e, struct wm_engine_stats *out)
{
    pthread_mutex_lock(&e->lock);
    struct wm_kv_cache_counts counts = wm_kv_cache_counts(e->cache);
    *out = e->stats;
    pthread_mutex_unlock(&e->lock);
    out->kv_used_bytes = (uint64_t)counts.used * e->block_bytes;
    out->evicted_blocks = counts.evicted;
}

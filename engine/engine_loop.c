/* engine_loop.c -- the engine thread: takes requests, keeps the batch full, hands out what comes of it.
 *
 * WHY     The model, the KV blocks and the running sequences change together, step by step; one thread owns
 *         them, and no step ever waits for a lock that somebody holds for long.
 *
 * HOW     Over and over:
 *
 *           letters -> queue -> drop what was canceled -> admit while there is room -> one tile of a picture
 *                   -> one step -> hand out
 *
 *         Without work it sleeps in the mailbox. Admission leases all KV blocks that a request can ever need
 *         (kv_cache.c), so that nothing that runs can fail for want of memory; what does not fit waits.
 *
 *         Pictures: another thread reads their files, and the tower takes one tile between two steps, so that
 *         running replies are held up by a tile at most. A request waits in the batch, without rows, until
 *         the picture that comes next in its prompt is there.
 *
 * ALWAYS  (1) Every accepted request gets exactly one event with finish != NONE, on the engine thread.
 *         (2) `lock` guards the live list, the counters and the cache's bookkeeping. It is never held in an
 *             event, a step or a post.
 *         (3) A request that failed or was canceled keeps what it has computed, unless the step itself
 *             failed: then its blocks may hold anything.
 *         (4) When requests wait, at least one runs or can be admitted: no request needs more blocks than
 *             there are.
 *         (5) A picture that cannot be read ends the requests that hold it, and no other.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_parts.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

/* --- requests ------------------------------------------------------------------------------------------- */

void wm_request_free(struct wm_request *r)
{
    if (!r)
        return;
    for (int32_t i = 0; i < r->n_pictures; i++)
        free((char *)r->pictures[i].picture.path);
    free(r->pictures);
    wm_tokens_free(&r->ids);
    free(r);
}

void wm_engine_unlink(struct wm_engine *e, struct wm_request *r)
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

/* The first `n` pictures of a request are no longer wanted. */
static void let_go(struct wm_engine *e, struct wm_request *r, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (r->pictures[i].rows_of)
            wm_encoder_release(e->encoder, r->pictures[i].rows_of);
        r->pictures[i].rows_of = NULL;
    }
}

/* The last event of a request, which is in no list of the engine thread any more, and its end. */
static void finish(struct wm_engine *e, struct wm_request *r, enum wm_finish why,
                   const struct wm_error *error, const int32_t *ids, size_t n_ids)
{
    let_go(e, r, r->n_pictures);
    pthread_mutex_lock(&e->lock);
    bool ran = r->lease != NULL;
    if (ran)
        wm_kv_cache_return(e->cache, r->lease, why != WM_FINISH_ERROR);
    wm_engine_unlink(e, r);
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
    wm_request_free(r);
}

/* --- the loop ------------------------------------------------------------------------------------------- */

static void forget(struct wm_engine *e, struct wm_forget *what)
{
    pthread_mutex_lock(&e->lock);
    wm_kv_cache_forget(e->cache, what->owner);
    pthread_mutex_unlock(&e->lock);
    free(what);
}

static void take_in(struct wm_engine *e, struct wm_letter *letters)
{
    while (letters) {
        struct wm_post *post = (struct wm_post *)letters;
        letters = letters->next;
        switch (post->kind) {
        case WM_POST_REQUEST: {
            struct wm_request *r = (struct wm_request *)post;
            r->queued_step = e->stats.steps; /* written by this thread alone */
            wm_queue_add(&e->queue, r);
            break;
        }
        case WM_POST_FORGET:
            forget(e, (struct wm_forget *)post);
            break;
        case WM_POST_READING:
            wm_encoder_take(e->encoder, (struct wm_reading *)post);
        }
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

/* Asks for the rows of the pictures that the cache does not cover. */
static enum wm_status want_pictures(struct wm_engine *e, struct wm_request *r)
{
    for (size_t i = 0; i < r->lease->ids.n && r->picture < r->n_pictures; i++)
        if (r->ids.ids[i] == e->model.patch_id && ++r->slot == r->pictures[r->picture].rows) {
            r->picture++;
            r->slot = 0;
        }
    enum wm_status st = WM_OK;
    for (int32_t i = r->picture; i < r->n_pictures && st == WM_OK; i++)
        st = wm_encoder_want(e->encoder, &r->pictures[i].picture, &r->pictures[i].rows_of);
    return st;
}

/* The pictures as the cache compares them; NULL without memory. */
static struct wm_kv_picture *list_pictures(const struct wm_request *r)
{
    struct wm_kv_picture *list = malloc((size_t)r->n_pictures * sizeof *list + 1);
    for (int32_t i = 0; list && i < r->n_pictures; i++) {
        list[i].at = r->pictures[i].first;
        memcpy(list[i].hash, r->pictures[i].picture.hash, sizeof list[i].hash);
    }
    return list;
}

/* Leases blocks for a request at the front of the queue. */
static enum wm_status admit_one(struct wm_engine *e, struct wm_request *r)
{
    struct wm_kv_picture *pictures = list_pictures(r);
    if (!pictures)
        return WM_ENOMEM;
    struct wm_kv_ask ask = {
        .owner = r->ask.owner,
        .ids = r->ids.ids,
        .n = r->ask.prompt_len,
        .pictures = pictures,
        .n_pictures = (size_t)r->n_pictures,
        /* The last token of a prompt is computed again even when it is there: its logits are wanted. */
        .most = r->ask.max_tokens > 0 ? r->ask.prompt_len - 1 : r->ask.prompt_len,
        .positions = wm_request_positions(r),
    };
    pthread_mutex_lock(&e->lock);
    enum wm_status st = wm_kv_cache_lease(e->cache, &ask, &r->lease);
    if (st == WM_OK) {
        r->usage.cached_tokens = (int32_t)r->lease->ids.n;
        e->stats.queued--;
        e->stats.running++;
        e->stats.prompt_tokens += r->ask.prompt_len;
        e->stats.cached_tokens += r->lease->ids.n;
    }
    pthread_mutex_unlock(&e->lock);
    free(pictures);
    return st == WM_OK && r->n_pictures ? want_pictures(e, r) : st;
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
            if (st == WM_EINVAL)
                wm_fail(&err, st,
                        "a picture of this request is known with another grid of tiles: look at it again");
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
    /* A slot for a picture means nothing in a reply, and would make its history one that cannot be sent
     * again. */
    if (*token == e->model.patch_id || (!r->ask.ignore_eos && wm_tokenizer_stops(e->model.tokenizer, *token)))
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

/* Those who wait for a picture that cannot be had end with its reason; the others go on. */
static void drop_blind(struct wm_engine *e)
{
    for (struct wm_request **at = &e->running; *at;) {
        struct wm_request *r = *at;
        const struct wm_error *why = NULL;
        for (int32_t i = r->picture; i < r->n_pictures && !why; i++)
            why = wm_encoding_failed(r->pictures[i].rows_of);
        if (!why) {
            at = &r->next;
            continue;
        }
        struct wm_error copy = *why; /* it goes with the last who wanted the picture */
        *at = r->next;
        e->n_running--;
        finish(e, r, WM_FINISH_ERROR, &copy, NULL, 0);
    }
}

/* Tells the cache and the counters what a step has computed. */
static enum wm_status note(struct wm_engine *e, bool computed, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    pthread_mutex_lock(&e->lock);
    for (struct wm_request *r = e->running; r && computed && st == WM_OK; r = r->next)
        if (r->step_rows)
            st = wm_kv_cache_wrote(e->cache, r->lease, r->ids.ids + r->lease->ids.n, (size_t)r->step_rows);
    e->stats.steps++;
    e->stats.computed_tokens += (uint64_t)wm_step_rows(e->step);
    e->stats.weight_bytes = wm_model_weight_bytes(&e->model);
    if (e->encoder) {
        struct wm_encoder_counts counts = wm_encoder_counts(e->encoder);
        e->stats.pictures_encoded = counts.encoded;
        e->stats.pictures_reused = counts.reused;
        e->stats.picture_bytes = counts.bytes;
    }
    pthread_mutex_unlock(&e->lock);
    for (struct wm_request *r = e->running; r; r = r->next)
        let_go(e, r, r->picture);
    return st == WM_OK ? st : wm_fail(err, st, "no memory to note what a step has computed");
}

/* One pass. False: there was nothing to compute, and there will be nothing before a letter comes. */
static bool pass(struct wm_engine *e)
{
    struct wm_error err = WM_ERROR_INIT;
    drop_canceled(e, false);
    admit(e);
    bool encoded = e->encoder && wm_encoder_step(e->encoder);
    int32_t had = e->n_running;
    if (e->encoder)
        drop_blind(e);
    if (!e->running)
        return encoded || had > 0;
    enum wm_status st = wm_step_run(e->step, e->running, e->stats.steps, &err);
    enum wm_status noted = note(e, st == WM_OK, &err);
    if (st == WM_OK && noted == WM_OK)
        hand_out(e);
    else
        fail_running(e, &err);
    return encoded || wm_step_rows(e->step) > 0 || e->n_running < had;
}

void *wm_engine_loop(void *arg)
{
    struct wm_engine *e = arg;
    bool busy = false;
    while (!wm_mailbox_closed(e->mailbox)) {
        take_in(e, busy ? wm_mailbox_take(e->mailbox) : wm_mailbox_wait(e->mailbox, -1));
        busy = pass(e);
    }
    take_in(e, wm_mailbox_take(e->mailbox));
    drop_canceled(e, true);
    return NULL;
}

/* engine.c -- opening and closing an engine, and what any thread may ask of it. Its thread is engine_loop.c.
 *
 * HOW     submit() checks and copies a request on the caller's thread and posts it. Nothing of a request that
 *         can be refused is left to the engine thread: not its length, not its ids, not the slots of its
 *         pictures.
 *
 * LIMITS  max_queued requests beyond those running; cancel and wm_engine_kv_of walk lists of that length.
 */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine_parts.h"
#include "engine/kv_size.h"
#include "engine/picture_file.h"
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
    MAX_STEP_TEXT = 1 << 16 /* bytes of one event's text: a token or two */
};
static const size_t default_kv_bytes = (size_t)2 << 30;

/* --- opening and closing -------------------------------------------------------------------------------- */

static void discard_block(void *arg, int group, int32_t block)
{
    struct wm_engine *e = arg;
    e->model.ops->kv_discard(e->model.backend, e->kv[group], block);
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

/* Pools within the ceiling, and the books about them. */
static enum wm_status open_kv(struct wm_engine *e, size_t ceiling, struct wm_error *err)
{
    const struct wm_model *m = &e->model;
    struct wm_kv_cache_options o = {.reach = e->step_rows, .discard = discard_block, .arg = e};
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        struct wm_kv_shape shape = wm_program_kv_shape(m->arch, g, 1);
        e->block_bytes[g] = shape.layers ? m->ops->kv_block_bytes(&shape) : 0;
    }
    o.chunk = e->block_bytes[WM_GROUP_LOCAL] ? m->arch->chunk : 0;
    if (!wm_kv_size(ceiling, e->block_bytes, &o, &e->info.context))
        return wm_fail(
            err, WM_EINVAL,
            "engine: a KV cache of %zu bytes does not hold one block of %zu bytes: raise kv.device", ceiling,
            e->block_bytes[WM_GROUP_GLOBAL] + e->block_bytes[WM_GROUP_LOCAL]);
    enum wm_status st = WM_OK;
    for (int g = 0; g < WM_KV_GROUPS && st == WM_OK; g++) {
        struct wm_kv_shape shape = wm_program_kv_shape(m->arch, g, o.blocks[g]);
        if (shape.layers)
            st = m->ops->kv_new(m->backend, &shape, &e->kv[g], err);
    }
    return st == WM_OK ? wm_kv_cache_new(&o, &e->cache, err) : st;
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
                                                  .projector = o->projector,
                                                  .chat_format = o->chat_format,
                                                  .backend = o->backend,
                                                  .threads = o->threads,
                                                  .max_rows = e->step_rows,
                                                  .progress = progress,
                                                  .arg = arg},
                       &e->model, err);
    if (st != WM_OK)
        return st;
    if (e->model.chat && wm_chat_warning(e->model.chat))
        wm_log(WM_LOG_WARN, "chat template", WM_S("model", e->model.name),
               WM_S("why", wm_chat_warning(e->model.chat)));
    e->info = (struct wm_engine_info){
        .name = e->model.name,
        .architecture = wm_family_name(e->model.arch->family),
        .backend = e->model.ops->describe(e->model.backend),
        .fingerprint = e->model.fingerprint,
        .context = context < e->model.arch->context ? context : e->model.arch->context,
        .vocabulary = e->model.arch->vocabulary,
        .sees_pictures = e->model.vision != NULL,
    };
    e->stats.weight_bytes = wm_model_weight_bytes(&e->model);
    st = open_kv(e, o->kv_bytes ? o->kv_bytes : default_kv_bytes, err);
    if (st == WM_OK)
        st = wm_step_new(&e->model, e->kv, e->step_rows, e->max_running, &e->step, err);
    if (st == WM_OK)
        st = wm_mailbox_new(e->max_queued, NULL, NULL, &e->mailbox, err);
    if (st == WM_OK && e->model.vision)
        st = wm_encoder_new(&e->model, e->mailbox, &e->encoder, err);
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
        e->started = pthread_create(&e->thread, NULL, wm_engine_loop, e) == 0;
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
    wm_encoder_free(e->encoder); /* its reader may still post: before the mailbox */
    wm_mailbox_free(e->mailbox);
    wm_kv_cache_free(e->cache);
    wm_step_free(e->step);
    for (int g = 0; g < WM_KV_GROUPS; g++)
        if (e->kv[g])
            e->model.ops->kv_free(e->model.backend, e->kv[g]);
    wm_model_close(&e->model);
    wm_buffer_free(&e->text);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* --- what any thread may call --------------------------------------------------------------------------- */

const struct wm_engine_info *wm_engine_info(const struct wm_engine *e)
{
    return &e->info;
}

enum wm_status wm_engine_look(const struct wm_engine *e, const char *path, struct wm_picture *out,
                              struct wm_error *err)
{
    return wm_model_look(&e->model, path, out, err);
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

/* The pictures fill the prompt's slots, no more and no fewer. */
static enum wm_status check_pictures(const struct wm_engine *e, const struct wm_generate *g,
                                     struct wm_error *err)
{
    int64_t slots = 0, rows = 0;
    if (g->n_pictures && !e->model.vision)
        return wm_fail(err, WM_EUNSUPPORTED, "%s has no vision tower: it cannot look at pictures",
                       e->info.name);
    for (size_t i = 0; i < g->n_pictures; i++) {
        const struct wm_picture *p = &g->pictures[i];
        int32_t each = wm_picture_rows(&e->model.arch->vision, p);
        if (each == 0 || !p->path)
            return wm_fail(err, WM_EINVAL,
                           "picture %zu has %d x %d tiles: this model's pictures have 1 to %d", i, p->rows,
                           p->cols, e->model.arch->vision.max_tiles);
        rows += each;
    }
    for (size_t i = 0; i < g->prompt_len; i++)
        slots += g->prompt[i] == e->model.patch_id;
    return slots == rows ? WM_OK
                         : wm_fail(err, WM_EINVAL,
                                   "the prompt has %lld slots for pictures, and its %zu pictures fill %lld",
                                   (long long)slots, g->n_pictures, (long long)rows);
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
    return check_pictures(e, g, err);
}

/* Copies what the caller keeps; the slots of a picture lie one behind the other, with separators among
 * them. */
static enum wm_status copy_ask(struct wm_request *r, const struct wm_engine *e, const struct wm_generate *g)
{
    r->ask = *g;
    r->ask.prompt = NULL;   /* ours are in ids, */
    r->ask.pictures = NULL; /* and in r->pictures */
    r->pictures = calloc(g->n_pictures + 1, sizeof *r->pictures);
    if (!r->pictures || wm_tokens_add(&r->ids, g->prompt, g->prompt_len) != WM_OK)
        return WM_ENOMEM;
    for (size_t i = 0, at = 0; i < g->n_pictures; i++) {
        struct wm_request_picture *p = &r->pictures[i];
        p->picture = g->pictures[i];
        p->rows = wm_picture_rows(&e->model.arch->vision, &p->picture);
        p->picture.path = strdup(g->pictures[i].path);
        r->n_pictures++;
        if (!p->picture.path)
            return WM_ENOMEM;
        while (g->prompt[at] != e->model.patch_id)
            at++;
        p->first = at;
        for (int32_t slots = p->rows; slots > 0; at++)
            slots -= g->prompt[at] == e->model.patch_id;
    }
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
    if (!r || copy_ask(r, e, g) != WM_OK) {
        wm_request_free(r);
        return wm_fail(err, WM_ENOMEM, "no memory for a prompt of %zu tokens", g->prompt_len);
    }
    r->post.kind = WM_POST_REQUEST;
    r->submitted_ms = wm_now_ms();
    r->usage = (struct wm_usage){.prompt_tokens = (int32_t)g->prompt_len, .first_token_ms = -1};
    if ((st = register_request(e, r, err)) != WM_OK) {
        wm_request_free(r);
        return st;
    }
    *request = r->id; /* before the post: events may come at once */
    if ((st = wm_mailbox_post_reply(e->mailbox, &r->post.letter)) !=
        WM_OK) { /* its bound is max_queued, checked above */
        pthread_mutex_lock(&e->lock);
        wm_engine_unlink(e, r);
        e->stats.queued--;
        e->stats.requests--;
        pthread_mutex_unlock(&e->lock);
        wm_request_free(r);
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
    struct wm_forget *forget = calloc(1, sizeof *forget);
    if (!forget) {
        wm_log(WM_LOG_ERROR, "no memory to forget an owner's cache; it stays until it is evicted",
               WM_N("owner", owner));
        return;
    }
    *forget = (struct wm_forget){.post = {.kind = WM_POST_FORGET}, .owner = owner};
    if (wm_mailbox_post_reply(e->mailbox, &forget->post.letter) != WM_OK)
        free(forget); /* closing: the whole cache goes */
}

struct wm_kv_bytes wm_engine_kv_of(struct wm_engine *e, uint64_t owner)
{
    struct wm_kv_bytes bytes = {0};
    pthread_mutex_lock(&e->lock);
    for (int g = 0; g < WM_KV_GROUPS; g++)
        bytes.device += (uint64_t)wm_kv_cache_blocks_of(e->cache, owner, g) * e->block_bytes[g];
    pthread_mutex_unlock(&e->lock);
    return bytes;
}

void wm_engine_stats(struct wm_engine *e, struct wm_engine_stats *out)
{
    pthread_mutex_lock(&e->lock);
    struct wm_kv_cache_counts counts = wm_kv_cache_counts(e->cache);
    *out = e->stats;
    pthread_mutex_unlock(&e->lock);
    struct wm_kv_stats *groups[WM_KV_GROUPS] = {&out->kv_global, &out->kv_local};
    for (int g = 0; g < WM_KV_GROUPS; g++) {
        groups[g]->used_bytes = (uint64_t)counts.used[g] * e->block_bytes[g];
        groups[g]->total_bytes = (uint64_t)counts.blocks[g] * e->block_bytes[g];
        out->kv_used_bytes += groups[g]->used_bytes;
        out->kv_total_bytes += groups[g]->total_bytes;
    }
    out->evicted_blocks = counts.evicted;
    out->ended_blocks = counts.ended;
}

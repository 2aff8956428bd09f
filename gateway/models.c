/* models.c -- see models.h. */
#include "gateway/models.h"

#include <stdio.h>
#include <string.h>

#include "kernels/base/log.h"

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_model(const struct wm_settings_model *a, const struct wm_settings_model *b)
{
    return same_text(a->path, b->path) && same_text(a->projector, b->projector) &&
           same_text(a->backend, b->backend) && same_text(a->chat_format, b->chat_format) &&
           a->context == b->context && a->threads == b->threads;
}

struct wm_engine *wm_model_set_find(const struct wm_model_set *set, const struct wm_settings_model *model)
{
    for (size_t i = 0; i < set->n; i++)
        if (same_model(set->models[i].settings, model))
            return set->models[i].engine;
    return NULL;
}

static void name_model(struct wm_model_set *set, struct wm_open_model *m)
{
    const char *name = wm_engine_info(m->engine)->name;
    int before = 0;
    for (const struct wm_open_model *o = set->models; o < m; o++)
        before += strcmp(wm_engine_info(o->engine)->name, name) == 0;
    if (before > 0)
        snprintf(m->label, sizeof m->label, "%.80s (%d)", name, before + 1);
    else
        snprintf(m->label, sizeof m->label, "%.80s", name);
}

static enum wm_status open_model(struct wm_model_set *set, const struct wm_settings *s,
                                 const struct wm_settings_model *model,
                                 void (*progress)(void *arg, int percent), void *arg, struct wm_error *err)
{
    struct wm_engine_options options = {.model = model->path,
                                        .projector = model->projector,
                                        .backend = model->backend,
                                        .chat_format = model->chat_format,
                                        .threads = (int)model->threads,
                                        .context = (int)model->context,
                                        .kv_bytes = (size_t)s->kv.device};
    struct wm_open_model *m = &set->models[set->n];
    enum wm_status st = wm_engine_open(&options, progress, arg, &m->engine, err);
    if (st != WM_OK)
        return st;
    m->settings = model;
    set->n++;
    name_model(set, m);
    const struct wm_chat_message hello = {.role = WM_ROLE_USER, .text = "Hello", .len = 5};
    struct wm_tokens tokens = {0};
    st = wm_engine_render(m->engine, &hello, 1, true, true, &tokens, err);
    wm_tokens_free(&tokens);
    if (st != WM_OK)
        return st;
    const struct wm_engine_info *info = wm_engine_info(m->engine);
    wm_log(WM_LOG_INFO, "model loaded", WM_S("name", info->name), WM_S("backend", info->backend),
           WM_N("context", info->context), WM_S("sees", info->sees_pictures ? "pictures" : "text only"));
    return WM_OK;
}

enum wm_status wm_model_set_open(const struct wm_settings *settings, void (*progress)(void *arg, int percent),
                                 void *arg, struct wm_model_set *out, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    for (size_t i = 0; i < settings->n_bots && st == WM_OK; i++)
        if (!wm_model_set_find(out, &settings->bots[i].model))
            st = open_model(out, settings, &settings->bots[i].model, progress, arg, err);
    return st;
}

void wm_model_set_close(struct wm_model_set *set)
{
    while (set->n > 0)
        wm_engine_close(set->models[--set->n].engine);
}

/* channels.c -- see channels.h. */
#include "gateway/channels.h"

#include <stdlib.h>
#include <string.h>

#include "adapters/registry.h"
#include "kernels/base/log.h"

static const struct wm_settings_bot *bot_of(const struct wm_settings *s, const char *name)
{
    for (size_t i = 0; i < s->n_bots; i++)
        if (name && strcmp(s->bots[i].name, name) == 0)
            return &s->bots[i];
    return NULL;
}

static enum wm_status open_channel(const struct wm_settings *settings, const struct wm_settings_channel *from,
                                   struct wm_gateway_channel *channel, struct wm_channel_binding *binding,
                                   struct wm_error *err)
{
    channel->name = from->name;
    channel->adapter = wm_adapter_find(from->platform);
    if (!channel->adapter)
        return wm_fail(err, WM_EUNSUPPORTED, "channel %s: this build has no adapter for the platform '%s'",
                       from->name, from->platform);
    struct wm_channel_config config = {.name = from->name,
                                       .account = from->account,
                                       .verify_token = from->verify_token,
                                       .access_token = from->access_token,
                                       .graph_url = from->graph_url};
    for (int i = 0; i < WM_CHANNEL_SECRETS && i < WM_SETTINGS_SECRETS; i++)
        config.app_secrets[i] = from->app_secrets[i];
    enum wm_status st = channel->adapter->open(&config, &channel->channel, err);
    if (st != WM_OK)
        return st;

    *binding = (struct wm_channel_binding){.name = from->name,
                                           .account = from->account,
                                           .adapter = channel->adapter,
                                           .channel = channel->channel,
                                           .settle_quiet_ms = from->settle_quiet_ms,
                                           .settle_at_most_ms = from->settle_at_most_ms};
    const struct wm_settings_bot *bot = bot_of(settings, from->bot);
    if (bot)
        binding->bot = (struct wm_bot_config){.name = bot->name,
                                              .system = bot->system,
                                              .max_reply_tokens = (int32_t)bot->max_reply_tokens,
                                              .sampling = {.temperature = (float)bot->temperature,
                                                           .top_p = (float)bot->top_p,
                                                           .min_p = (float)bot->min_p,
                                                           .top_k = (int32_t)bot->top_k,
                                                           .seed = (uint64_t)bot->seed}};
    return WM_OK;
}

enum wm_status wm_channel_set_new(struct wm_settings *settings, struct wm_channel_set **out,
                                  struct wm_error *err)
{
    struct wm_channel_set *set = calloc(1, sizeof *set);
    if (!set) {
        wm_settings_free(settings);
        return wm_fail(err, WM_ENOMEM, "no memory for the channels");
    }
    set->settings = settings;
    size_t n = settings->n_channels;
    set->channels = calloc(n ? n : 1, sizeof *set->channels);
    set->bindings = calloc(n ? n : 1, sizeof *set->bindings);
    enum wm_status st = WM_OK;
    if (!set->channels || !set->bindings)
        st = wm_fail(err, WM_ENOMEM, "no memory for %zu channels", n);
    for (size_t i = 0; i < n && st == WM_OK; i++) {
        st = open_channel(settings, &settings->channels[i], &set->channels[i], &set->bindings[i], err);
        if (st == WM_OK)
            set->n++;
    }
    if (st != WM_OK) {
        wm_channel_set_free(set);
        return st;
    }
    *out = set;
    return WM_OK;
}

static struct wm_engine *engine_of(const struct wm_channel_set *set, const char *bot)
{
    for (size_t i = 0; set && i < set->settings->n_bots; i++)
        if (strcmp(set->settings->bots[i].name, bot) == 0)
            return set->engines[i];
    return NULL;
}

enum wm_status wm_channel_set_think(struct wm_channel_set *set, const struct wm_model_set *models,
                                    const struct wm_channel_set *running, struct wm_error *err)
{
    for (size_t i = 0; i < set->settings->n_bots; i++) {
        const struct wm_settings_bot *bot = &set->settings->bots[i];
        set->engines[i] = wm_model_set_find(models, &bot->model);
        if (set->engines[i])
            continue;
        set->engines[i] = engine_of(running, bot->name);
        if (!set->engines[i])
            return wm_fail(err, WM_EINVAL, "bot %s: its model %s is not open; a new model takes a restart",
                           bot->name, bot->model.path);
        wm_log(WM_LOG_WARN, "setting needs a restart", WM_S("key", "model"), WM_S("bot", bot->name));
    }
    for (size_t i = 0; i < set->n; i++)
        set->bindings[i].engine = engine_of(set, set->bindings[i].bot.name);
    return WM_OK;
}

struct wm_gateway_channel *wm_channel_set_find(struct wm_channel_set *set, const char *name)
{
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->channels[i].name, name) == 0)
            return &set->channels[i];
    return NULL;
}

void wm_channel_set_free(struct wm_channel_set *set)
{
    while (set) {
        struct wm_channel_set *older = set->older;
        for (size_t i = 0; i < set->n; i++)
            set->channels[i].adapter->close(set->channels[i].channel);
        free(set->channels);
        free(set->bindings);
        wm_settings_free(set->settings);
        free(set);
        set = older;
    }
}

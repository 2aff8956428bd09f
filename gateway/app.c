/* app.c -- a running gateway: the parts, wired together.
 *
 * HOW     Started from the bottom of the map to the top, stopped the other way round:
 *
 *           channels  models  courier  sessions  server
 *              start ------------------------------>
 *              <------------------------------- stop
 *
 *         The courier outlives the sessions, because a call under way ends in the director; the channels outlive both.
 *
 * ALWAYS  (1) A listener opens only when what it leads to is ready.
 *         (2) A stop answers every webhook it has taken: the server drains before the store closes.
 */
#include "gateway/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/gateway.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum { DRAIN_ANSWERS_MS = 3000 }; /* for webhooks in hand; the rest of a stop's time goes to running turns */

static enum wm_status start_sessions(struct wm_app *app, const struct wm_settings *s, struct wm_error *err)
{
    const struct wm_channel_set *set = atomic_load(&app->channels);
    struct wm_sessions_options options = {.data = s->data,
                                          .transport = wm_courier_transport(app->courier),
                                          .channels = set->bindings,
                                          .n_channels = set->n,
                                          .unknown_wait_ms = s->delivery.unknown_wait_ms,
                                          .media_bytes = (size_t)s->media.max_bytes};
    return wm_sessions_open(&options, &app->sessions, err);
}

static void write_url(char *out, size_t size, const char *scheme, const char *address, int port)
{
    bool v6 = strchr(address, ':') != NULL;
    snprintf(out, size, "%s://%s%s%s:%d", scheme, v6 ? "[" : "", address, v6 ? "]" : "", port);
}

static enum wm_status start_server(struct wm_app *app, const struct wm_settings *s, struct wm_error *err)
{
    const struct wm_http_listener listeners[] = {
        [WM_LISTENER_PUBLIC] = {.address = s->listen.address,
                                .port = s->listen.port,
                                .certificate = s->tls_certificate,
                                .key = s->tls_key,
                                .admit = wm_public_admit,
                                .handle = wm_public_handle,
                                .arg = app},
        [WM_LISTENER_ADMIN] = {.address = s->admin.address,
                               .port = s->admin.port,
                               .admit = wm_admin_admit,
                               .handle = wm_admin_handle,
                               .arg = app},
    };
    enum wm_status st = wm_http_server_new(listeners, 2, NULL, "net", &app->server, err);
    if (st != WM_OK)
        return st;
    write_url(app->public_url, sizeof app->public_url, s->tls_certificate ? "https" : "http",
              s->listen.address, wm_http_server_port(app->server, WM_LISTENER_PUBLIC));
    write_url(app->admin_url, sizeof app->admin_url, "http", s->admin.address,
              wm_http_server_port(app->server, WM_LISTENER_ADMIN));
    wm_log(WM_LOG_INFO, "listening", WM_S("public", app->public_url), WM_S("admin", app->admin_url));
    return WM_OK;
}

enum wm_status wm_app_start(struct wm_settings *settings, void (*progress)(void *arg, int percent), void *arg,
                            struct wm_app **out, struct wm_error *err)
{
    struct wm_app *app = calloc(1, sizeof *app);
    if (!app) {
        wm_settings_free(settings);
        return wm_fail(err, WM_ENOMEM, "no memory for the gateway");
    }
    app->started_ms = wm_now_ms();
    struct wm_channel_set *set = NULL;
    enum wm_status st = wm_channel_set_new(settings, &set, err);
    atomic_store(&app->channels, set);
    if (st == WM_OK)
        st = wm_model_set_open(settings, progress, arg, &app->models, err);
    if (st == WM_OK)
        st = wm_channel_set_think(set, &app->models, NULL, err);
    if (st == WM_OK)
        st = wm_courier_new(&(struct wm_courier_options){.user_agent = "wingman/" WM_VERSION}, &app->courier,
                            err);
    if (st == WM_OK)
        st = start_sessions(app, settings, err);
    if (st == WM_OK)
        st = start_server(app, settings, err);
    if (st != WM_OK) {
        wm_app_stop(app, 0);
        return st;
    }
    for (size_t i = 0; i < set->n; i++)
        wm_log(WM_LOG_INFO, "channel ready", WM_S("channel", set->channels[i].name),
               WM_S("platform", set->channels[i].adapter->platform));
    *out = app;
    return WM_OK;
}

/* Settings that are read once: a reload that changes one says that it takes a restart. */
static void warn_of_fixed_settings(const struct wm_settings *old, const struct wm_settings *new)
{
    const struct {
        const char *key;
        bool changed;
    } fixed[] = {
        {"data", strcmp(old->data, new->data) != 0},
        {"listen",
         strcmp(old->listen.address, new->listen.address) != 0 || old->listen.port != new->listen.port},
        {"admin.listen",
         strcmp(old->admin.address, new->admin.address) != 0 || old->admin.port != new->admin.port},
        {"kv",
         old->kv.device != new->kv.device || old->kv.host != new->kv.host || old->kv.disk != new->kv.disk},
        {"media.max_bytes", old->media.max_bytes != new->media.max_bytes},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (fixed[i].changed)
            wm_log(WM_LOG_WARN, "setting needs a restart", WM_S("key", fixed[i].key));
}

enum wm_status wm_app_reload(struct wm_app *app, struct wm_settings *settings, struct wm_error *err)
{
    struct wm_channel_set *running = atomic_load(&app->channels), *set = NULL;
    enum wm_status st = wm_channel_set_new(settings, &set, err);
    if (st != WM_OK)
        return st;
    if (settings->tls_certificate && running->settings->tls_certificate)
        st = wm_http_server_reload_tls(app->server, err);
    if (st == WM_OK)
        st = wm_channel_set_think(set, &app->models, running, err);
    if (st == WM_OK)
        st = wm_sessions_reload(app->sessions, set->bindings, set->n, err);
    if (st != WM_OK) {
        wm_channel_set_free(set);
        return st;
    }
    warn_of_fixed_settings(running->settings, settings);
    set->older = running;
    atomic_store(&app->channels, set);
    return WM_OK;
}

const char *wm_app_public_url(const struct wm_app *app)
{
    return app->public_url;
}

const char *wm_app_admin_url(const struct wm_app *app)
{
    return app->admin_url;
}

void wm_app_stop(struct wm_app *app, int64_t deadline_ms)
{
    if (!app)
        return;
    atomic_store(&app->draining, true);
    if (app->server)
        wm_http_server_drain(app->server, deadline_ms < DRAIN_ANSWERS_MS ? deadline_ms : DRAIN_ANSWERS_MS);
    if (app->sessions)
        wm_sessions_close(app->sessions, deadline_ms);
    wm_http_server_free(app->server);
    wm_courier_free(app->courier);
    wm_model_set_close(&app->models);
    wm_channel_set_free(atomic_load(&app->channels));
    free(app);
}

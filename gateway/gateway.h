/* gateway.h -- what the files of the running gateway share: app.c owns it, public.c, admin.c and report.c read it. */
#ifndef WM_GATEWAY_GATEWAY_H
#define WM_GATEWAY_GATEWAY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "gateway/channels.h"
#include "gateway/courier.h"
#include "gateway/http/server.h"
#include "gateway/models.h"
#include "kernels/base/buffer.h"
#include "sessions/sessions.h"

struct wm_app {
    _Atomic(struct wm_channel_set *) channels; /* the running set; its settings are the running settings */
    struct wm_model_set models;
    struct wm_courier *courier;
    struct wm_sessions *sessions;
    struct wm_http_server *server; /* listener 0 public, listener 1 admin */
    char public_url[96], admin_url[96];
    atomic_bool draining;
    int64_t started_ms;
};

enum { WM_LISTENER_PUBLIC, WM_LISTENER_ADMIN };

/* public.c: the listener that platforms and people reach. `arg` is the wm_app. */
int wm_public_admit(void *arg, const char *method, const char *path, struct wm_http_exchange *x,
                    size_t *body_limit);
void wm_public_handle(void *arg, struct wm_http_exchange *x);

/* admin.c: the operator's listener. */
int wm_admin_admit(void *arg, const char *method, const char *path, struct wm_http_exchange *x,
                   size_t *body_limit);
void wm_admin_handle(void *arg, struct wm_http_exchange *x);

/* report.c: /metrics, and whether the gateway is ready (the reason when not). Any thread. */
void wm_report_metrics(struct wm_app *app, struct wm_buffer *out);
bool wm_report_ready(struct wm_app *app, struct wm_buffer *reason);

#endif

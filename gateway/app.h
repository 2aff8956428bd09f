/* app.h -- a running gateway: the parts, wired together. `serve` and `demo` are two ways to start one. */
#ifndef WM_GATEWAY_APP_H
#define WM_GATEWAY_APP_H

#include <stdint.h>

#include "gateway/settings.h"
#include "kernels/base/error.h"

struct wm_app;

/* Opens the model (progress 0..100 on the calling thread; may be NULL), the store and the listeners, in that order, so
 * that the first webhook finds everything ready. `settings` is taken, also on failure. */
enum wm_status wm_app_start(struct wm_settings *settings, void (*progress)(void *arg, int percent), void *arg,
                            struct wm_app **out, struct wm_error *err);

/* New channels, bots and certificates; takes `settings`, also on failure. What cannot change while running (data, model,
 * kv, addresses) keeps its old value and is named in the log. On failure the last good settings stay. */
enum wm_status wm_app_reload(struct wm_app *app, struct wm_settings *settings, struct wm_error *err);

/* "http://127.0.0.1:8080": where the listener really is. Borrowed. */
const char *wm_app_public_url(const struct wm_app *app);
const char *wm_app_admin_url(const struct wm_app *app);

/* Drains: no new connections, webhooks in hand are committed and answered, running turns may finish until deadline_ms;
 * the rest resumes at the next start. Frees. NULL is fine. */
void wm_app_stop(struct wm_app *app, int64_t deadline_ms);

#endif

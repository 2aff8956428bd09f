/* channels.h -- from the settings' channels to open adapter channels, as a set that can be replaced while running.
 *
 * A set is made whole or not at all. The running one is read by the net thread (routes) and by the director; a replaced
 * set is kept until the gateway stops, because calls under way may still hold its channels: a reload costs some
 * kilobytes, not a reference count on every webhook.
 */
#ifndef WM_GATEWAY_CHANNELS_H
#define WM_GATEWAY_CHANNELS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/models.h"
#include "gateway/settings.h"
#include "sessions/sessions.h"

/* One channel, and what the net thread counts of it. */
struct wm_gateway_channel {
    const char *name; /* borrowed from the set's settings */
    const struct wm_adapter *adapter;
    struct wm_channel *channel;
    _Atomic uint64_t accepted, denied, refused; /* webhooks: committed, 401, 503 */
};

struct wm_channel_set {
    struct wm_settings *settings; /* owned: bindings borrow its strings */
    struct wm_gateway_channel *channels;
    struct wm_channel_binding *bindings;
    size_t n;
    struct wm_engine *engines[WM_SETTINGS_BOTS]; /* of the settings' bots, in their order; borrowed */
    struct wm_channel_set *older;
};

/* Takes `settings`, also on failure. */
enum wm_status wm_channel_set_new(struct wm_settings *settings, struct wm_channel_set **out,
                                  struct wm_error *err);

/* Gives each channel the engine of its bot. `running` (NULL at the start): a bot whose model is not open keeps the one that it
 * has there, and the log says that it takes a restart; EINVAL for a bot that is new. */
enum wm_status wm_channel_set_think(struct wm_channel_set *set, const struct wm_model_set *models,
                                    const struct wm_channel_set *running, struct wm_error *err);

/* NULL when no channel has that name. */
struct wm_gateway_channel *wm_channel_set_find(struct wm_channel_set *set, const char *name);

/* Frees the set and every older one. NULL is fine. */
void wm_channel_set_free(struct wm_channel_set *set);

#endif

/* channel.h -- one configured channel of Meta's: its secrets, where it calls. WhatsApp, Messenger and Instagram have the
 * same; what differs stands in the adapters' folders.
 *
 * It holds no state that changes but the signature's contexts, which belong to the net thread.
 */
#ifndef WM_META_CHANNEL_H
#define WM_META_CHANNEL_H

#include <jansson.h>

#include "adapters/meta/signature.h"
#include "sessions/channel.h"

struct wm_channel {
    char *name;
    char *account; /* phone number id, page id, Instagram id; NULL: any of the app */
    char *verify_token, *access_token;
    char *graph_url;
    struct wm_meta_signature *signature;
};

/* wm_adapter.open, .close, .verify and .challenge of all three platforms. */
enum wm_status wm_meta_channel_open(const struct wm_channel_config *config, struct wm_channel **out,
                                    struct wm_error *err);
void wm_meta_channel_close(struct wm_channel *c);
enum wm_status wm_meta_channel_verify(struct wm_channel *c, const struct wm_webhook *hook,
                                      struct wm_error *err);
enum wm_status wm_meta_channel_challenge(struct wm_channel *c, const char *query, size_t len,
                                         struct wm_buffer *out, struct wm_error *err);

/* Who sends: the account of the message, else the channel's own. EINVAL when there is none, or one that does not belong
 * into a URL's path: it may come from a webhook. */
enum wm_status wm_meta_sender(const struct wm_channel *c, const struct wm_outgoing *what,
                              const char **account, struct wm_error *err);

/* POST graph_url/account/messages with `body`, which is taken, also on failure; NULL is no memory. The token travels in a
 * header, never in the URL. */
enum wm_status wm_meta_call_new(const struct wm_channel *c, const char *account, json_t *body,
                                struct wm_http_call **out, struct wm_error *err);

#endif

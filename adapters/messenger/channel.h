/* channel.h -- what the files of this adapter share; nobody else includes it. */
#ifndef WM_MESSENGER_CHANNEL_H
#define WM_MESSENGER_CHANNEL_H

#include <jansson.h>

#include "adapters/meta/channel.h"
#include "adapters/meta/draft.h"

/* parse.c: wm_adapter.parse of either platform */
enum wm_status wm_messenger_parse(struct wm_channel *c, const char *body, size_t len, int64_t arrived_ms,
                                  struct wm_event_list *out, struct wm_error *err);
enum wm_status wm_instagram_parse(struct wm_channel *c, const char *body, size_t len, int64_t arrived_ms,
                                  struct wm_event_list *out, struct wm_error *err);

/* What surrounds an update. */
struct wm_messenger_context {
    const char *account; /* page or Instagram account that it came to; may be NULL */
    bool standby;        /* another app owns the conversation: we only listen */
};

/* message.c: kind, text, payload, media and target of what stands under "message". */
void wm_messenger_content(struct wm_draft *d, struct wm_event *e, const json_t *message);

/* render.c: wm_adapter.render */
enum wm_status wm_messenger_render(struct wm_channel *c, const char *markdown, size_t len,
                                   enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                                   struct wm_error *err);
enum wm_status wm_instagram_render(struct wm_channel *c, const char *markdown, size_t len,
                                   enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                                   struct wm_error *err);

/* request.c, outcome.c: wm_adapter.request and .outcome */
enum wm_status wm_messenger_request(struct wm_channel *c, const struct wm_outgoing *what,
                                    struct wm_http_call **out, struct wm_error *err);
enum wm_status wm_instagram_request(struct wm_channel *c, const struct wm_outgoing *what,
                                    struct wm_http_call **out, struct wm_error *err);
void wm_messenger_outcome(struct wm_channel *c, const struct wm_outgoing *what,
                          const struct wm_http_result *result, int attempt, struct wm_outcome *out);

/* media.c: wm_adapter.media of both platforms */
extern const struct wm_adapter_media wm_messenger_media;

#endif

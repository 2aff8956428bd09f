/* channel.h -- what the files of this adapter share; nobody else includes it. */
#ifndef WM_WHATSAPP_CHANNEL_H
#define WM_WHATSAPP_CHANNEL_H

#include <jansson.h>

#include "adapters/meta/channel.h"
#include "adapters/meta/draft.h"

/* parse.c: wm_adapter.parse */
enum wm_status wm_whatsapp_parse(struct wm_channel *c, const char *body, size_t len, int64_t arrived_ms,
                                 struct wm_event_list *out, struct wm_error *err);

/* What surrounds an update: the value that it stands in. */
struct wm_whatsapp_context {
    const json_t *value;
    const char *field;   /* of the change; "messages" when it had none */
    const char *account; /* may be NULL */
};

/* message.c: one element of messages[], message_echoes[] or a history thread. */
void wm_whatsapp_message(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *message);
void wm_whatsapp_echo(struct wm_draft *d, const struct wm_whatsapp_context *in, const json_t *message);
void wm_whatsapp_history(struct wm_draft *d, const struct wm_whatsapp_context *in, const char *person,
                         const json_t *message);

/* content.c: kind, text, payload and media of a message by its `type`. */
void wm_whatsapp_content(struct wm_draft *d, struct wm_event *e, const json_t *message);
/* The first of errors[]: code, and its most telling words. */
void wm_whatsapp_error(struct wm_draft *d, struct wm_event *e, const json_t *errors);

/* render.c: wm_adapter.render */
enum wm_status wm_whatsapp_render(struct wm_channel *c, const char *markdown, size_t len,
                                  enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                                  struct wm_error *err);

/* request.c, outcome.c: wm_adapter.request and .outcome */
enum wm_status wm_whatsapp_request(struct wm_channel *c, const struct wm_outgoing *what,
                                   struct wm_http_call **out, struct wm_error *err);
void wm_whatsapp_outcome(struct wm_channel *c, const struct wm_outgoing *what,
                         const struct wm_http_result *result, int attempt, struct wm_outcome *out);
/* wm_meta_graph_refused with WhatsApp's codes. */
bool wm_whatsapp_refused(const struct wm_http_result *result, int attempt, struct wm_outcome *out,
                         json_t **answer);

/* media.c: wm_adapter.media */
extern const struct wm_adapter_media wm_whatsapp_media;

#endif

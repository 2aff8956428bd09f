/* channel.h -- what sessions asks of a platform. adapters/ implements it, one platform each; gateway/ hands the
 * channels over. Nothing here does I/O: an adapter turns bytes into events and replies into HTTP calls.
 */
#ifndef WM_SESSIONS_CHANNEL_H
#define WM_SESSIONS_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buffer.h"
#include "kernels/base/error.h"
#include "sessions/event.h"
#include "sessions/transport.h"

struct wm_channel; /* one configured channel of one platform; made by the adapter */

enum { WM_CHANNEL_SECRETS = 8 };

/* Borrowed while open() runs; the adapter copies what it keeps. */
struct wm_channel_config {
    const char *name;
    const char *account;                         /* phone number id, page id; NULL: any account of the app */
    const char *app_secrets[WM_CHANNEL_SECRETS]; /* NULL-ended unless full; accept a match with any */
    const char *verify_token;
    const char *access_token;
    const char *graph_url; /* without a slash at the end */
};

/* The part of a webhook request that authenticity depends on. All borrowed; not NUL-terminated beyond len. */
struct wm_webhook {
    const char *body;
    size_t body_len;
    /* Value of header `name` (lower case), trimmed; NULL when absent. *count (may be NULL) = how often it came. */
    const char *(*header)(void *arg, const char *name, size_t *len, int *count);
    void *arg;
};

/* Every reference of ours begins with this; strangers' do not. */
#define WM_REF_PREFIX "wm:"

/* A reply part that goes out: one outbox row, or an effect beside it. */
enum wm_outgoing_kind {
    WM_OUT_TEXT,
    WM_OUT_READ,  /* mark `target` (and what came before it) as read */
    WM_OUT_TYPING /* show typing, where the platform ties it to a message: `target` */
};

struct wm_outgoing {
    enum wm_outgoing_kind kind;
    const char *account; /* send as; NULL: the channel's own */
    const char *to;      /* contact: the id that the platform last gave us for the person */
    const char *text;    /* already in the platform's dialect */
    const char *ref;     /* our reference, comes back in statuses; NULL for effects */
    const char *target;  /* message id; may be NULL with WM_OUT_TEXT */
};

/* What an answer of the platform means for the row. */
enum wm_outcome_kind {
    WM_OUTCOME_SENT,    /* accepted; `platform_id` */
    WM_OUTCOME_RETRY,   /* not accepted, may be later: after `retry_ms` */
    WM_OUTCOME_FAILED,  /* never: `sentence` says why */
    WM_OUTCOME_UNKNOWN, /* it may have been accepted: only a status can tell */
    WM_OUTCOME_PAUSE /* not accepted; the whole channel is out of order (token, permission): alarm, keep the queue,
                          try again after `retry_ms` */
};

struct wm_outcome {
    enum wm_outcome_kind kind;
    char platform_id[256];
    int64_t retry_ms;
    bool retry_contact_only; /* the limit is of this pair, not of the account */
    int32_t code;            /* the platform's error code, 0 without */
    char sentence[256];
};

enum {
    WM_CAP_READ = 1,      /* can mark read */
    WM_CAP_TYPING = 2,    /* can show typing */
    WM_CAP_STATUS_REF = 4 /* statuses carry our own reference: an unknown row can be settled */
};

/* What an answer means for a medium that a person sent: a GET may always be repeated. */
enum wm_media_outcome_kind {
    WM_MEDIA_GOT,
    WM_MEDIA_RETRY, /* not now: again from the beginning after `retry_ms` */
    WM_MEDIA_GONE,  /* never: `sentence` says why */
    WM_MEDIA_PAUSE  /* the whole channel is out of order (token, permission): alarm; again after `retry_ms` */
};

struct wm_media_outcome {
    enum wm_media_outcome_kind kind;
    int64_t retry_ms;
    int32_t code; /* the platform's error code, 0 without */
    char sentence[256];
};

enum { WM_MEDIA_URL_BYTES = 4096, WM_MEDIA_SHA256_HEX = 64 };

/* Where a medium lies, as the platform tells it. */
struct wm_media_place {
    char url[WM_MEDIA_URL_BYTES];
    char mime[64];                        /* "" : not said */
    char sha256[WM_MEDIA_SHA256_HEX + 1]; /* lower-case hex; "" : not said */
    int64_t bytes;                        /* -1: not said */
};

/* How media that people send are fetched: at most two calls. All of it on the director thread. */
struct wm_adapter_media {
    /* The call that asks where `id` (one of wm_event.media) lies. *out NULL: no call is needed, `place` is filled.
     * EINVAL: no id of this platform. */
    enum wm_status (*ask)(struct wm_channel *c, const char *id, struct wm_http_call **out,
                          struct wm_media_place *place, struct wm_error *err);
    /* Reads the answer to it; `place` is filled with GOT. `attempt` counts from 1. Where ask makes calls. */
    void (*told)(struct wm_channel *c, const struct wm_http_result *result, int attempt,
                 struct wm_media_place *place, struct wm_media_outcome *out);
    /* The call that fetches it, at most `max_bytes`. EDENIED: the address leads somewhere else than to the platform's
     * own hosts; no call is made and no token shown. */
    enum wm_status (*fetch)(struct wm_channel *c, const struct wm_media_place *place, size_t max_bytes,
                            struct wm_http_call **out, struct wm_error *err);
    /* Reads the answer to it; with GOT the body of `result` is the medium. */
    void (*fetched)(struct wm_channel *c, const struct wm_http_result *result, int attempt,
                    struct wm_media_outcome *out);
};

struct wm_adapter {
    const char *platform; /* settings key */
    unsigned caps;        /* WM_CAP_*: callers ask, never assume */
    int64_t window_ms;    /* free text allowed this long after the contact's last message; 0: always */
    int64_t typing_ms;    /* a typing mark fades after this */

    /* Required. EINVAL with a sentence when a secret is missing, shorter than 16 bytes, or a placeholder. */
    enum wm_status (*open)(const struct wm_channel_config *config, struct wm_channel **out,
                           struct wm_error *err);
    void (*close)(struct wm_channel *c); /* NULL is fine */

    /* Net thread (one at a time). Over the raw bytes, constant time, before anything is parsed. EDENIED: answer 401;
     * the sentence never holds an expected value. */
    enum wm_status (*verify)(struct wm_channel *c, const struct wm_webhook *hook, struct wm_error *err);

    /* Net thread. The platform's GET handshake: query is the raw query string. WM_OK: answer 200 text/plain with what
     * is in `out`; EDENIED: 403. */
    enum wm_status (*challenge)(struct wm_channel *c, const char *query, size_t len, struct wm_buffer *out,
                                struct wm_error *err);

    /* Director thread. Appends every update of the body. EFORMAT: not JSON, or not an envelope of this platform (the
     * caller keeps the body as one UNPARSED event); events already appended stay valid. */
    enum wm_status (*parse)(struct wm_channel *c, const char *body, size_t len, int64_t arrived_ms,
                            struct wm_event_list *out, struct wm_error *err);

    /* Any thread. Splits Markdown into parts of the platform's dialect and limits; calls `part` for each, in order. */
    enum wm_status (*render)(struct wm_channel *c, const char *markdown, size_t len,
                             enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                             struct wm_error *err);

    /* Director thread. The call that performs `what`. EUNSUPPORTED: this platform has no such thing. */
    enum wm_status (*request)(struct wm_channel *c, const struct wm_outgoing *what, struct wm_http_call **out,
                              struct wm_error *err);

    /* Director thread. Reads the answer to such a call. `attempt` counts from 1. */
    void (*outcome)(struct wm_channel *c, const struct wm_outgoing *what, const struct wm_http_result *result,
                    int attempt, struct wm_outcome *out);

    const struct wm_adapter_media *media; /* NULL: media of this platform are not fetched */
};

#endif

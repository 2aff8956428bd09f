/* transport.h -- outbound HTTP as the folders above gateway/ see it: a call, its result, and who performs it.
 * gateway/courier.c implements wm_transport with libcurl; tests implement it in memory.
 */
#ifndef WM_SESSIONS_TRANSPORT_H
#define WM_SESSIONS_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

enum { WM_HTTP_CALL_HEADERS = 8 };

/* One malloc'd tree; wm_http_call_free frees it. Headers are complete lines ("Content-Type: application/json"). */
struct wm_http_call {
    char *method; /* "GET", "POST" */
    char *url;
    char *headers[WM_HTTP_CALL_HEADERS]; /* may hold secrets: never logged */
    char *body;                          /* NULL: none */
    size_t body_len;
    int64_t timeout_ms;      /* whole call; 0: 30 s */
    size_t max_answer_bytes; /* 0: 64 KiB; more is cut off and the call counts as LOST */
    bool public_only; /* no connection to a loopback, private or link-local address, whatever the name says */
};

/* All strings copied; NULL without memory. */
struct wm_http_call *wm_http_call_new(const char *method, const char *url, const char *body, size_t body_len);
/* Takes nothing, copies the line. WM_ELIMIT past WM_HTTP_CALL_HEADERS. */
enum wm_status wm_http_call_header(struct wm_http_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void wm_http_call_free(struct wm_http_call *call);

enum wm_http_fate {
    WM_HTTP_ANSWERED, /* status and body are the peer's */
    WM_HTTP_NOT_SENT, /* no byte of the request can have reached the peer: safe to repeat */
    WM_HTTP_LOST      /* the request left, no (whole) answer came: it may have been acted on */
};

struct wm_http_result {
    enum wm_http_fate fate;
    int status;    /* with ANSWERED */
    bool too_long; /* with LOST: it was longer than max_answer_bytes */
    const char *body;
    size_t body_len;
    int64_t retry_after_ms; /* from Retry-After in seconds, clamped to [0, 1 h]; -1 without */
    const char *cause;      /* a sentence for a person, without secrets; NULL with ANSWERED */
};

/* A result that outlives its call. */
struct wm_http_copy {
    struct wm_http_result result; /* body and cause are those below; body is NULL only without memory */
    char *body, *cause;
};

/* Transport's thread. Without memory for the body the copy says LOST: an answer that nobody can read. */
void wm_http_copy(struct wm_http_copy *copy, const struct wm_http_result *result);
void wm_http_copy_free(struct wm_http_copy *copy); /* empties it; a zeroed one is fine */

struct wm_transport {
    void *self;
    /* Any thread. Takes `call` when it returns WM_OK, and then calls done exactly once, on the transport's thread,
     * which it must not block. WM_EAGAIN: too many calls wait; the caller still owns `call`. */
    enum wm_status (*send)(void *self, struct wm_http_call *call,
                           void (*done)(void *arg, const struct wm_http_result *result), void *arg);
};

#endif

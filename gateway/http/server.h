/* server.h -- an HTTP/1.1 server on libwebsockets' loop and TLS, with our own bounded parser.
 *
 * One server is one thread with one libwebsockets context; it may listen on several addresses. Handlers run on that
 * thread and must not block: what takes time answers later, from any thread.
 * Essay, limits and traps: server.c, parser.c.
 */
#ifndef WM_HTTP_SERVER_H
#define WM_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

struct wm_http_server;
struct wm_http_exchange; /* one request and its coming answer */

/* The request, borrowed: valid until the exchange is answered (the body until then too). */
struct wm_http_request {
    const char *method; /* upper case */
    const char *path;   /* percent-decoded, normalised: starts with '/', no "..", no "//", no NUL */
    const char *query;  /* raw, without '?'; "" when absent */
    const char *body;
    size_t body_len;
    const char *peer; /* address without port */
};

/* Net thread. Value of header `name` (lower case) or NULL; `len` and `count` may be NULL. */
const char *wm_http_header(const struct wm_http_exchange *x, const char *name, size_t *len, int *count);
const struct wm_http_request *wm_http_request(const struct wm_http_exchange *x);

/* Called on the net thread once the whole request is here. Must lead to exactly one wm_http_reply or
 * wm_http_stream_begin, now or later, from any thread; nothing else frees an exchange. */
typedef void (*wm_http_handler)(void *arg, struct wm_http_exchange *x);

/* Called on the net thread after the head and before the body, so that a route can refuse early. Returns 0 to go on, or
 * the status to answer and close with (404, 405, 413, 415 ...). *body_limit may be lowered or raised. May be NULL. */
typedef int (*wm_http_admit)(void *arg, const char *method, const char *path, struct wm_http_exchange *x,
                             size_t *body_limit);

struct wm_http_listener {
    const char *address;           /* "127.0.0.1", "::1", "0.0.0.0" */
    int port;                      /* 0: any free one */
    const char *certificate, *key; /* PEM files; NULL: plain */
    wm_http_admit admit;
    wm_http_handler handle;
    void *arg;
};

struct wm_http_limits {       /* 0: the default */
    size_t head_bytes;        /* 16 KiB: request line and headers */
    int headers;              /* 100; 128 at most */
    size_t body_bytes;        /* 3 MiB, Meta's largest webhook */
    int connections;          /* 16384, cut to the file limit */
    int connections_per_peer; /* 0: no limit on loopback; else 1024 */
    int64_t head_ms;          /* 10 s from the first byte of a request to the end of its head */
    int64_t body_ms;          /* 30 s from the head to the end of the body */
    int64_t idle_ms;          /* 75 s of keep-alive silence */
    int64_t answer_ms;        /* 60 s for a peer to take its answer */
    size_t stream_backlog;    /* 1 MiB unsent bytes of an event stream before it is cut */
    size_t memory_bytes;      /* 256 MiB: all requests in hand together; past it 503 */
};

/* Opens the sockets and starts the thread. EEXIST-like trouble is a sentence: "port 8080 of 127.0.0.1 is in use: ..." */
enum wm_status wm_http_server_new(const struct wm_http_listener *listeners, int n,
                                  const struct wm_http_limits *limits, const char *name,
                                  struct wm_http_server **out, struct wm_error *err);

/* The port that listener i got. */
int wm_http_server_port(const struct wm_http_server *s, int listener);

/* New certificates (SIGHUP). On failure the old ones stay. */
enum wm_status wm_http_server_reload_tls(struct wm_http_server *s, struct wm_error *err);

/* Stops listening at once; open exchanges may finish until deadline_ms, answers say Connection: close. Joins. Exchanges
 * that are answered after that are freed without effect. */
void wm_http_server_drain(struct wm_http_server *s, int64_t deadline_ms);
void wm_http_server_free(struct wm_http_server *s);

/* Answers. Any thread, once per exchange; the exchange is gone afterwards. `headers` are complete lines, each ended with
 * CRLF, or NULL. Content-Length, Date, Connection and the security headers are the server's. Body is copied. */
void wm_http_reply(struct wm_http_exchange *x, int status, const char *content_type, const char *headers,
                   const void *body, size_t len);

/* An endless answer (text/event-stream and such). Any thread. The returned stream lives until wm_http_stream_end. */
struct wm_http_stream;
struct wm_http_stream *wm_http_stream_begin(struct wm_http_exchange *x, int status, const char *content_type,
                                            const char *headers);
/* WM_ECANCELED: the peer has gone or is too slow (backlog); end the stream. Copies. */
enum wm_status wm_http_stream_write(struct wm_http_stream *st, const void *bytes, size_t len);
void wm_http_stream_end(struct wm_http_stream *st);

struct wm_http_stats {
    uint64_t requests, connections, refused_connections, bytes_in, bytes_out;
    uint64_t open_connections, open_streams;
    uint64_t status[6];    /* answers by hundreds: [2] = 2xx ... */
    uint64_t bad_requests; /* answered by the parser itself */
    uint64_t timeouts;
};
void wm_http_server_stats(struct wm_http_server *s, struct wm_http_stats *out);

#endif

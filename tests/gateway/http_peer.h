/* http_peer.h -- both ends of the HTTP tests: a server with a few routes, and a peer that can misbehave.
 *
 * Routes of the server: /echo answers at once with method, path, query and body; /big?N with N bytes; every other path is
 * held, and the test takes the exchange with house_take and answers it as it likes.
 */
#ifndef WM_TESTS_HTTP_PEER_H
#define WM_TESTS_HTTP_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "gateway/http/server.h"
#include "kernels/base/buffer.h"
#include "kernels/base/mailbox.h"

struct house { /* a server under test */
    struct wm_http_server *server;
    struct wm_mailbox *held;
    int port;
    _Atomic int handled;
};

/* Starts a server with one listener on a free port of 127.0.0.1; TLS when `certificate` is not NULL. */
void house_open(struct house *h, const struct wm_http_limits *limits, const char *certificate,
                const char *key);
void house_close(struct house *h);

/* The next held exchange; fails the test when none comes within 5 s. */
struct wm_http_exchange *house_take(struct house *h);

struct wm_http_stats house_stats(struct house *h);

/* Waits up to 5 s for *field of the statistics, at `offset`, to become `want`; fails the test otherwise. */
#define house_await(h, field, want) house_await_at(h, offsetof(struct wm_http_stats, field), want)
void house_await_at(struct house *h, size_t offset, uint64_t want);

/* Processor time of this process, the server's thread included, in milliseconds: nobody may spin. */
int64_t house_cpu_ms(void);

struct peer { /* a client's connection */
    int fd;
    SSL *ssl;            /* NULL: plain */
    struct wm_buffer in; /* read and not yet used */
};

struct peer peer_connect(int port);
void peer_send(struct peer *p, const char *bytes, size_t len);
void peer_say(struct peer *p, const char *text);
void peer_close(struct peer *p);

/* "POST path" with the body; peer_get: "GET path". */
void peer_post(struct peer *p, const char *path, const char *body, size_t len);
void peer_get(struct peer *p, const char *path);

/* Reads one answer: its status, or 0 when the connection ends first (or nothing comes for 5 s, which fails the test).
 * `head` and `body` are filled; both are kept until the next read. */
struct heard {
    int status;
    char head[4096];
    struct wm_buffer body;
    bool broken_off; /* the connection ended inside the answer */
};
int peer_hear(struct peer *p, struct heard *out);

/* Reads until the connection ends; the bytes that came are in p->in. False when it is still open after `ms`. */
bool peer_ended(struct peer *p, int ms);

#endif

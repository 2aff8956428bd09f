/* exchange.c -- one request between two threads: made by the server's, answered from any.
 *
 * WHY     A webhook is answered when the store has committed it, a chat when the engine speaks: by threads that know
 *         nothing of sockets. Meanwhile the peer may leave, and the server may stop.
 *
 * HOW     An answer is a message in the server's mailbox. The first of a burst rings the loop's bell (ev_async, which
 *         costs no system call while the loop is awake); the loop takes all that wait, oldest first. A stream is the
 *         same exchange kept open: BEGIN, any number of PIECEs, END.
 *
 *           handler --reply--> [mailbox] --deliver--> connection, if it is still there
 *
 * ALWAYS  (1) Exactly one REPLY or END reaches each exchange, and frees it; nothing else does.
 *         (2) x->connection is touched by the server's thread alone. It turns NULL when the peer goes.
 *         (3) An exchange holds a reference to the server, and so does a post under way: an answer that comes after the
 *             server has stopped finds a closed mailbox, not freed memory.
 *
 * LIMITS  Replies are bounded by the requests in hand. A stream's messages are bounded by stream_backlog: past that
 *         many bytes unsent, the writer is told to end it.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/http/inside.h"
#include "kernels/base/log.h"

static struct wm_http_exchange *exchange_of(struct wm_http_stream *st)
{
    return (struct wm_http_exchange *)((char *)st - offsetof(struct wm_http_exchange, stream));
}

struct wm_http_exchange *wm_http_exchange_new(struct wm_http_connection *c)
{
    struct wm_http_server *s = c->server;
    struct wm_http_exchange *x = malloc(sizeof *x);
    if (!x)
        return NULL;
    x->server = s;
    x->connection = c;
    x->held = 0;
    x->last_resort = (struct wm_http_message){.x = x};
    atomic_init(&x->stream.queued, 0);
    atomic_init(&x->stream.gone, false);
    memcpy(x->peer, c->address, sizeof x->peer);
    wm_http_parser_init(&x->parser, s->limits.head_bytes, s->limits.headers);
    wm_http_server_hold(s);
    return x;
}

void wm_http_exchange_free(struct wm_http_exchange *x)
{
    struct wm_http_server *s = x->server;
    atomic_fetch_sub_explicit(&s->held, x->held, memory_order_relaxed);
    wm_http_parser_free(&x->parser);
    free(x);
    wm_http_server_let_go(s);
}

const char *wm_http_header(const struct wm_http_exchange *x, const char *name, size_t *len, int *count)
{
    return wm_http_parser_header(&x->parser, name, len, count);
}

const struct wm_http_request *wm_http_request(const struct wm_http_exchange *x)
{
    return &x->request;
}

/* ---- any thread ---- */

/* A message with its strings behind it; NULL without memory. */
static struct wm_http_message *message_new(struct wm_http_exchange *x, enum wm_http_message_kind kind,
                                           int status, const char *content_type, const char *headers,
                                           const void *bytes, size_t len)
{
    size_t type_size = content_type ? strlen(content_type) + 1 : 0,
           headers_size = headers ? strlen(headers) + 1 : 0;
    struct wm_http_message *m = malloc(sizeof *m + type_size + headers_size + len);
    if (!m)
        return NULL;
    char *tail = (char *)(m + 1);
    *m = (struct wm_http_message){.kind = kind, .x = x, .status = status, .len = len};
    if (content_type)
        m->content_type = memcpy(tail, content_type, type_size);
    if (headers)
        m->headers = memcpy(tail + type_size, headers, headers_size);
    if (len)
        m->bytes = memcpy(tail + type_size + headers_size, bytes, len);
    return m;
}

static void message_free(struct wm_http_message *m)
{
    if (m->x && m == &m->x->last_resort)
        return;
    free(m);
}

/* Posts; false when the server has stopped, and the message is the caller's still. */
static bool post(struct wm_http_exchange *x, struct wm_http_message *m)
{
    struct wm_http_server *s = x->server;
    wm_http_server_hold(s); /* the exchange may be gone before the bell has been rung */
    bool posted = wm_mailbox_post_reply(s->mailbox, &m->letter) == WM_OK;
    wm_http_server_let_go(s);
    return posted;
}

void wm_http_reply(struct wm_http_exchange *x, int status, const char *content_type, const char *headers,
                   const void *body, size_t len)
{
    struct wm_http_message *m = message_new(x, WM_HTTP_REPLY, status, content_type, headers, body, len);
    if (!m) {
        m = &x->last_resort;
        m->kind = WM_HTTP_REPLY;
        m->status = 500;
    }
    if (!post(x, m)) {
        message_free(m);
        wm_http_exchange_free(x);
    }
}

struct wm_http_stream *wm_http_stream_begin(struct wm_http_exchange *x, int status, const char *content_type,
                                            const char *headers)
{
    struct wm_http_message *m = message_new(x, WM_HTTP_BEGIN, status, content_type, headers, NULL, 0);
    if (!m || !post(x, m)) {
        free(m);
        atomic_store(&x->stream.gone, true);
    }
    return &x->stream;
}

enum wm_status wm_http_stream_write(struct wm_http_stream *st, const void *bytes, size_t len)
{
    struct wm_http_exchange *x = exchange_of(st);
    if (atomic_load(&st->gone))
        return WM_ECANCELED;
    if (len == 0)
        return WM_OK; /* an empty chunk would be the end */
    if (atomic_load(&st->queued) + len > x->server->limits.stream_backlog) {
        atomic_store(&st->gone, true);
        return WM_ECANCELED;
    }
    struct wm_http_message *m = message_new(x, WM_HTTP_PIECE, 0, NULL, NULL, bytes, len);
    if (!m)
        return WM_ENOMEM;
    atomic_fetch_add(&st->queued, len);
    if (!post(x, m)) {
        message_free(m);
        atomic_store(&st->gone, true);
        return WM_ECANCELED;
    }
    return WM_OK;
}

void wm_http_stream_end(struct wm_http_stream *st)
{
    struct wm_http_exchange *x = exchange_of(st);
    x->last_resort.kind = WM_HTTP_END;
    if (!post(x, &x->last_resort))
        wm_http_exchange_free(x);
}

/* ---- the server's thread ---- */

static struct wm_http_answer answer_of(const struct wm_http_message *m)
{
    return (struct wm_http_answer){.status = m->status,
                                   .content_type = m->content_type,
                                   .headers = m->headers,
                                   .body = m->bytes,
                                   .len = m->len,
                                   .head_only = strcmp(m->x->request.method, "HEAD") == 0};
}

/* The exchange leaves its connection; what is still to be sent is bytes in buffers. */
static void part(struct wm_http_exchange *x)
{
    if (x->connection)
        x->connection->x = NULL;
    x->connection = NULL;
}

static void deliver_reply(struct wm_http_message *m)
{
    struct wm_http_exchange *x = m->x;
    struct wm_http_connection *c = x->connection;
    if (c) {
        struct wm_http_answer a = answer_of(m);
        part(x);
        if (!wm_http_connection_send(c, &a))
            wm_http_connection_end(c);
    }
    message_free(m);
    wm_http_exchange_free(x);
}

static void deliver_begin(struct wm_http_message *m)
{
    struct wm_http_connection *c = m->x->connection;
    if (c) {
        struct wm_http_answer a = answer_of(m);
        a.framing = m->x->parser.http_1_0 ? WM_HTTP_UNTIL_CLOSE : WM_HTTP_CHUNKED;
        if (!wm_http_connection_send(c, &a))
            wm_http_connection_end(c);
    }
    message_free(m);
}

static void deliver_piece(struct wm_http_message *m)
{
    struct wm_http_connection *c = m->x->connection;
    if (c && !wm_http_connection_stream(c, m->bytes, m->len, false))
        wm_http_connection_end(c);
    message_free(m);
}

static void deliver_end(struct wm_http_message *m)
{
    struct wm_http_exchange *x = m->x;
    struct wm_http_connection *c = x->connection;
    if (c) {
        part(x);
        /* A stream that lost a piece must not look whole: the peer sees it break off. */
        bool whole = !atomic_load(&x->stream.gone) && c->state == WM_HTTP_STREAMING;
        if (!whole || !wm_http_connection_stream(c, NULL, 0, true))
            wm_http_connection_end(c);
    }
    wm_http_exchange_free(x); /* the message lies in it */
}

void wm_http_deliver(struct wm_http_server *s)
{
    for (struct wm_letter *letter = wm_mailbox_take(s->mailbox), *next; letter; letter = next) {
        struct wm_http_message *m = (struct wm_http_message *)letter;
        next = letter->next;
        switch (m->kind) {
        case WM_HTTP_REPLY:
            deliver_reply(m);
            break;
        case WM_HTTP_BEGIN:
            deliver_begin(m);
            break;
        case WM_HTTP_PIECE:
            deliver_piece(m);
            break;
        case WM_HTTP_END:
            deliver_end(m);
            break;
        case WM_HTTP_RELOAD:
            wm_http_server_reload_now(s);
            break;
        }
    }
}

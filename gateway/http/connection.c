/* connection.c -- a socket's life: taken over, read request by request, ended.
 *
 * WHY     Requests come in pieces, several at once, half, never, or with a goodbye behind them; each connection must
 *         know at any moment whether it reads, waits, or writes, and do one of these only.
 *
 * HOW     One exchange at a time. While a handler has the request the socket is not read: then a half-closed peer does
 *         not look gone before it has its answer, pipelined requests wait in order, and a flood stays in the kernel.
 *
 *           READING --whole request--> WAITING --reply--> [SENDING] --> READING
 *              |                          `----begin----> STREAMING --end--> [SENDING] --> READING
 *              `--refused, "close"--> LINGERING --peer closed, 2 s--> gone
 *
 *         Lingering: to close a socket with unread bytes in it makes the kernel send a reset, which can destroy the
 *         answer on its way. So we say that we have finished, and read on into the void for a moment.
 *
 * ALWAYS  (1) The library holds unsent bytes of a socket only while we do not read it: in that state it returns to the
 *             loop at once whenever the socket is readable, and a peer that sends without reading would make it spin.
 *         (2) `in` holds bytes only while WAITING, SENDING or STREAMING.
 *         (3) A connection is ended from its own callback by returning -1, from anywhere else by the library's
 *             synchronous kill; both lead to gone(), once.
 *
 * LIMITS  `in`: one read of the library. Deadlines: server.h. Memory of all requests together: memory_bytes, then 503.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/http/inside.h"
#include "kernels/base/clock.h"

enum { IN_MAX = 256 << 10 };

/* ---- the beginning ---- */

static void forget(struct wm_http_connection *c)
{
    wm_http_wheel_remove(&c->timed);
    wm_http_peer_leave(&c->server->peers, c->peer);
    wm_buffer_free(&c->in);
    wm_buffer_free(&c->out);
    free(c);
}

/* The library lets go of the socket. */
static void gone(struct wm_http_connection *c)
{
    struct wm_http_server *s = c->server;
    if (s->adopting == c)
        s->adopting = NULL;
    if (c->link) {
        *c->link = c->next;
        if (c->next)
            c->next->link = c->link;
        atomic_fetch_sub_explicit(&s->count.open_connections, 1, memory_order_relaxed);
    }
    if (c->state == WM_HTTP_STREAMING || c->ending_stream)
        atomic_fetch_sub_explicit(&s->count.open_streams, 1, memory_order_relaxed);
    if (c->x && c->state == WM_HTTP_READING) {
        wm_http_exchange_free(c->x);
    } else if (c->x) {
        c->x->connection = NULL;
        atomic_store(&c->x->stream.gone, true);
    }
    forget(c);
    if (!s->connections && s->draining)
        ev_break(s->loop, EVBREAK_ALL);
}

void wm_http_connection_adopt(struct wm_http_listening *l, int fd, const struct sockaddr_storage *from,
                              struct wm_http_peer *peer)
{
    struct wm_http_server *s = l->server;
    struct wm_http_connection *c = calloc(1, sizeof *c);
    if (!c) {
        wm_http_peer_leave(&s->peers, peer);
        close(fd);
        return;
    }
    c->server = s;
    c->listener = l;
    c->peer = peer;
    c->tls = l->ssl != NULL;
    c->in = WM_BUFFER(IN_MAX);
    wm_http_address_text(from, c->address, sizeof c->address);

    /* A failed adoption calls back for some failures and not for others: s->adopting tells which. */
    s->adopting = c;
    lws_adopt_desc_t how = {.vh = l->vhost,
                            .type = LWS_ADOPT_SOCKET | (c->tls ? LWS_ADOPT_ALLOW_SSL : 0),
                            .fd.sockfd = fd,
                            .vh_prot_name = "wm-http",
                            .opaque = c};
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&how);
    if (!wsi) {
        if (s->adopting)
            forget(c);
        s->adopting = NULL;
        return;
    }
    s->adopting = NULL;
    c->wsi = wsi;
    c->next = s->connections;
    c->link = &s->connections;
    if (c->next)
        c->next->link = &c->next;
    s->connections = c;
    wm_http_count(&s->count.connections, 1);
    atomic_fetch_add_explicit(&s->count.open_connections, 1, memory_order_relaxed);
    wm_http_wheel_set(&s->wheel, &c->timed, wm_now_ms() + s->limits.head_ms);
}

/* ---- requests ---- */

/* Answers for the handler, and closes. */
static bool refuse(struct wm_http_connection *c, int status, const char *why)
{
    char body[160];
    int len = snprintf(body, sizeof body, "%s\n", why);
    struct wm_http_answer a = {.status = status,
                               .content_type = "text/plain; charset=utf-8",
                               .headers = status == 503 ? "Retry-After: 5\r\n" : NULL,
                               .body = body,
                               .len = (size_t)len < sizeof body ? (size_t)len : sizeof body - 1};
    if (c->x) {
        a.head_only = c->x->parser.method && strcmp(c->x->parser.method, "HEAD") == 0;
        wm_http_exchange_free(c->x);
        c->x = NULL;
    }
    c->close_after = true;
    return wm_http_connection_send(c, &a);
}

/* The head is whole: may the body come? Returns 0, or the status to refuse with. */
static int admit(struct wm_http_connection *c)
{
    struct wm_http_parser *p = &c->x->parser;
    const struct wm_http_listener *l = &c->listener->options;
    size_t body_limit = c->server->limits.body_bytes;
    c->x->request = (struct wm_http_request){
        .method = p->method, .path = p->path, .query = p->query, .body = "", .peer = c->x->peer};
    int status = l->admit ? l->admit(l->arg, p->method, p->path, c->x, &body_limit) : 0;
    wm_http_parser_limit_body(p, body_limit);
    return status;
}

/* "100 Continue", to a peer that holds its body back for it. */
static bool invite_body(struct wm_http_connection *c)
{
    static const char invitation[] = "HTTP/1.1 100 Continue\r\n\r\n";
    unsigned char line[LWS_PRE + sizeof invitation];
    memcpy(line + LWS_PRE, invitation, sizeof invitation);
    return lws_write(c->wsi, line + LWS_PRE, sizeof invitation - 1, LWS_WRITE_RAW) >= 0 &&
           !lws_partial_buffered(c->wsi);
}

/* The request is whole: over to the handler. */
static void dispatch(struct wm_http_connection *c)
{
    struct wm_http_exchange *x = c->x;
    wm_http_count(&c->server->count.requests, 1);
    x->request.body = x->parser.body.data ? x->parser.body.data : "";
    x->request.body_len = x->parser.body.len;
    c->close_after = !x->parser.keep_alive;
    c->state = WM_HTTP_WAITING;
    wm_http_connection_read(c, false);
    wm_http_wheel_set(&c->server->wheel, &c->timed, WM_HTTP_NEVER);
    c->listener->options.handle(c->listener->options.arg, x);
}

/* Brings the server's count of request bytes up to date; false when there are too many. */
static bool account(struct wm_http_connection *c)
{
    struct wm_http_exchange *x = c->x;
    size_t held = sizeof *x + wm_http_parser_held(&x->parser) + c->in.cap;
    size_t before = atomic_fetch_add_explicit(&c->server->held, held - x->held, memory_order_relaxed);
    size_t all = before + (held - x->held);
    x->held = held;
    return all <= c->server->limits.memory_bytes;
}

/* Reads one request from bytes[*at..len). Returns false when the connection must end; leaves READING when the request
 * is whole or refused. */
static bool read_request(struct wm_http_connection *c, const char *bytes, size_t len, size_t *at)
{
    struct wm_http_server *s = c->server;
    int64_t due_ms = 0;
    if (!c->x) {
        if (!(c->x = wm_http_exchange_new(c)))
            return false;
        due_ms = wm_now_ms() + s->limits.head_ms;
    }
    struct wm_http_parser *p = &c->x->parser;
    size_t used = 0;
    enum wm_http_step step = wm_http_parser_feed(p, bytes + *at, len - *at, &used);
    *at += used;
    if (step == WM_HTTP_HEAD) {
        int status = admit(c);
        if (status)
            return refuse(c, status, wm_http_reason(status));
        due_ms = wm_now_ms() + s->limits.body_ms;
        step = wm_http_parser_feed(p, bytes + *at, len - *at, &used);
        *at += used;
        if (step == WM_HTTP_MORE && p->expect_continue && p->body.len == 0 && !invite_body(c))
            return false;
    }
    if (step == WM_HTTP_REFUSED) {
        wm_http_count(&s->count.bad_requests, 1);
        return refuse(c, p->status, p->why);
    }
    if (!account(c))
        return refuse(c, 503, "too many requests are in hand; try again soon");
    if (step == WM_HTTP_WHOLE)
        dispatch(c);
    else if (due_ms)
        wm_http_wheel_set(&s->wheel, &c->timed, due_ms);
    return true;
}

bool wm_http_connection_advance(struct wm_http_connection *c, const char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len && c->state == WM_HTTP_READING)
        if (!read_request(c, bytes, len, &at))
            return false;
    if (at == len || c->close_after)
        return true; /* what follows a refused or a last request is nobody's */
    return wm_buffer_add(&c->in, bytes + at, len - at) == WM_OK && account(c);
}

void wm_http_connection_read(struct wm_http_connection *c, bool on)
{
    if (c->read_off != on)
        return;
    c->read_off = !on;
    lws_rx_flow_control(c->wsi, on);
}

static bool received(struct wm_http_connection *c, const char *bytes, size_t len)
{
    enum { LINGER_BYTES = 8 << 20 };
    wm_http_count(&c->server->count.bytes_in, len);
    switch (c->state) {
    case WM_HTTP_LINGERING:
        c->dropped += len;
        return c->dropped <= LINGER_BYTES;
    case WM_HTTP_STREAMING: /* nothing is expected here; to keep it could only be abused */
        c->close_after = true;
        return true;
    default:
        return wm_http_connection_advance(c, bytes, len);
    }
}

/* ---- the end ---- */

void wm_http_connection_end(struct wm_http_connection *c)
{
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_SYNC);
}

void wm_http_connection_late(struct wm_http_timed *t)
{
    struct wm_http_connection *c = (struct wm_http_connection *)t;
    bool mid_request = c->state == WM_HTTP_READING && c->x;
    if (mid_request || c->state == WM_HTTP_SENDING || c->state == WM_HTTP_STREAMING)
        wm_http_count(&c->server->count.timeouts, 1);
    if (!mid_request || !refuse(c, 408, "the request did not come in time"))
        wm_http_connection_end(c);
}

int wm_http_connection_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                                size_t len)
{
    struct wm_http_connection *c;
    switch (reason) {
    case LWS_CALLBACK_RAW_RX:
        c = lws_get_opaque_user_data(wsi);
        if (c->tls && !c->shaken) { /* the library's own timer for the handshake; our deadlines go on */
            c->shaken = true;
            lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
        }
        return received(c, in, len) ? 0 : -1;
    case LWS_CALLBACK_RAW_WRITEABLE:
        return wm_http_connection_writable(lws_get_opaque_user_data(wsi)) ? 0 : -1;
    case LWS_CALLBACK_RAW_CLOSE:
        if ((c = lws_get_opaque_user_data(wsi)))
            gone(c);
        return 0;
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        ((struct wm_http_listening *)lws_get_vhost_user(in))->ssl = user;
        return 0;
    default:
        return 0;
    }
}

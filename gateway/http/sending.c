/* sending.c -- the way out of a connection: answers, streams, and the polite end.
 *
 * HOW     What is written goes to the socket at once. What the socket does not take is kept by the library (one write's
 *         rest) and, for streams, behind it in `out`; then the socket is not read until all of it has gone.
 *
 * ALWAYS  (1) Nothing is written while the library holds a rest: order, and one copy only.
 *         (2) While bytes wait for the peer there is a deadline, answer_ms after the last progress of a stream, after
 *             the first byte of an answer.
 *
 * LIMITS  An answer is as large as the handler made it. A stream: stream_backlog, and what its chunks' frames add.
 */
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/http/inside.h"
#include "kernels/base/clock.h"

enum { LINGER_MS = 2000, SCRATCH_KEPT = 64 << 10 };

static bool blocked(struct wm_http_connection *c)
{
    return c->out.len > 0 || lws_partial_buffered(c->wsi);
}

static bool write_bytes(struct wm_http_connection *c, char *bytes, size_t len)
{
    wm_http_count(&c->server->count.bytes_out, len);
    return lws_write(c->wsi, (unsigned char *)bytes, len, LWS_WRITE_RAW) >= 0;
}

/* The peer must take what waits, in time; until then it is not listened to. */
static void wait_for_peer(struct wm_http_connection *c)
{
    wm_http_connection_read(c, false);
    wm_http_wheel_set(&c->server->wheel, &c->timed, wm_now_ms() + c->server->limits.answer_ms);
}

/* Says that nothing more comes, and reads on into the void: connection.c tells why. */
static void linger(struct wm_http_connection *c)
{
    c->state = WM_HTTP_LINGERING;
    wm_buffer_free(&c->in);
    SSL *ssl = c->tls ? lws_get_ssl(c->wsi) : NULL;
    if (ssl)
        SSL_shutdown(ssl);
    shutdown(lws_get_socket_fd(c->wsi), SHUT_WR);
    wm_http_connection_read(c, true);
    wm_http_wheel_set(&c->server->wheel, &c->timed, wm_now_ms() + LINGER_MS);
}

/* The answer is out: on to the next request, which may be here already. */
static bool answered(struct wm_http_connection *c)
{
    if (c->ending_stream) {
        c->ending_stream = false;
        atomic_fetch_sub_explicit(&c->server->count.open_streams, 1, memory_order_relaxed);
    }
    if (c->close_after) {
        linger(c);
        return true;
    }
    c->state = WM_HTTP_READING;
    wm_http_connection_read(c, true);
    wm_http_wheel_set(&c->server->wheel, &c->timed, wm_now_ms() + c->server->limits.idle_ms);
    if (c->in.len == 0)
        return true;
    struct wm_buffer waiting = c->in;
    c->in = WM_BUFFER(waiting.max);
    bool ok = wm_http_connection_advance(c, waiting.data, waiting.len);
    wm_buffer_free(&waiting);
    return ok;
}

static struct wm_buffer *scratch(struct wm_http_server *s)
{
    if (s->scratch.cap > SCRATCH_KEPT)
        wm_buffer_free(&s->scratch);
    s->scratch.len = 0;
    s->scratch.failed = false;
    return &s->scratch;
}

bool wm_http_connection_send(struct wm_http_connection *c, const struct wm_http_answer *answer)
{
    struct wm_http_server *s = c->server;
    struct wm_http_answer a = *answer;
    bool stream = a.framing != WM_HTTP_SIZED;
    if (a.framing == WM_HTTP_UNTIL_CLOSE || s->draining)
        c->close_after = true;
    a.close = c->close_after;
    int class = a.status / 100;
    if (class >= 1 && class <= 5)
        wm_http_count(&s->count.status[class], 1);
    struct wm_buffer *out = scratch(s);
    if (wm_http_answer_write(s, &a, out) != WM_OK || !write_bytes(c, out->data, out->len))
        return false;
    if (stream) {
        c->state = WM_HTTP_STREAMING;
        c->chunked = a.framing == WM_HTTP_CHUNKED;
        c->head_only = a.head_only;
        atomic_fetch_add_explicit(&s->count.open_streams, 1, memory_order_relaxed);
        wm_http_connection_read(c, true); /* to see the peer leave */
    } else {
        c->state = WM_HTTP_SENDING;
    }
    if (blocked(c)) {
        wait_for_peer(c);
        return true;
    }
    return stream || answered(c);
}

/* One piece, framed. */
static bool frame(struct wm_http_connection *c, struct wm_buffer *out, const char *bytes, size_t len,
                  bool last)
{
    if (len > 0 && c->chunked)
        wm_buffer_printf(out, "%zx\r\n", len);
    if (len > 0)
        wm_buffer_add(out, bytes, len);
    if (len > 0 && c->chunked)
        wm_buffer_puts(out, "\r\n");
    if (last && c->chunked)
        wm_buffer_puts(out, "0\r\n\r\n");
    return !out->failed;
}

static void taken(struct wm_http_connection *c)
{
    if (c->x)
        atomic_fetch_sub(&c->x->stream.queued, c->stream_unsent);
    c->stream_unsent = 0;
}

bool wm_http_connection_stream(struct wm_http_connection *c, const char *bytes, size_t len, bool last)
{
    c->stream_unsent += len;
    if (!c->head_only) {
        bool wait = blocked(c);
        if (wait && c->out.max == 0)
            c->out = WM_BUFFER(2 * c->server->limits.stream_backlog + 4096);
        struct wm_buffer *out = wait ? &c->out : scratch(c->server);
        if (!frame(c, out, bytes, len, last) ||
            (!wait && out->len > 0 && !write_bytes(c, out->data, out->len)))
            return false;
    }
    if (last) {
        c->state = WM_HTTP_SENDING;
        c->ending_stream = true;
    }
    if (blocked(c)) {
        if (!c->read_off || last)
            wait_for_peer(c);
        return true;
    }
    taken(c);
    return !last || answered(c);
}

bool wm_http_connection_writable(struct wm_http_connection *c)
{
    if (lws_partial_buffered(c->wsi))
        return true;
    if (c->out.len > 0) {
        bool ok = write_bytes(c, c->out.data, c->out.len);
        wm_buffer_free(&c->out);
        if (!ok)
            return false;
        if (blocked(c)) {
            wait_for_peer(c);
            return true;
        }
    }
    if (c->state == WM_HTTP_SENDING)
        return answered(c);
    if (c->state == WM_HTTP_STREAMING) {
        taken(c);
        wm_http_connection_read(c, true);
        wm_http_wheel_set(&c->server->wheel, &c->timed, WM_HTTP_NEVER);
    }
    return true;
}

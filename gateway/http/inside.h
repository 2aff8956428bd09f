/* inside.h -- what the files of the server share with each other, and with nobody else.
 *
 * Thread: everything here belongs to the server's own thread unless a line says "any thread".
 */
#ifndef WM_HTTP_INSIDE_H
#define WM_HTTP_INSIDE_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include <ev.h>
#include <libwebsockets.h>

#include "gateway/http/deadlines.h"
#include "gateway/http/parser.h"
#include "gateway/http/peers.h"
#include "gateway/http/server.h"
#include "kernels/base/mailbox.h"

enum { WM_HTTP_LISTENERS_MAX = 8, WM_HTTP_PEER_TEXT = INET6_ADDRSTRLEN };

struct wm_http_connection;

/* ---- an exchange: one request and its coming answer. exchange.c ---- */

enum wm_http_message_kind { WM_HTTP_REPLY, WM_HTTP_BEGIN, WM_HTTP_PIECE, WM_HTTP_END, WM_HTTP_RELOAD };

/* What other threads send to the server's. One allocation: the strings lie behind it. */
struct wm_http_message {
    struct wm_letter letter;
    enum wm_http_message_kind kind;
    struct wm_http_exchange *x;
    int status;
    const char *content_type, *headers; /* NULL: none */
    const char *bytes;
    size_t len;
};

struct wm_http_stream {
    _Atomic size_t queued; /* bytes written by the producer and not yet taken by the peer's socket */
    _Atomic bool gone;     /* the peer has left, or is too slow */
};

struct wm_http_exchange {
    struct wm_http_server *server;         /* counted */
    struct wm_http_connection *connection; /* NULL once the peer has gone */
    struct wm_http_parser parser;
    struct wm_http_request request;
    char peer[WM_HTTP_PEER_TEXT];
    size_t held; /* bytes counted in server->held */
    struct wm_http_stream stream;
    struct wm_http_message last_resort; /* answers when there is no memory for an answer */
};

struct wm_http_exchange *wm_http_exchange_new(struct wm_http_connection *c);
void wm_http_exchange_free(struct wm_http_exchange *x); /* any thread, once the server's has let go */

/* Delivers what other threads have sent. */
void wm_http_deliver(struct wm_http_server *s);

/* ---- answers: their bytes. answer.c ---- */

struct wm_http_answer {
    int status;
    const char *content_type, *headers, *body; /* NULL: none */
    size_t len;
    bool head_only; /* the request was HEAD */
    bool close;     /* the connection ends with this answer */
    enum { WM_HTTP_SIZED, WM_HTTP_CHUNKED, WM_HTTP_UNTIL_CLOSE } framing;
};

/* Appends head and body. Fails when memory runs out. */
enum wm_status wm_http_answer_write(struct wm_http_server *s, const struct wm_http_answer *a,
                                    struct wm_buffer *out);
const char *wm_http_reason(int status);

/* ---- connections. connection.c reads, sending.c writes ---- */

enum wm_http_state {
    WM_HTTP_READING,   /* between requests or inside one; the socket is read */
    WM_HTTP_WAITING,   /* a handler has the request; the socket is not read */
    WM_HTTP_SENDING,   /* the answer is on its way to a slow peer; the socket is not read */
    WM_HTTP_STREAMING, /* an endless answer; read only to see the peer leave */
    WM_HTTP_LINGERING  /* answered for good; what still comes is dropped until the peer has closed too */
};

struct wm_http_connection {
    struct wm_http_timed timed; /* first: the wheel hands it back */
    struct wm_http_server *server;
    struct wm_http_listening *listener;
    struct lws *wsi;
    struct wm_http_exchange *x; /* being read, waited for or streamed */
    struct wm_http_peer *peer;
    struct wm_http_connection *next, **link; /* all connections of the server */
    struct wm_buffer in;                     /* bytes behind the request in hand */
    struct wm_buffer out;                    /* bytes of a stream behind those that the library still holds */
    size_t stream_unsent;                    /* of them and the library's: to be taken off stream.queued */
    size_t dropped;                          /* bytes read while lingering */
    enum wm_http_state state;
    bool tls, shaken;                       /* the TLS handshake is through */
    bool close_after;                       /* no request follows the one in hand */
    bool read_off;                          /* the socket is not read */
    bool chunked, head_only, ending_stream; /* of the stream */
    char address[WM_HTTP_PEER_TEXT];
};

/* Takes over an accepted socket (closes it on failure). */
void wm_http_connection_adopt(struct wm_http_listening *l, int fd, const struct sockaddr_storage *from,
                              struct wm_http_peer *peer);
int wm_http_connection_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                                size_t len);

/* These return false when the connection must end: inside the library's callback the caller returns -1 then, outside
 * it calls wm_http_connection_end. */
bool wm_http_connection_advance(struct wm_http_connection *c, const char *bytes, size_t len);
bool wm_http_connection_send(struct wm_http_connection *c, const struct wm_http_answer *a);
bool wm_http_connection_stream(struct wm_http_connection *c, const char *bytes, size_t len, bool last);
bool wm_http_connection_writable(struct wm_http_connection *c);
void wm_http_connection_read(struct wm_http_connection *c, bool on);
void wm_http_connection_end(struct wm_http_connection *c);
void wm_http_connection_late(struct wm_http_timed *t); /* its deadline has passed */

/* ---- listening sockets. listen.c ---- */

struct wm_http_listening {
    struct wm_http_listener options; /* strings are borrowed from the caller only during wm_http_server_new */
    struct wm_http_server *server;
    int fd, port;
    char *certificate, *key; /* copies, for reloads; NULL: plain */
    SSL_CTX *ssl;            /* the library's, borrowed; NULL: plain */
    struct lws_vhost *vhost;
    ev_io accepting;
};

enum wm_status wm_http_listen(struct wm_http_listening *l, struct wm_error *err);
void wm_http_listen_start(struct wm_http_listening *l);
void wm_http_listen_stop(struct wm_http_listening *l); /* stops accepting; the socket stays */
void wm_http_listen_close(struct wm_http_listening *l);

/* ---- TLS. tls.c ---- */

/* Any thread. Reads both files and sees that they fit; when `live` is not NULL it gets them. */
enum wm_status wm_http_tls_load(const char *certificate, const char *key, SSL_CTX *live,
                                struct wm_error *err);

/* ---- the server. server.c ---- */

struct wm_http_server {
    _Atomic int references; /* the owner, each exchange, each message under way */
    char *name;
    struct wm_http_limits limits;
    struct wm_http_listening listeners[WM_HTTP_LISTENERS_MAX];
    int n_listeners;

    pthread_t thread;
    struct wm_mailbox *mailbox; /* any thread posts */
    struct ev_loop *loop;
    ev_async woken;
    ev_timer tick;
    struct lws_context *lws;
    struct wm_http_wheel wheel;
    struct wm_http_peers peers;
    struct wm_http_connection *connections;
    struct wm_http_connection *adopting; /* see wm_http_connection_adopt */
    struct wm_buffer scratch;            /* an answer on its way to the socket */
    _Atomic size_t held; /* bytes of requests in memory, handlers' ones included; any thread */
    bool paused;         /* no descriptor was free: nothing is accepted until the next tick */
    uint64_t refusals_unlogged;
    int64_t refusals_logged_ms;
    _Atomic bool draining;
    _Atomic int64_t drain_until_ms; /* 0: not yet */
    time_t date_at;                 /* the second that `date` tells */
    char date[40];

    struct { /* written by the server's thread, read by any */
        _Atomic uint64_t requests, connections, refused_connections, bytes_in, bytes_out, open_connections,
            open_streams, status[6], bad_requests, timeouts;
    } count;

    /* The start and a reload are waited for. */
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool answered, joined, running;
    enum wm_status answer;
    struct wm_error answer_error;
};

void wm_http_server_hold(struct wm_http_server *s);   /* any thread */
void wm_http_server_let_go(struct wm_http_server *s); /* any thread */
void wm_http_server_reload_now(struct wm_http_server *s);
void wm_http_server_tick(struct wm_http_server *s, bool on); /* the tick is needed, or not any more */

static inline void wm_http_count(_Atomic uint64_t *counter, uint64_t more) /* the server's thread only */
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

#endif

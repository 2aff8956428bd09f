/* server.c -- the server as a whole: start, its thread, drain, reload, end.
 *
 * WHY     Debian's libwebsockets is the event loop and the TLS of this server, and nothing more. Its HTTP role (4.1.6)
 *         stops for ever at two pipelined POSTs in one packet, spins when a stream's peer leaves, keeps all timers in
 *         one sorted list and polls every socket. Its raw role with the libev plugin has none of that; the HTTP on top
 *         is ours: small, bounded, and tested byte by byte.
 *
 * HOW     One thread runs one libev loop. On it: our listening sockets (listen.c), the library's connections
 *         (connection.c, sending.c), one tick for all deadlines (deadlines.c), one bell for other threads (exchange.c).
 *
 *           peers --> accept --> library: TLS, read --> parser --> handler ...any thread... --> reply
 *                                       <-- write <------------------- mailbox, bell <---------'
 *
 * ALWAYS  (1) The library's functions are called on this thread only.
 *         (2) Nothing on this thread waits: no disk, no name look-up, no lock held by others for long.
 *         (3) Nothing done per request or per tick grows with the number of idle connections.
 *         (4) The structure lives until its owner and every exchange have let go of it.
 *
 * LIMITS  In server.h; a limit of 0 there is the default here. Library traps that shaped this code: one read must fit a
 *         TLS record, or the library keeps a list of sockets with decrypted rests and serves it by spinning; its table
 *         of descriptors is as large as the process's limit, so that limit is kept reasonable; its own timers are
 *         looked at only when it is woken, so each tick wakes it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "gateway/http/inside.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum {
    READ_BYTES = 32 << 10,    /* more than a TLS record */
    WRITE_BYTES = 256 << 10,  /* at most, in one system call */
    FILES_WANTED = 65536,     /* descriptors of the process */
    FILES_SENSIBLE = 1 << 20, /* more costs the library memory for nothing */
    FILES_KEPT_BACK = 256     /* for the store, models, media and calls */
};

/* ---- process-wide ---- */

static void log_library(int level, const char *line)
{
    char text[256];
    size_t len = strcspn(line, "\n");
    snprintf(text, sizeof text, "%.*s", (int)(len < sizeof text ? len : sizeof text - 1), line);
    wm_log(level == LLL_ERR ? WM_LOG_ERROR : WM_LOG_WARN, "libwebsockets", WM_S("text", text));
}

static void quiet_library(void)
{
    lws_set_log_level(LLL_ERR, log_library);
}

/* Raises the process's limit of open files as far as it is useful and allowed; returns it. */
static int raise_files(int connections)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 1024;
    rlim_t wanted = FILES_WANTED;
    if ((rlim_t)connections + FILES_KEPT_BACK > wanted)
        wanted = (rlim_t)connections + FILES_KEPT_BACK;
    if (wanted > files.rlim_max)
        wanted = files.rlim_max;
    if (files.rlim_cur < wanted || files.rlim_cur > FILES_SENSIBLE) {
        files.rlim_cur = wanted;
        setrlimit(RLIMIT_NOFILE, &files);
        getrlimit(RLIMIT_NOFILE, &files);
    }
    return (int)files.rlim_cur;
}

/* ---- the thread ---- */

static void wake(void *arg)
{
    struct wm_http_server *s = arg;
    ev_async_send(s->loop, &s->woken);
}

static void end_connections(struct wm_http_server *s, bool idle_only)
{
    for (struct wm_http_connection *c = s->connections, *next; c; c = next) {
        next = c->next;
        if (!idle_only || (c->state == WM_HTTP_READING && !c->x))
            wm_http_connection_end(c);
    }
}

static void begin_drain(struct wm_http_server *s)
{
    s->draining = true;
    for (int i = 0; i < s->n_listeners; i++)
        wm_http_listen_close(&s->listeners[i]);
    end_connections(s, true);
    if (!s->connections)
        ev_break(s->loop, EVBREAK_ALL);
}

static void on_woken(struct ev_loop *loop, ev_async *watcher, int events)
{
    (void)loop;
    (void)events;
    struct wm_http_server *s = watcher->data;
    wm_http_deliver(s);
    if (atomic_load(&s->drain_until_ms) && !s->draining)
        begin_drain(s);
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop;
    (void)events;
    struct wm_http_server *s = watcher->data;
    int64_t now_ms = wm_now_ms();
    wm_http_wheel_turn(&s->wheel, now_ms, wm_http_connection_late);
    if (s->paused && !s->draining) {
        s->paused = false;
        for (int i = 0; i < s->n_listeners; i++)
            wm_http_listen_start(&s->listeners[i]);
    }
    lws_cancel_service(s->lws);
    if (s->draining && now_ms >= atomic_load(&s->drain_until_ms))
        end_connections(s, false);
    if (!s->connections)
        wm_http_server_tick(s, false);
}

void wm_http_server_tick(struct wm_http_server *s, bool on)
{
    if (on && !ev_is_active(&s->tick)) {
        if (!s->connections)
            wm_http_wheel_start(&s->wheel, wm_now_ms());
        ev_timer_again(s->loop, &s->tick);
    } else if (!on && !s->paused) {
        ev_timer_stop(s->loop, &s->tick);
    }
}

static enum wm_status open_library(struct wm_http_server *s, struct wm_error *err)
{
    static pthread_mutex_t one_at_a_time =
        PTHREAD_MUTEX_INITIALIZER; /* the library's set-up has static state */
    static const struct lws_protocols protocols[] = {{.name = "wm-http",
                                                      .callback = wm_http_connection_callback,
                                                      .rx_buffer_size = READ_BYTES,
                                                      .tx_packet_size = WRITE_BYTES},
                                                     {0}};
    void *loops[1] = {s->loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   /* else each vhost reads all certificate authorities, for a client that it is not */
                   LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG,
        .foreign_loops = loops,
        .pt_serv_buf_size = READ_BYTES,
        .timeout_secs = 20, /* of a TLS handshake; head_ms ends it earlier */
        .protocols = protocols,
        .alpn = "http/1.1",
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
    };
    enum wm_status st = WM_OK;
    for (int i = 0; i < s->n_listeners; i++)
        if (s->listeners[i].certificate)
            info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    pthread_mutex_lock(&one_at_a_time);
    s->lws = lws_create_context(&info);
    if (!s->lws)
        st = wm_fail(
            err, WM_EIO,
            "libwebsockets does not start; is its libev plugin there (package libwebsockets-evlib-ev)?");
    for (int i = 0; i < s->n_listeners && st == WM_OK; i++) {
        struct wm_http_listening *l = &s->listeners[i];
        char name[32];
        snprintf(name, sizeof name, "listener-%d", i);
        struct lws_context_creation_info of_vhost = info;
        of_vhost.vhost_name = name;
        of_vhost.user = l;
        of_vhost.ssl_cert_filepath = l->certificate;
        of_vhost.ssl_private_key_filepath = l->key;
        of_vhost.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_RENEGOTIATION;
        l->vhost = lws_create_vhost(s->lws, &of_vhost);
        if (!l->vhost || (l->certificate && !l->ssl))
            st = wm_fail(err, WM_EIO, "libwebsockets does not take the listener on port %d", l->port);
    }
    pthread_mutex_unlock(&one_at_a_time);
    return st;
}

/* Tells the thread that waits in wm_http_server_new or wm_http_server_reload_tls. */
static void answer_owner(struct wm_http_server *s, enum wm_status st)
{
    pthread_mutex_lock(&s->lock);
    s->answer = st;
    s->answered = true;
    pthread_cond_signal(&s->done);
    pthread_mutex_unlock(&s->lock);
}

static enum wm_status wait_for_thread(struct wm_http_server *s, struct wm_error *err)
{
    pthread_mutex_lock(&s->lock);
    while (!s->answered)
        pthread_cond_wait(&s->done, &s->lock);
    s->answered = false;
    enum wm_status st = s->answer;
    if (st != WM_OK)
        wm_fail(err, st, "%s", s->answer_error.text);
    pthread_mutex_unlock(&s->lock);
    return st;
}

static void *run(void *arg)
{
    struct wm_http_server *s = arg;
    enum wm_status st = open_library(s, &s->answer_error);
    if (st == WM_OK)
        for (int i = 0; i < s->n_listeners; i++)
            wm_http_listen_start(&s->listeners[i]);
    answer_owner(s, st);
    if (st == WM_OK)
        ev_run(s->loop, 0);

    for (int i = 0; i < s->n_listeners; i++)
        wm_http_listen_close(&s->listeners[i]);
    end_connections(s, false);
    wm_mailbox_close(s->mailbox);
    wm_http_deliver(s);
    ev_timer_stop(s->loop, &s->tick);
    if (s->lws)
        lws_context_destroy(s->lws);
    return NULL;
}

/* ---- the owner's side ---- */

void wm_http_server_hold(struct wm_http_server *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
}

void wm_http_server_let_go(struct wm_http_server *s)
{
    if (atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) > 1)
        return;
    for (int i = 0; i < s->n_listeners; i++) {
        if (s->listeners[i].fd >= 0)
            close(s->listeners[i].fd);
        free(s->listeners[i].certificate);
        free(s->listeners[i].key);
    }
    wm_mailbox_free(s->mailbox);
    if (s->loop)
        ev_loop_destroy(s->loop);
    wm_buffer_free(&s->scratch);
    pthread_cond_destroy(&s->done);
    pthread_mutex_destroy(&s->lock);
    free(s->name);
    free(s);
}

static struct wm_http_limits with_defaults(const struct wm_http_limits *given)
{
    struct wm_http_limits l = given ? *given : (struct wm_http_limits){0};
#define DEFAULT(field, value) l.field = l.field ? l.field : (value)
    DEFAULT(head_bytes, 16 << 10);
    DEFAULT(headers, 100);
    DEFAULT(body_bytes, 3 << 20);
    DEFAULT(connections, 16384);
    DEFAULT(head_ms, 10000);
    DEFAULT(body_ms, 30000);
    DEFAULT(idle_ms, 75000);
    DEFAULT(answer_ms, 60000);
    DEFAULT(stream_backlog, 1 << 20);
    DEFAULT(memory_bytes, 256 << 20);
#undef DEFAULT
    int files = raise_files(l.connections);
    int kept_back = files / 4 < FILES_KEPT_BACK ? files / 4 : FILES_KEPT_BACK;
    if (l.connections > files - kept_back)
        l.connections = files - kept_back;
    return l;
}

static enum wm_status copy_listener(struct wm_http_listening *l, const struct wm_http_listener *from,
                                    struct wm_http_server *s, struct wm_error *err)
{
    l->server = s;
    l->options = *from;
    l->fd = -1;
    if (from->certificate) {
        l->certificate = strdup(from->certificate);
        l->key = strdup(from->key ? from->key : "");
        if (!l->certificate || !l->key)
            return wm_fail(err, WM_ENOMEM, "no memory for a listener");
        enum wm_status st = wm_http_tls_load(l->certificate, l->key, NULL, err);
        if (st != WM_OK)
            return st;
    }
    return wm_http_listen(l, err);
}

static enum wm_status start_thread(struct wm_http_server *s, struct wm_error *err)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&s->thread, NULL, run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return wm_fail(err, WM_EIO, "no thread for the server %s: %s", s->name, strerror(failed));
    pthread_setname_np(s->thread, s->name);
    s->running = true;
    return wait_for_thread(s, err);
}

enum wm_status wm_http_server_new(const struct wm_http_listener *listeners, int n,
                                  const struct wm_http_limits *limits, const char *name,
                                  struct wm_http_server **out, struct wm_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (n < 1 || n > WM_HTTP_LISTENERS_MAX)
        return wm_fail(err, WM_EINVAL, "a server listens on 1 to %d addresses, not %d", WM_HTTP_LISTENERS_MAX,
                       n);
    struct wm_http_server *s = calloc(1, sizeof *s);
    if (!s)
        return wm_fail(err, WM_ENOMEM, "no memory for the server");
    pthread_once(&once, quiet_library);
    atomic_init(&s->references, 1);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->done, NULL);
    s->limits = with_defaults(limits);
    s->scratch = WM_BUFFER(SIZE_MAX / 2);
    s->name = strdup(name);
    s->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    enum wm_status st = WM_OK;
    if (!s->name || !s->loop || RAND_bytes((unsigned char *)&s->peers.seed, sizeof s->peers.seed) != 1)
        st = wm_fail(err, WM_ENOMEM, "no memory or no descriptors for the server %s", name);
    for (int i = 0; i < n && st == WM_OK; i++) {
        s->n_listeners = i + 1;
        st = copy_listener(&s->listeners[i], &listeners[i], s, err);
    }
    if (st == WM_OK)
        st = wm_mailbox_new(0, wake, s, &s->mailbox,
                            err); /* only answers are posted, and those pass any capacity */
    if (st == WM_OK) {
        ev_async_init(&s->woken, on_woken);
        s->woken.data = s;
        ev_async_start(s->loop, &s->woken);
        ev_init(&s->tick, on_tick);
        s->tick.repeat = WM_HTTP_TICK_MS / 1e3;
        s->tick.data = s;
        st = start_thread(s, err);
    }
    if (st != WM_OK) {
        wm_http_server_free(s);
        return st;
    }
    *out = s;
    return WM_OK;
}

int wm_http_server_port(const struct wm_http_server *s, int listener)
{
    return s->listeners[listener].port;
}

void wm_http_server_reload_now(struct wm_http_server *s)
{
    enum wm_status st = WM_OK;
    s->answer_error = (struct wm_error)WM_ERROR_INIT;
    for (int i = 0; i < s->n_listeners && st == WM_OK; i++) /* all are looked at before one is changed */
        if (s->listeners[i].ssl)
            st = wm_http_tls_load(s->listeners[i].certificate, s->listeners[i].key, NULL, &s->answer_error);
    for (int i = 0; i < s->n_listeners && st == WM_OK; i++)
        if (s->listeners[i].ssl)
            st = wm_http_tls_load(s->listeners[i].certificate, s->listeners[i].key, s->listeners[i].ssl,
                                  &s->answer_error);
    answer_owner(s, st);
}

enum wm_status wm_http_server_reload_tls(struct wm_http_server *s, struct wm_error *err)
{
    struct wm_http_message m = {
        .kind = WM_HTTP_RELOAD}; /* on the stack: this thread waits until it has been read */
    if (s->joined || wm_mailbox_post_reply(s->mailbox, &m.letter) != WM_OK)
        return wm_fail(err, WM_ECANCELED, "the server %s has stopped", s->name);
    return wait_for_thread(s, err);
}

void wm_http_server_drain(struct wm_http_server *s, int64_t deadline_ms)
{
    if (!s->running || s->joined)
        return;
    atomic_store(&s->drain_until_ms, wm_now_ms() + deadline_ms);
    ev_async_send(s->loop, &s->woken);
    pthread_join(s->thread, NULL);
    s->joined = true;
}

void wm_http_server_free(struct wm_http_server *s)
{
    if (!s)
        return;
    wm_http_server_drain(s, 0);
    wm_http_server_let_go(s);
}

void wm_http_server_stats(struct wm_http_server *s, struct wm_http_stats *out)
{
#define READ(field) out->field = atomic_load_explicit(&s->count.field, memory_order_relaxed)
    READ(requests);
    READ(connections);
    READ(refused_connections);
    READ(bytes_in);
    READ(bytes_out);
    READ(open_connections);
    READ(open_streams);
    READ(bad_requests);
    READ(timeouts);
    for (int i = 0; i < 6; i++)
        READ(status[i]);
#undef READ
}

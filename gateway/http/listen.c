/* listen.c -- listening sockets, opened by us and accepted by us, and what is refused at the door.
 *
 * WHY     The library's own listener knows no limit per address, spins when descriptors run out, and cuts every
 *         connection when it stops. The sockets are ours, so all three are ours to do well.
 *
 * HOW     accept4 until nobody waits, at most ACCEPTS at a time so that those who are in go on being served. A full
 *         house (connections, connections_per_peer) accepts and closes at once: the stranger learns it now, not when
 *         its own patience ends. When the process has no descriptor left, nothing can be accepted: the listeners rest
 *         until the next tick.
 *
 * LIMITS  The numbers refused are counted; the log hears of them once in 10 s.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/http/inside.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum { ACCEPTS = 64, BACKLOG = 4096, LOG_EVERY_MS = 10000 };

static enum wm_status bind_failed(const struct wm_http_listener *o, int error, struct wm_error *err)
{
    if (error == EADDRINUSE)
        return wm_fail(
            err, WM_EEXIST,
            "port %d of %s is in use: stop the program that has it, or choose another port in the settings",
            o->port, o->address);
    if (error == EACCES)
        return wm_fail(err, WM_EDENIED, "port %d of %s is not allowed to this user: choose one above 1023",
                       o->port, o->address);
    if (error == EADDRNOTAVAIL)
        return wm_fail(err, WM_ENOENT, "%s is no address of this machine: choose one that `ip address` shows",
                       o->address);
    return wm_fail(err, WM_EIO, "port %d of %s cannot be opened: %s", o->port, o->address, strerror(error));
}

enum wm_status wm_http_listen(struct wm_http_listening *l, struct wm_error *err)
{
    const struct wm_http_listener *o = &l->options;
    char port[16];
    snprintf(port, sizeof port, "%d", o->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found = NULL;
    int failed = getaddrinfo(o->address, port, &hints, &found);
    if (failed)
        return wm_fail(err, WM_EINVAL, "%s is not an address to listen on: %s", o->address,
                       gai_strerror(failed));

    enum wm_status st = WM_OK;
    struct sockaddr_storage bound;
    socklen_t bound_len = sizeof bound;
    int yes = 1;
    l->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) !=
            0 || /* inherited by what is accepted */
        bind(l->fd, found->ai_addr, found->ai_addrlen) != 0 ||
        listen(l->fd, BACKLOG) != 0 || getsockname(l->fd, (struct sockaddr *)&bound, &bound_len) != 0) {
        st = bind_failed(o, errno, err);
    } else {
        l->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                    : ((struct sockaddr_in *)&bound)->sin_port);
    }
    freeaddrinfo(found);
    return st;
}

static void refused(struct wm_http_server *s, const char *why)
{
    int64_t now_ms = wm_now_ms();
    wm_http_count(&s->count.refused_connections, 1);
    s->refusals_unlogged++;
    if (s->refusals_logged_ms && now_ms - s->refusals_logged_ms < LOG_EVERY_MS)
        return;
    wm_log(WM_LOG_WARN, "connections refused", WM_S("server", s->name), WM_S("why", why),
           WM_N("count", s->refusals_unlogged));
    s->refusals_unlogged = 0;
    s->refusals_logged_ms = now_ms;
}

/* One more socket: in, or out again. */
static void admit_socket(struct wm_http_listening *l, int fd, const struct sockaddr_storage *from)
{
    struct wm_http_server *s = l->server;
    const struct wm_http_limits *limits = &s->limits;
    if (atomic_load_explicit(&s->count.open_connections, memory_order_relaxed) >=
        (uint64_t)limits->connections) {
        close(fd);
        refused(s, "all connections are taken");
        return;
    }
    int per_peer = limits->connections_per_peer        ? limits->connections_per_peer
                   : wm_http_address_is_loopback(from) ? 0
                                                       : 1024;
    struct wm_http_peer *peer = wm_http_peer_enter(&s->peers, from, per_peer);
    if (!peer) {
        close(fd);
        refused(s, "one address has too many");
        return;
    }
    wm_http_server_tick(s, true);
    wm_http_connection_adopt(l, fd, from, peer);
}

static void accept_some(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    (void)events;
    struct wm_http_listening *l = watcher->data;
    struct wm_http_server *s = l->server;
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit_socket(l, fd, &from);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno == EAGAIN)
            return;
        refused(s, strerror(errno));
        s->paused = true; /* no descriptor, no memory: readable for ever, so rest until the next tick */
        for (int j = 0; j < s->n_listeners; j++)
            wm_http_listen_stop(&s->listeners[j]);
        wm_http_server_tick(s, true);
        return;
    }
}

void wm_http_listen_start(struct wm_http_listening *l)
{
    if (!l->accepting.data) {
        ev_io_init(&l->accepting, accept_some, l->fd, EV_READ);
        l->accepting.data = l;
    }
    ev_io_start(l->server->loop, &l->accepting);
}

void wm_http_listen_stop(struct wm_http_listening *l)
{
    if (l->accepting.data)
        ev_io_stop(l->server->loop, &l->accepting);
}

void wm_http_listen_close(struct wm_http_listening *l)
{
    wm_http_listen_stop(l);
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

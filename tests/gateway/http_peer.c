/* http_peer.c -- see http_peer.h. */
#include "tests/check.h"

#include "tests/gateway/http_peer.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kernels/base/clock.h"

enum { PATIENCE_MS = 5000 };

struct held {
    struct wm_letter letter;
    struct wm_http_exchange *x;
};

static void handle(void *arg, struct wm_http_exchange *x)
{
    struct house *h = arg;
    const struct wm_http_request *r = wm_http_request(x);
    atomic_fetch_add(&h->handled, 1);
    if (strcmp(r->path, "/echo") == 0) {
        struct wm_buffer text = WM_BUFFER(4 << 20);
        wm_buffer_printf(&text, "%s %s?%s %zu ", r->method, r->path, r->query, r->body_len);
        wm_buffer_add(&text, r->body, r->body_len < 100 ? r->body_len : 100);
        wm_http_reply(x, 200, "text/plain", NULL, text.data, text.len);
        wm_buffer_free(&text);
    } else if (strcmp(r->path, "/big") == 0) {
        size_t len = strtoul(r->query, NULL, 10);
        char *bytes = calloc(1, len + 1);
        memset(bytes, 'b', len);
        wm_http_reply(x, 200, NULL, NULL, bytes, len);
        free(bytes);
    } else {
        struct held *held = malloc(sizeof *held);
        held->x = x;
        wm_mailbox_post_reply(h->held, &held->letter);
    }
}

/* /small takes 10 bytes at most, /large 4 MiB; /no/NNN is refused with that status. */
static int admit(void *arg, const char *method, const char *path, struct wm_http_exchange *x,
                 size_t *body_limit)
{
    (void)arg;
    (void)method;
    (void)x;
    if (strcmp(path, "/small") == 0)
        *body_limit = 10;
    if (strcmp(path, "/large") == 0)
        *body_limit = 4 << 20;
    return strncmp(path, "/no/", 4) == 0 ? (int)strtol(path + 4, NULL, 10) : 0;
}

void house_open(struct house *h, const struct wm_http_limits *limits, const char *certificate,
                const char *key)
{
    struct wm_error err = WM_ERROR_INIT;
    atomic_init(&h->handled, 0);
    assert_int_equal(wm_mailbox_new(0, NULL, NULL, &h->held, &err), WM_OK);
    struct wm_http_listener l = {.address = "127.0.0.1",
                                 .certificate = certificate,
                                 .key = key,
                                 .admit = admit,
                                 .handle = handle,
                                 .arg = h};
    if (wm_http_server_new(&l, 1, limits, "house", &h->server, &err) != WM_OK)
        fail_msg("%s", err.text);
    h->port = wm_http_server_port(h->server, 0);
}

void house_close(struct house *h)
{
    wm_http_server_free(h->server);
    for (struct wm_letter *l = wm_mailbox_take(h->held), *next; l; l = next) {
        next = l->next;
        wm_http_reply(((struct held *)l)->x, 200, NULL, NULL, NULL,
                      0); /* after the server: must be harmless */
        free(l);
    }
    wm_mailbox_free(h->held);
}

struct wm_http_exchange *house_take(struct house *h)
{
    struct wm_letter *l = wm_mailbox_wait(h->held, PATIENCE_MS);
    if (!l)
        fail_msg("no request reached the handler");
    struct wm_http_exchange *x = ((struct held *)l)->x;
    for (struct wm_letter *next = l->next, *after; next; next = after) { /* the rest waits for its turn */
        after = next->next;
        wm_mailbox_post_reply(h->held, next);
    }
    free(l);
    return x;
}

struct wm_http_stats house_stats(struct house *h)
{
    struct wm_http_stats stats;
    wm_http_server_stats(h->server, &stats);
    return stats;
}

void house_await_at(struct house *h, size_t offset, uint64_t want)
{
    uint64_t got = 0;
    for (int64_t until = wm_now_ms() + PATIENCE_MS; wm_now_ms() < until; usleep(2000)) {
        struct wm_http_stats stats = house_stats(h);
        memcpy(&got, (const char *)&stats + offset, sizeof got);
        if (got == want)
            return;
    }
    fail_msg("the figure at %zu of the statistics is %llu, not %llu", offset, (unsigned long long)got,
             (unsigned long long)want);
}

int64_t house_cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct peer peer_connect(int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct peer p = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .in = WM_BUFFER(64 << 20)};
    assert_true(p.fd >= 0);
    assert_int_equal(connect(p.fd, (struct sockaddr *)&to, sizeof to), 0);
    return p;
}

/* Sends what the other side still wants to have; a reset is not an error here. */
void peer_send(struct peer *p, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = p->ssl ? SSL_write(p->ssl, bytes, (int)len) : send(p->fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes += n;
        len -= (size_t)n;
    }
}

void peer_say(struct peer *p, const char *text)
{
    peer_send(p, text, strlen(text));
}

void peer_post(struct peer *p, const char *path, const char *body, size_t len)
{
    char head[300];
    int n =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", path, len);
    peer_send(p, head, (size_t)n);
    peer_send(p, body, len);
}

void peer_get(struct peer *p, const char *path)
{
    char head[300];
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    peer_say(p, head);
}

void peer_close(struct peer *p)
{
    if (p->ssl)
        SSL_free(p->ssl);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    p->ssl = NULL;
    wm_buffer_free(&p->in);
}

/* One read into p->in: > 0 bytes, 0 the end, -1 nothing within `ms`. */
static ssize_t peer_read(struct peer *p, int ms)
{
    struct pollfd poll_in = {.fd = p->fd, .events = POLLIN};
    if (!(p->ssl && SSL_pending(p->ssl) > 0) && poll(&poll_in, 1, ms) <= 0)
        return -1;
    char bytes[65536];
    ssize_t n = p->ssl ? SSL_read(p->ssl, bytes, sizeof bytes) : recv(p->fd, bytes, sizeof bytes, 0);
    if (n <= 0)
        return 0;
    assert_int_equal(wm_buffer_add(&p->in, bytes, (size_t)n), WM_OK);
    return n;
}

/* More bytes, or false at the end. */
static bool more(struct peer *p)
{
    ssize_t n = peer_read(p, PATIENCE_MS);
    if (n < 0)
        fail_msg("nothing came within %d ms", PATIENCE_MS);
    return n > 0;
}

/* The value of a header in a head; NULL when it is not there. */
static const char *header_of(const char *head, const char *name)
{
    char line[64];
    snprintf(line, sizeof line, "\r\n%s: ", name);
    const char *at = strcasestr(head, line);
    return at ? at + strlen(line) : NULL;
}

static bool hear_chunks(struct peer *p, struct heard *out)
{
    for (;;) {
        char *end;
        while (!p->in.data || !(end = strstr(p->in.data, "\r\n")))
            if (!more(p))
                return false;
        size_t len = strtoul(p->in.data, NULL, 16), line = (size_t)(end - p->in.data) + 2;
        while (p->in.len < line + len + 2)
            if (!more(p))
                return false;
        wm_buffer_add(&out->body, p->in.data + line, len);
        wm_buffer_consume(&p->in, line + len + 2);
        if (len == 0)
            return true;
    }
}

int peer_hear(struct peer *p, struct heard *out)
{
    char *end = NULL;
    wm_buffer_free(&out->body);
    *out = (struct heard){.body = WM_BUFFER(64 << 20)};
    while (!p->in.data || !(end = strstr(p->in.data, "\r\n\r\n")))
        if (!more(p))
            return 0;
    size_t head = (size_t)(end - p->in.data) + 4;
    assert_true(head < sizeof out->head);
    memcpy(out->head, p->in.data, head);
    wm_buffer_consume(&p->in, head);
    assert_int_equal(sscanf(out->head, "HTTP/1.1 %d ", &out->status), 1);
    const char *length = header_of(out->head, "Content-Length");
    if (header_of(out->head, "Transfer-Encoding")) {
        out->broken_off = !hear_chunks(p, out);
        return out->status;
    }
    size_t len = length ? strtoul(length, NULL, 10) : 0;
    while (p->in.len < len && !out->broken_off)
        out->broken_off = !more(p);
    wm_buffer_add(&out->body, p->in.data, p->in.len < len ? p->in.len : len);
    wm_buffer_consume(&p->in, len);
    return out->status;
}

bool peer_ended(struct peer *p, int ms)
{
    for (int64_t until = wm_now_ms() + ms;;) {
        int64_t left = until - wm_now_ms();
        ssize_t n = peer_read(p, left > 0 ? (int)left : 0);
        if (n == 0)
            return true;
        if (n < 0)
            return false;
    }
}

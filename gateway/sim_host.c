/* sim_host.c -- gives simulators a server, a courier and a clock: one simulator for each business that people can write
 * to, told apart by the first part of a path.
 *
 * WHY     adapters/sim is logic on one thread, with time passed in. Its requests arrive on the server's thread and the
 *         answers to its webhooks on the courier's.
 *
 * HOW     Both post letters to one mailbox; one thread takes them, calls the simulator, ticks it, and waits until the
 *         simulator is due again, an answer that a fault delays is due, or a letter comes.
 *
 *           server thread --REQUEST--> [mailbox] --> simulator --wm_http_reply--> server
 *           courier thread --ANSWER-->                        --send--> courier
 *
 * ALWAYS  (1) The simulators are touched by their own thread alone.
 *         (2) Every exchange is answered once: by the thread, or with 503 when the box is full or closed.
 *
 * LIMITS  QUEUE requests, DELAYED slow answers, STREAMS pages. An answer that a fault loses is begun and broken off: the
 *         caller has sent its request and never sees a whole answer.
 */
#include "gateway/sim_host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/sim/sim.h"
#include "gateway/courier.h"
#include "gateway/http/server.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"
#include "kernels/base/mailbox.h"

enum {
    QUEUE = 4096,
    DELAYED = 1024,
    STREAMS = 32,
    PING_MS = 15000,        /* a page that has gone is noticed by writing to it */
    BODY_BYTES = 8 << 20,   /* where a file may come: 5 MiB, as base64 */
    BACKLOG_BYTES = 8 << 20 /* unsent bytes of a page's stream: one whole state fits */
};

/* What a handler copies of a request; the rest stays in the exchange until it is answered. */
enum { AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, HEADERS };
static const char *const header_names[HEADERS] = {"authorization", "content-type", "host", "origin"};

struct letter {
    struct wm_letter link;     /* first: what the mailbox carries */
    struct business *business; /* whose webhook was answered */
    struct wm_sim_host *host;
    struct wm_http_exchange *exchange; /* of a request; NULL: the answer to a webhook */
    char *headers[HEADERS];
    uint64_t ticket;
    struct wm_http_result result; /* its strings are ours */
};

struct delayed {
    int64_t due_ms;
    const struct business *business;
    struct wm_http_exchange *exchange;
    struct wm_sim_response response;
};

struct business {
    struct wm_sim_host *host;
    struct wm_sim *sim;
    char path[40]; /* "", "/shapes" */
};

/* A page that listens. */
struct page {
    struct wm_http_stream *stream;
    const struct business *business;
};

struct wm_sim_host {
    struct business businesses[WM_SIM_BUSINESSES];
    struct wm_sim_business shown[WM_SIM_BUSINESSES]; /* the same as the pages show them */
    int n_businesses;
    struct wm_courier *courier;
    struct wm_http_server *server;
    struct wm_mailbox *box;
    pthread_t thread;
    bool running;
    int64_t wall_ms; /* Unix time when the monotonic clock stood at 0: a time that never goes back */
    char url[128];

    struct page pages[STREAMS];
    int n_pages;
    int64_t ping_ms;
    struct delayed delayed[DELAYED];
    int n_delayed;
};

static int64_t now_ms(const struct wm_sim_host *h)
{
    return h->wall_ms + wm_now_ms();
}

static void free_letter(struct letter *l)
{
    for (int i = 0; i < HEADERS; i++)
        free(l->headers[i]);
    free((char *)l->result.body);
    free((char *)l->result.cause);
    free(l);
}

/* --- the server's thread ------------------------------------------------------------------------------------- */

static int admit(void *arg, const char *method, const char *path, struct wm_http_exchange *x,
                 size_t *body_limit)
{
    (void)arg;
    (void)method;
    (void)x;
    static const char *const takes_files[] = {"/sim/message", "/media"};
    for (size_t i = 0; i < sizeof takes_files / sizeof *takes_files; i++) {
        size_t len = strlen(path), end = strlen(takes_files[i]);
        if (len >= end && strcmp(path + len - end, takes_files[i]) == 0)
            *body_limit = BODY_BYTES;
    }
    return 0;
}

static void refuse(struct wm_http_exchange *x)
{
    static const char body[] = "{\"error\":\"the simulator is busy or stopping\"}";
    wm_http_reply(x, 503, "application/json", NULL, body, sizeof body - 1);
}

static void handle(void *arg, struct wm_http_exchange *x)
{
    struct wm_sim_host *h = arg;
    struct letter *l = calloc(1, sizeof *l);
    if (!l) {
        refuse(x);
        return;
    }
    l->host = h;
    l->exchange = x;
    for (int i = 0; i < HEADERS; i++) {
        size_t len = 0;
        const char *value = wm_http_header(x, header_names[i], &len, NULL);
        l->headers[i] = value ? strndup(value, len) : NULL;
    }
    if (wm_mailbox_post(h->box, &l->link) != WM_OK) {
        refuse(x);
        free_letter(l);
    }
}

/* --- the courier's thread ------------------------------------------------------------------------------------ */

static void answered(void *arg, const struct wm_http_result *result)
{
    struct letter *l = arg;
    l->result = *result;
    l->result.body = result->body ? strndup(result->body, result->body_len) : NULL;
    l->result.body_len = l->result.body ? strlen(l->result.body) : 0;
    l->result.cause = result->cause ? strdup(result->cause) : NULL;
    if (wm_mailbox_post_reply(l->host->box, &l->link) != WM_OK)
        free_letter(l); /* the simulator has stopped */
}

/* --- the simulator's thread ---------------------------------------------------------------------------------- */

static void post(void *arg, uint64_t ticket, struct wm_http_call *call)
{
    struct business *b = arg;
    struct wm_transport *t = wm_courier_transport(b->host->courier);
    struct letter *l = calloc(1, sizeof *l);
    if (l) {
        l->host = b->host;
        l->business = b;
        l->ticket = ticket;
        if (t->send(t->self, call, answered, l) == WM_OK)
            return;
    }
    wm_http_call_free(call);
    if (!l) { /* the webhook stays in flight for ever: without memory for a letter nothing goes on anyway */
        wm_log(WM_LOG_ERROR, "webhook not posted", WM_S("why", "no memory"));
        return;
    }
    answered(l, &(struct wm_http_result){.fate = WM_HTTP_NOT_SENT,
                                         .retry_after_ms = -1,
                                         .cause = "too many calls wait in the courier"});
}

/* One event to every page of a business (NULL: of all); a page that is gone or too slow leaves (it comes back by itself). */
static void to_pages(struct wm_sim_host *h, const struct business *b, const char *bytes, size_t len)
{
    int kept = 0;
    for (int i = 0; i < h->n_pages; i++) {
        struct page *page = &h->pages[i];
        if ((b && page->business != b) || wm_http_stream_write(page->stream, bytes, len) == WM_OK)
            h->pages[kept++] = *page;
        else
            wm_http_stream_end(page->stream);
    }
    h->n_pages = kept;
}

static void publish(void *arg, const char *json, size_t len)
{
    const struct business *b = arg;
    if (!b->host->n_pages)
        return;
    struct wm_buffer event = WM_BUFFER(len + 16);
    wm_buffer_puts(&event, "data: ");
    wm_buffer_add(&event, json, len);
    wm_buffer_puts(&event, "\n\n");
    if (!event.failed)
        to_pages(b->host, b, event.data, event.len);
    wm_buffer_free(&event);
}

static void open_stream(const struct business *b, struct wm_http_exchange *x, const struct wm_sim_response *r)
{
    struct wm_sim_host *h = b->host;
    if (h->n_pages == STREAMS) {
        refuse(x);
        return;
    }
    struct wm_http_stream *st = wm_http_stream_begin(x, 200, "text/event-stream", NULL);
    struct wm_buffer event = WM_BUFFER(r->body.len + 64);
    wm_buffer_puts(&event, "retry: 1000\ndata: ");
    wm_buffer_add(&event, r->body.data, r->body.len);
    wm_buffer_puts(&event, "\n\n");
    if (!event.failed && wm_http_stream_write(st, event.data, event.len) == WM_OK)
        h->pages[h->n_pages++] = (struct page){.stream = st, .business = b};
    else
        wm_http_stream_end(st);
    wm_buffer_free(&event);
}

/* Begins an answer and breaks it off. The server ends a stream without its last chunk when a piece was refused, and it
 * refuses a piece larger than the backlog without looking at it. */
static void lose_answer(struct wm_http_exchange *x)
{
    static const char never_sent[BACKLOG_BYTES + 1];
    struct wm_http_stream *st = wm_http_stream_begin(x, 200, "application/json", NULL);
    wm_http_stream_write(st, never_sent, sizeof never_sent);
    wm_http_stream_end(st);
}

/* Takes the response's body. */
static void reply(const struct business *b, struct wm_http_exchange *x, struct wm_sim_response *r)
{
    if (r->drop)
        lose_answer(x);
    else if (r->stream)
        open_stream(b, x, r);
    else
        wm_http_reply(x, r->status, r->content_type, r->headers, r->body.data, r->body.len);
    wm_buffer_free(&r->body);
}

/* Whose address the path is, and what follows: "/shapes/sim/state" is /sim/state of the second. */
static struct business *business_of(struct wm_sim_host *h, const char *path, const char **rest)
{
    for (int i = h->n_businesses - 1; i > 0; i--) {
        size_t len = strlen(h->businesses[i].path);
        if (strncmp(path, h->businesses[i].path, len) == 0 && (path[len] == '/' || path[len] == '\0')) {
            *rest = path + len;
            return &h->businesses[i];
        }
    }
    *rest = path;
    return &h->businesses[0];
}

static void run_request(struct wm_sim_host *h, const struct letter *l)
{
    const struct wm_http_request *q = wm_http_request(l->exchange);
    const char *path;
    struct business *b = business_of(h, q->path, &path);
    if (!*path) { /* the page's own files are named relative to its folder */
        char location[64];
        snprintf(location, sizeof location, "Location: %s/\r\n", b->path);
        wm_http_reply(l->exchange, 308, "text/plain", location, "", 0);
        return;
    }
    const struct wm_sim_request request = {.method = q->method,
                                           .path = path,
                                           .query = q->query,
                                           .authorization = l->headers[AUTHORIZATION],
                                           .content_type = l->headers[CONTENT_TYPE],
                                           .host = l->headers[HOST],
                                           .origin = l->headers[ORIGIN],
                                           .body = q->body,
                                           .body_len = q->body_len};
    struct wm_sim_response response;
    int64_t now = now_ms(h);
    wm_sim_handle(b->sim, now, &request, &response);
    if (response.delay_ms > 0 && h->n_delayed < DELAYED)
        h->delayed[h->n_delayed++] = (struct delayed){
            .due_ms = now + response.delay_ms, .business = b, .exchange = l->exchange, .response = response};
    else
        reply(b, l->exchange, &response);
}

/* Sends the delayed answers that are due; returns when the next one is, or `next`. */
static int64_t send_delayed(struct wm_sim_host *h, int64_t now, int64_t next)
{
    int kept = 0;
    for (int i = 0; i < h->n_delayed; i++) {
        struct delayed *d = &h->delayed[i];
        if (d->due_ms <= now) {
            reply(d->business, d->exchange, &d->response);
            continue;
        }
        if (d->due_ms < next)
            next = d->due_ms;
        h->delayed[kept++] = *d;
    }
    h->n_delayed = kept;
    return next;
}

/* Answers requests; `stopping`: with 503. */
static void take_letters(struct wm_sim_host *h, struct wm_letter *letters, bool stopping)
{
    while (letters) {
        struct letter *l = (struct letter *)letters;
        letters = letters->next;
        if (l->exchange && stopping)
            refuse(l->exchange);
        else if (l->exchange)
            run_request(h, l);
        else if (!stopping)
            wm_sim_answered(l->business->sim, now_ms(h), l->ticket, &l->result);
        free_letter(l);
    }
}

/* Ticks every simulator; returns when the first is due again. */
static int64_t tick(struct wm_sim_host *h, int64_t now)
{
    int64_t next = INT64_MAX;
    for (int i = 0; i < h->n_businesses; i++) {
        int64_t due = wm_sim_tick(h->businesses[i].sim, now);
        next = due < next ? due : next;
    }
    return next;
}

static void *run(void *arg)
{
    struct wm_sim_host *h = arg;
    while (!wm_mailbox_closed(h->box)) {
        int64_t now = now_ms(h), next = tick(h, now);
        next = send_delayed(h, now, next);
        if (now >= h->ping_ms) {
            to_pages(h, NULL, ":\n\n", 3);
            h->ping_ms = now + PING_MS;
        }
        next = next < h->ping_ms ? next : h->ping_ms;
        take_letters(h, wm_mailbox_wait(h->box, next > now ? next - now : 0), false);
    }
    for (int i = 0; i < h->n_delayed; i++)
        reply(h->delayed[i].business, h->delayed[i].exchange, &h->delayed[i].response);
    for (int i = 0; i < h->n_pages; i++)
        wm_http_stream_end(h->pages[i].stream);
    return NULL;
}

/* --- start and stop ------------------------------------------------------------------------------------------ */

static enum wm_status open_server(struct wm_sim_host *h, const struct wm_sim_host_options *o,
                                  struct wm_error *err)
{
    const struct wm_http_listener listener = {
        .address = o->address, .port = o->port, .admit = admit, .handle = handle, .arg = h};
    const struct wm_http_limits limits = {.stream_backlog = BACKLOG_BYTES};
    enum wm_status st = wm_http_server_new(&listener, 1, &limits, "simulator", &h->server, err);
    if (st != WM_OK)
        return st;
    bool v6 = strchr(o->address, ':') != NULL;
    snprintf(h->url, sizeof h->url, "http://%s%s%s:%d", v6 ? "[" : "", o->address, v6 ? "]" : "",
             wm_http_server_port(h->server, 0));
    return WM_OK;
}

/* "/shapes/" becomes "/shapes"; "/" becomes "". */
static enum wm_status take_path(struct business *b, const char *path, struct wm_error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t name = *path == '/' ? strspn(path + 1, plain) : 0;
    bool root = strcmp(path, "/") == 0;
    if (!root && (name == 0 || strcmp(path + 1 + name, "/") != 0 || name + 2 > sizeof b->path))
        return wm_fail(
            err, WM_EINVAL,
            "the simulator's page '%s' must be / or /NAME/ of lower-case letters, digits and hyphens", path);
    snprintf(b->path, sizeof b->path, "%.*s", root ? 0 : (int)name + 1, path);
    return WM_OK;
}

static enum wm_status make_sims(struct wm_sim_host *h, const struct wm_sim_host_options *o,
                                struct wm_error *err)
{
    enum wm_status st = WM_OK;
    if (o->n_businesses < 1 || o->n_businesses > WM_SIM_BUSINESSES)
        return wm_fail(err, WM_EINVAL, "a simulator has 1 to %d businesses", WM_SIM_BUSINESSES);
    for (int i = 0; i < o->n_businesses; i++) {
        const struct wm_sim_host_business *from = &o->businesses[i];
        h->shown[i] = (struct wm_sim_business){.name = from->name,
                                               .about = from->about,
                                               .path = from->path,
                                               .ideas = from->ideas,
                                               .pictures = from->pictures};
    }
    for (int i = 0; i < o->n_businesses && st == WM_OK; i++) {
        struct business *b = &h->businesses[i];
        char url[sizeof h->url + sizeof b->path];
        b->host = h;
        st = take_path(b, o->businesses[i].path, err);
        snprintf(url, sizeof url, "%s%s", h->url, b->path);
        if (st == WM_OK)
            st = wm_sim_new(&(struct wm_sim_options){.webhook_url = o->businesses[i].webhook_url,
                                                     .app_secret = o->app_secret,
                                                     .access_token = o->access_token,
                                                     .verify_token = o->verify_token,
                                                     .account = o->businesses[i].account,
                                                     .public_url = url,
                                                     .businesses = h->shown,
                                                     .n_businesses = o->n_businesses,
                                                     .business = i,
                                                     .time_scale = o->time_scale,
                                                     .seed = o->seed,
                                                     .post = post,
                                                     .publish = publish,
                                                     .arg = b},
                            now_ms(h), &b->sim, err);
        h->n_businesses += st == WM_OK;
    }
    return st;
}

enum wm_status wm_sim_host_start(const struct wm_sim_host_options *options, struct wm_sim_host **out,
                                 struct wm_error *err)
{
    struct wm_sim_host *h = calloc(1, sizeof *h);
    if (!h)
        return wm_fail(err, WM_ENOMEM, "no memory for the simulator");
    h->wall_ms = wm_wall_ms() - wm_now_ms();
    enum wm_status st = wm_mailbox_new(QUEUE, NULL, NULL, &h->box, err);
    if (st == WM_OK)
        st = wm_courier_new(&(struct wm_courier_options){.user_agent = "facebookexternalua"}, &h->courier,
                            err);
    if (st == WM_OK)
        st = open_server(h, options, err);
    if (st == WM_OK)
        st = make_sims(h, options, err);
    if (st == WM_OK && pthread_create(&h->thread, NULL, run, h) != 0)
        st = wm_fail(err, WM_EAGAIN, "the system gives no thread for the simulator");
    if (st != WM_OK) {
        wm_sim_host_stop(h);
        return st;
    }
    h->running = true;
    *out = h;
    return WM_OK;
}

const char *wm_sim_host_url(const struct wm_sim_host *host)
{
    return host->url;
}

void wm_sim_host_stop(struct wm_sim_host *h)
{
    if (!h)
        return;
    if (h->box)
        wm_mailbox_close(h->box);
    if (h->running)
        pthread_join(h->thread, NULL);
    if (h->box) /* exchanges may only be answered while the server is there */
        take_letters(h, wm_mailbox_take(h->box), true);
    if (h->server)
        wm_http_server_drain(h->server, 0);
    wm_http_server_free(h->server);
    wm_courier_free(h->courier); /* its last answers find the box closed */
    wm_mailbox_free(h->box);
    for (int i = 0; i < h->n_businesses; i++)
        wm_sim_free(h->businesses[i].sim);
    free(h);
}

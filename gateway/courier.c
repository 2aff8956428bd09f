/* courier.c -- outbound HTTPS: one thread, libcurl's multi interface, pooled connections.
 *
 * WHY     Graph calls take 100 ms to half a minute and come by the thousand. No thread that owns something else may
 *         wait for them, and each new TLS connection costs more than the call: connections are kept and shared.
 *
 * HOW     send() counts the call, posts it to a mailbox and rings curl_multi_wakeup. The courier's thread starts what
 *         came, lets libcurl work, and reports what ended:
 *
 *           send --> mailbox --> [ under way ] --libcurl--> result --> done()
 *
 *         One call is an errand (courier_errand.c: options, and what its end means).
 *
 * ALWAYS  (1) send() said WM_OK: done() is called exactly once, on this thread, also when the courier is freed.
 *         (2) A call leaves the count before its done() runs, so that done() may send the next.
 *         (3) Headers and bodies are not logged here. Nothing is.
 *
 * LIMITS  max_waiting calls, queued and under way together; past that send() says WM_EAGAIN. connections_per_host to
 *         one host, 256 in all; calls beyond wait inside libcurl, and their time runs.
 */
#include "gateway/courier.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/courier_errand.h"

enum { DEFAULT_WAITING = 4096, DEFAULT_PER_HOST = 64, CONNECTIONS = 256, IDLE_POLL_MS = 1000 };

static const char default_agent[] = "wingman";

struct wm_courier {
    struct wm_transport transport;
    struct wm_courier_options options; /* strings are the courier's own */
    struct wm_mailbox *mailbox;
    CURLM *multi;
    pthread_t thread;
    bool running;
    struct wm_errand *under_way; /* courier thread */
    _Atomic uint64_t calls, answered, not_sent, lost, refused, open;
};

/* --- the thread ---------------------------------------------------------------------------------------------- */

static void report(struct wm_courier *c, struct wm_errand *e, const struct wm_http_result *result)
{
    _Atomic uint64_t *const counters[] = {
        [WM_HTTP_ANSWERED] = &c->answered, [WM_HTTP_NOT_SENT] = &c->not_sent, [WM_HTTP_LOST] = &c->lost};
    atomic_fetch_add(counters[result->fate], 1);
    atomic_fetch_sub(&c->open, 1);
    e->done(e->arg, result);
    wm_errand_free(e);
}

static void detach(struct wm_courier *c, struct wm_errand *e)
{
    curl_multi_remove_handle(c->multi, e->easy);
    if (e->prev)
        e->prev->next = e->next;
    else
        c->under_way = e->next;
    if (e->next)
        e->next->prev = e->prev;
}

static void give_up(struct wm_courier *c, struct wm_errand *e, const char *cause)
{
    struct wm_http_result result;
    wm_errand_give_up(e, cause, &result);
    report(c, e, &result);
}

static void start(struct wm_courier *c, struct wm_errand *e)
{
    if (!wm_errand_prepare(e, &c->options) || curl_multi_add_handle(c->multi, e->easy) != CURLM_OK) {
        give_up(c, e, "the call could not be started: no memory, or a URL that is none");
        return;
    }
    e->next = c->under_way;
    if (e->next)
        e->next->prev = e;
    c->under_way = e;
}

static struct wm_errand *next_errand(struct wm_letter **letters)
{
    struct wm_errand *e = (struct wm_errand *)*letters;
    if (e)
        *letters = e->letter.next;
    return e;
}

static void report_ended(struct wm_courier *c)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result; /* detaching takes the message away */
        char *private = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        struct wm_errand *e = (struct wm_errand *)private;
        struct wm_http_result result;
        wm_errand_result(e, code, &result);
        detach(c, e);
        report(c, e, &result);
    }
}

static void *run(void *arg)
{
    struct wm_courier *c = arg;
    struct wm_errand *e;
    while (!wm_mailbox_closed(c->mailbox)) {
        struct wm_letter *letters = wm_mailbox_take(c->mailbox);
        while ((e = next_errand(&letters)))
            start(c, e);
        int running;
        curl_multi_perform(c->multi, &running);
        report_ended(c);
        /* a ring since the mailbox was emptied makes this return at once */
        curl_multi_poll(c->multi, NULL, 0, IDLE_POLL_MS, NULL);
    }
    static const char stopping[] = "the gateway is stopping";
    while ((e = c->under_way)) {
        detach(c, e);
        give_up(c, e, stopping);
    }
    struct wm_letter *letters = wm_mailbox_take(c->mailbox);
    while ((e = next_errand(&letters)))
        give_up(c, e, stopping);
    return NULL;
}

/* --- the rest of the world ----------------------------------------------------------------------------------- */

static void wake(void *multi)
{
    curl_multi_wakeup(multi);
}

static enum wm_status courier_send(void *self, struct wm_http_call *call,
                                   void (*done)(void *arg, const struct wm_http_result *result), void *arg)
{
    struct wm_courier *c = self;
    enum wm_status st = WM_EAGAIN;
    struct wm_errand *e = NULL;
    if (atomic_fetch_add(&c->open, 1) >= (uint64_t)c->options.max_waiting)
        goto refuse;
    st = WM_ENOMEM;
    e = wm_errand_new(call, done, arg);
    if (!e)
        goto refuse;
    st = wm_mailbox_post(c->mailbox, &e->letter);
    if (st != WM_OK)
        goto refuse;
    atomic_fetch_add(&c->calls, 1);
    return WM_OK;
refuse:
    atomic_fetch_sub(&c->open, 1);
    atomic_fetch_add(&c->refused, 1);
    free(e); /* the call stays the caller's */
    return st;
}

static bool copy_options(struct wm_courier *c, const struct wm_courier_options *options)
{
    static const struct wm_courier_options none;
    struct wm_courier_options *o = &c->options;
    *o = options ? *options : none;
    o->max_waiting = o->max_waiting > 0 ? o->max_waiting : DEFAULT_WAITING;
    o->connections_per_host = o->connections_per_host > 0 ? o->connections_per_host : DEFAULT_PER_HOST;
    bool has_ca = o->ca_file != NULL;
    o->user_agent = strdup(o->user_agent ? o->user_agent : default_agent);
    o->ca_file = has_ca ? strdup(o->ca_file) : NULL;
    return o->user_agent && (!has_ca || o->ca_file);
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_ready;

static void init_curl(void)
{
    curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum wm_status wm_courier_new(const struct wm_courier_options *options, struct wm_courier **out,
                              struct wm_error *err)
{
    enum wm_status st = WM_ENOMEM;
    pthread_once(&curl_once, init_curl);
    if (curl_ready != CURLE_OK)
        return wm_fail(err, WM_EIO, "libcurl did not start: %s", curl_easy_strerror(curl_ready));
    struct wm_courier *c = calloc(1, sizeof *c);
    if (!c || !copy_options(c, options) || !(c->multi = curl_multi_init()))
        goto fail;
    c->transport = (struct wm_transport){.self = c, .send = courier_send};
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)c->options.connections_per_host);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    st = wm_mailbox_new((size_t)c->options.max_waiting, wake, c->multi, &c->mailbox, err);
    if (st != WM_OK)
        goto fail;
    if (pthread_create(&c->thread, NULL, run, c) != 0) {
        st = wm_fail(err, WM_EAGAIN, "no thread for the courier; check the limit of processes");
        goto fail;
    }
    c->running = true;
    *out = c;
    return WM_OK;
fail:
    wm_courier_free(c);
    return wm_fail(err, st, "no memory for the courier");
}

struct wm_transport *wm_courier_transport(struct wm_courier *c)
{
    return &c->transport;
}

void wm_courier_stats(struct wm_courier *c, struct wm_courier_stats *out)
{
    *out = (struct wm_courier_stats){.calls = atomic_load(&c->calls),
                                     .answered = atomic_load(&c->answered),
                                     .not_sent = atomic_load(&c->not_sent),
                                     .lost = atomic_load(&c->lost),
                                     .refused = atomic_load(&c->refused),
                                     .in_flight = atomic_load(&c->open)};
}

void wm_courier_free(struct wm_courier *c)
{
    if (!c)
        return;
    if (c->running) {
        wm_mailbox_close(c->mailbox);
        curl_multi_wakeup(c->multi);
        pthread_join(c->thread, NULL);
    }
    wm_mailbox_free(c->mailbox);
    if (c->multi)
        curl_multi_cleanup(c->multi);
    free((char *)c->options.user_agent);
    free((char *)c->options.ca_file);
    free(c);
}

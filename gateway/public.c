/* public.c -- the routes that platforms and people reach: webhooks and health.
 *
 * WHY     A webhook is answered 200 only when its body is on disk, and nothing of it is looked at before its signature
 *         is right. This file is the door; what happens behind it is sessions' business.
 *
 * HOW     POST /webhooks/NAME: the adapter checks the signature over the raw bytes (401), then the body goes to the
 *         store, and the answer is given from the store's thread after its commit (200, or 503 with Retry-After when
 *         the store is full, slow or broken: platforms send again).
 *         GET /webhooks/NAME: the platform's handshake.
 *
 * ALWAYS  (1) No byte of an unverified body is parsed, stored or logged.
 *         (2) An answer to a stranger never names an expected value.
 */
#include "gateway/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/log.h"

static const char webhooks[] = "/webhooks/";
static const char retry_soon[] = "Retry-After: 5\r\n";

static void reply_text(struct wm_http_exchange *x, int status, const char *text)
{
    wm_http_reply(x, status, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

static struct wm_gateway_channel *channel_of(struct wm_app *app, const char *path)
{
    if (strncmp(path, webhooks, sizeof webhooks - 1) != 0)
        return NULL;
    return wm_channel_set_find(atomic_load(&app->channels), path + sizeof webhooks - 1);
}

/* "application/json" with or without parameters, in any case. */
static bool is_json(const char *type, size_t len)
{
    static const char json[] = "application/json";
    return type && len >= sizeof json - 1 && strncasecmp(type, json, sizeof json - 1) == 0 &&
           (len == sizeof json - 1 || strchr("; \t", type[sizeof json - 1]));
}

int wm_public_admit(void *arg, const char *method, const char *path, struct wm_http_exchange *x,
                    size_t *body_limit)
{
    struct wm_app *app = arg;
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0) {
        *body_limit = 0;
        return get ? 0 : 405;
    }
    if (!channel_of(app, path))
        return 404;
    if (get) {
        *body_limit = 0;
        return 0;
    }
    if (strcmp(method, "POST") != 0)
        return 405;
    size_t len = 0;
    const char *type = wm_http_header(x, "content-type", &len, NULL);
    if (!is_json(type, len) || wm_http_header(x, "content-encoding", NULL, NULL))
        return 415;
    return 0;
}

/* wm_webhook.header: the adapter asks for what its signature needs. */
static const char *header_of(void *arg, const char *name, size_t *len, int *count)
{
    return wm_http_header(arg, name, len, count);
}

/* A webhook between its verification and its answer. */
struct pending {
    struct wm_http_exchange *x;
    struct wm_gateway_channel *channel;
};

/* Store thread: the body is on disk, or it is not. */
static void committed(void *arg, enum wm_status st)
{
    struct pending *p = arg;
    if (st == WM_OK) {
        atomic_fetch_add_explicit(&p->channel->accepted, 1, memory_order_relaxed);
        wm_http_reply(p->x, 200, NULL, NULL, NULL, 0);
    } else {
        atomic_fetch_add_explicit(&p->channel->refused, 1, memory_order_relaxed);
        wm_http_reply(p->x, 503, "text/plain; charset=utf-8", retry_soon, "not stored; send it again\n", 26);
    }
    free(p);
}

static void take_webhook(struct wm_app *app, struct wm_gateway_channel *channel, struct wm_http_exchange *x)
{
    const struct wm_http_request *request = wm_http_request(x);
    struct wm_webhook hook = {request->body, request->body_len, header_of, x};
    struct wm_error err = WM_ERROR_INIT;
    if (channel->adapter->verify(channel->channel, &hook, &err) != WM_OK) {
        atomic_fetch_add_explicit(&channel->denied, 1, memory_order_relaxed);
        wm_log(WM_LOG_DEBUG, "webhook denied", WM_S("channel", channel->name), WM_S("why", err.text));
        reply_text(x, 401, "the signature is missing or wrong\n");
        return;
    }
    struct pending *p = malloc(sizeof *p);
    char *body = malloc(request->body_len + 1);
    enum wm_status st = WM_ENOMEM;
    if (p && body) {
        memcpy(body, request->body, request->body_len);
        body[request->body_len] = '\0';
        *p = (struct pending){x, channel};
        st = wm_sessions_ingest(app->sessions, channel->name, body, request->body_len, committed, p);
    }
    if (st == WM_OK)
        return; /* committed() answers */
    free(body);
    free(p);
    atomic_fetch_add_explicit(&channel->refused, 1, memory_order_relaxed);
    wm_http_reply(x, 503, "text/plain; charset=utf-8", retry_soon, "too busy; send it again\n", 24);
}

static void answer_challenge(struct wm_gateway_channel *channel, struct wm_http_exchange *x)
{
    enum { CHALLENGE_MAX = 256 };
    const char *query = wm_http_request(x)->query;
    struct wm_buffer out = WM_BUFFER(CHALLENGE_MAX);
    struct wm_error err = WM_ERROR_INIT;
    if (channel->adapter->challenge(channel->channel, query, strlen(query), &out, &err) == WM_OK) {
        wm_log(WM_LOG_INFO, "webhook subscribed", WM_S("channel", channel->name));
        wm_http_reply(x, 200, "text/plain; charset=utf-8", NULL, out.data, out.len);
    } else {
        atomic_fetch_add_explicit(&channel->denied, 1, memory_order_relaxed);
        reply_text(x, 403, "the verify token is missing or wrong\n");
    }
    wm_buffer_free(&out);
}

static void answer_ready(struct wm_app *app, struct wm_http_exchange *x)
{
    struct wm_buffer reason = WM_BUFFER(512);
    if (wm_report_ready(app, &reason))
        reply_text(x, 200, "ready\n");
    else
        reply_text(x, 503, reason.data ? reason.data : "not ready\n");
    wm_buffer_free(&reason);
}

void wm_public_handle(void *arg, struct wm_http_exchange *x)
{
    struct wm_app *app = arg;
    const struct wm_http_request *request = wm_http_request(x);
    if (strcmp(request->path, "/healthz") == 0) {
        reply_text(x, 200, "ok\n");
        return;
    }
    if (strcmp(request->path, "/readyz") == 0) {
        answer_ready(app, x);
        return;
    }
    struct wm_gateway_channel *channel =
        channel_of(app, request->path); /* a reload may have removed it since admit */
    if (!channel)
        reply_text(x, 404, "there is nothing here\n");
    else if (strcmp(request->method, "POST") == 0)
        take_webhook(app, channel, x);
    else
        answer_challenge(channel, x);
}

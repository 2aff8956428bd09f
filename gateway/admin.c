/* admin.c -- the operator's listener: metrics, events, conversations, and the one verb that silences a bot.
 *
 * WHY     It shows what strangers wrote, so it is closed: a bearer token when one is configured; without one it is
 *         bound to loopback (the settings refuse anything else) and answers only requests whose Host names a loopback
 *         address, so that a web page which resolves its own name to 127.0.0.1 reads nothing.
 *
 * HOW     Questions go to sessions' reader thread and are answered from there.
 */
#include "gateway/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

static const char conversations[] = "/admin/v1/conversations";
static const char json_type[] = "application/json";

/* A bearer token in the Authorization header that equals ours, in constant time. */
static bool token_matches(struct wm_http_exchange *x, const char *token)
{
    static const char bearer[] = "Bearer ";
    size_t len = 0, prefix = sizeof bearer - 1, token_len = strlen(token);
    int count = 0;
    const char *value = wm_http_header(x, "authorization", &len, &count);
    if (!value || count != 1 || len != prefix + token_len || strncasecmp(value, bearer, prefix) != 0)
        return false;
    return CRYPTO_memcmp(value + prefix, token, token_len) == 0;
}

/* Host is a loopback name or address, with or without a port. */
static bool host_is_loopback(struct wm_http_exchange *x)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]"};
    size_t len = 0;
    const char *host = wm_http_header(x, "host", &len, NULL);
    for (size_t i = 0; host && i < sizeof hosts / sizeof *hosts; i++) {
        size_t n = strlen(hosts[i]);
        if (len >= n && strncasecmp(host, hosts[i], n) == 0 && (len == n || host[n] == ':'))
            return true;
    }
    return false;
}

/* A page of another site may not use the operator's browser to post here. Programs send no Origin. */
static bool origin_is_ours(struct wm_http_exchange *x)
{
    size_t origin_len = 0, host_len = 0;
    const char *origin = wm_http_header(x, "origin", &origin_len, NULL);
    const char *host = wm_http_header(x, "host", &host_len, NULL);
    if (!origin)
        return true;
    return host && origin_len > host_len + 3 && memcmp(origin + origin_len - host_len, host, host_len) == 0 &&
           memcmp(origin + origin_len - host_len - 3, "://", 3) == 0;
}

int wm_admin_admit(void *arg, const char *method, const char *path, struct wm_http_exchange *x,
                   size_t *body_limit)
{
    struct wm_app *app = arg;
    *body_limit = 4096;
    if (strcmp(path, "/healthz") == 0)
        return 0;
    const char *token = atomic_load(&app->channels)->settings->admin_token;
    if (token ? !token_matches(x, token) : !host_is_loopback(x))
        return token ? 401 : 403;
    if (strcmp(method, "POST") == 0 && !origin_is_ours(x))
        return 403;
    bool known = strcmp(path, "/metrics") == 0 || strcmp(path, "/readyz") == 0 ||
                 strcmp(path, "/admin/v1/events") == 0 ||
                 strncmp(path, conversations, sizeof conversations - 1) == 0;
    if (!known)
        return 404;
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "POST") == 0 ? 0 : 405;
}

static void reply_error(struct wm_http_exchange *x, int status, const char *sentence)
{
    char body[WM_ERROR_TEXT + 64];
    struct wm_buffer quoted = WM_BUFFER(sizeof body);
    for (const char *c = sentence; *c; c++)
        wm_buffer_printf(&quoted, *c == '"' || *c == '\\' ? "\\%c" : "%c",
                         (unsigned char)*c < 0x20 ? ' ' : *c);
    int len = snprintf(body, sizeof body, "{\"error\":\"%s\"}\n", quoted.data ? quoted.data : "");
    wm_http_reply(x, status, json_type, NULL, body, len < (int)sizeof body ? (size_t)len : sizeof body - 1);
    wm_buffer_free(&quoted);
}

/* Reader thread. */
static void answered(void *arg, const char *json, size_t len, const struct wm_error *err)
{
    struct wm_http_exchange *x = arg;
    if (json)
        wm_http_reply(x, 200, json_type, "Cache-Control: no-store\r\n", json, len);
    else
        reply_error(x, err->code == WM_ENOENT ? 404 : err->code == WM_EINVAL ? 400 : 500, err->text);
}

/* The decimal value of `name` in a query string; `missing` without it; -1 when it is not a number in [0, 2^63). */
static int64_t query_number(const char *query, const char *name, int64_t missing)
{
    size_t len = strlen(name);
    for (const char *at = query; at && *at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL) {
        if (strncmp(at, name, len) != 0 || at[len] != '=')
            continue;
        const char *digits = at + len + 1;
        char *end;
        errno = 0;
        long long value = strtoll(digits, &end, 10);
        return *digits >= '0' && *digits <= '9' && (*end == '\0' || *end == '&') && errno == 0 ? value : -1;
    }
    return missing;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes the value of `name` into out; false when it is absent, malformed or too long. */
static bool query_text(const char *query, const char *name, char *out, size_t size)
{
    size_t len = strlen(name), n = 0;
    for (const char *at = query; at && *at; at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL) {
        if (strncmp(at, name, len) != 0 || at[len] != '=')
            continue;
        for (const char *c = at + len + 1; *c && *c != '&'; c++) {
            int high, low;
            char byte = *c == '+' ? ' ' : *c;
            if (*c == '%') {
                if ((high = hex_value(c[1])) < 0 || (low = hex_value(c[2])) < 0)
                    return false;
                byte = (char)(high << 4 | low);
                c += 2;
            }
            if (byte == '\0' || n + 1 >= size)
                return false;
            out[n++] = byte;
        }
        out[n] = '\0';
        return true;
    }
    return false;
}

static void ask(struct wm_app *app, const struct wm_question *question, struct wm_http_exchange *x)
{
    if (wm_sessions_ask(app->sessions, question, answered, x) != WM_OK)
        reply_error(x, 503, "too many questions wait; ask again");
}

/* GET /admin/v1/conversations[?contact=C], GET /admin/v1/conversations/ID, POST /admin/v1/conversations/ID/human|bot */
static void handle_conversations(struct wm_app *app, struct wm_http_exchange *x)
{
    const struct wm_http_request *request = wm_http_request(x);
    const char *rest = request->path + sizeof conversations - 1;
    bool post = strcmp(request->method, "POST") == 0;
    if (*rest == '\0' && !post) {
        struct wm_question q = {.kind = WM_ASK_CONVERSATIONS,
                                .limit = query_number(request->query, "limit", 0)};
        bool asked = strstr(request->query, "contact=") != NULL;
        if (q.limit < 0 || (asked && !query_text(request->query, "contact", q.contact, sizeof q.contact)))
            reply_error(x, 400, "contact must be a percent-encoded id and limit a number");
        else
            ask(app, &q, x);
        return;
    }
    char *end = NULL;
    errno = 0;
    long long id = *rest == '/' && rest[1] >= '0' && rest[1] <= '9' ? strtoll(rest + 1, &end, 10) : 0;
    if (!end || errno != 0) {
        reply_error(x, 404, "a conversation's id is a number");
    } else if (*end == '\0' && !post) {
        struct wm_question q = {.kind = WM_ASK_CONVERSATION, .id = id};
        ask(app, &q, x);
    } else if (post && (strcmp(end, "/human") == 0 || strcmp(end, "/bot") == 0)) {
        enum wm_status st = wm_sessions_set_human(app->sessions, id, strcmp(end, "/human") == 0);
        if (st == WM_OK)
            wm_http_reply(x, 200, json_type, NULL, "{\"ok\":true}\n", 12);
        else
            reply_error(x, st == WM_ENOENT ? 404 : 503, "the conversation was not changed");
    } else {
        reply_error(x, 404, "there is nothing here");
    }
}

void wm_admin_handle(void *arg, struct wm_http_exchange *x)
{
    struct wm_app *app = arg;
    const struct wm_http_request *request = wm_http_request(x);
    if (strncmp(request->path, conversations, sizeof conversations - 1) == 0) {
        handle_conversations(app, x);
    } else if (strcmp(request->method, "POST") == 0) {
        reply_error(x, 405, "this address is read with GET");
    } else if (strcmp(request->path, "/healthz") == 0) {
        wm_http_reply(x, 200, "text/plain; charset=utf-8", NULL, "ok\n", 3);
    } else if (strcmp(request->path, "/readyz") == 0) {
        struct wm_buffer reason = WM_BUFFER(512);
        bool ready = wm_report_ready(app, &reason);
        wm_http_reply(x, ready ? 200 : 503, "text/plain; charset=utf-8", NULL,
                      ready ? "ready\n" : reason.data, ready ? 6 : reason.len);
        wm_buffer_free(&reason);
    } else if (strcmp(request->path, "/metrics") == 0) {
        struct wm_buffer text = WM_BUFFER(1 << 20);
        wm_report_metrics(app, &text);
        wm_http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, text.data, text.len);
        wm_buffer_free(&text);
    } else {
        struct wm_question q = {.kind = WM_ASK_EVENTS,
                                .after = query_number(request->query, "after", 0),
                                .limit = query_number(request->query, "limit", 0)};
        if (q.after < 0 || q.limit < 0)
            reply_error(x, 400, "after and limit are numbers");
        else
            ask(app, &q, x);
    }
}

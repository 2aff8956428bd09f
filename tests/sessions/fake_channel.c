/* fake_channel.c -- an adapter for lines of text, and the platform behind it. */
#include "tests/sessions/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/clock.h"

enum { FIELDS = 6 };

static char *copy(const char *text)
{
    return text && *text ? strdup(text) : NULL;
}

static bool parse_line(char *line, int64_t arrived_ms, struct wm_event_list *out)
{
    const char *field[FIELDS] = {0};
    for (int i = 0; i < FIELDS; i++)
        field[i] = line ? strsep(&line, "|") : "";
    enum wm_event_kind kind;
    if (!wm_event_kind_of(field[0], &kind))
        return false;
    struct wm_event *e = wm_event_list_add(out);
    char key[512];
    snprintf(key, sizeof key, "%s:%s:%s", field[0], field[1], kind == WM_EVENT_STATUS ? field[4] : "");
    e->kind = kind;
    e->key = strdup(key);
    e->id = copy(field[1]);
    e->sender = copy(field[2]);
    e->at_ms = *field[3] == '+' || *field[3] == '-' ? arrived_ms + strtoll(field[3], NULL, 10)
                                                    : strtoll(field[3], NULL, 10);
    e->text = copy(field[4]);
    e->wants_reply = kind <= WM_EVENT_POSTBACK || kind == WM_EVENT_UNSUPPORTED;
    if (kind == WM_EVENT_STATUS) {
        static const char *const words[] = {"sent", "delivered", "read", "played", "failed"};
        e->ref = copy(field[5]);
        e->status = copy(field[4]);
        for (int i = 0; i < 5; i++)
            if (strcmp(field[4], words[i]) == 0)
                e->delivery = (enum wm_delivery)(WM_DELIVERY_SENT + i);
    } else if (kind == WM_EVENT_IMAGE || kind == WM_EVENT_STICKER) {
        char ids[512], *at = ids;
        snprintf(ids, sizeof ids, "%s", field[5] ? field[5] : "");
        for (int i = 0; i < WM_EVENT_MEDIA && at; i++)
            e->media[i] = copy(strsep(&at, ","));
    } else {
        e->aliases[0] = copy(field[5]);
    }
    return true;
}

static enum wm_status fake_parse(struct wm_channel *c, const char *body, size_t len, int64_t arrived_ms,
                                 struct wm_event_list *out, struct wm_error *err)
{
    (void)c;
    char *text = strndup(body, len), *at = text;
    enum wm_status st = WM_OK;
    for (char *line; st == WM_OK && (line = strsep(&at, "\n"));)
        if (*line && !parse_line(line, arrived_ms, out))
            st = wm_fail(err, WM_EFORMAT, "not lines of events");
    free(text);
    return st;
}

/* "~" separates parts. */
static enum wm_status fake_render(struct wm_channel *c, const char *markdown, size_t len,
                                  enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                                  struct wm_error *err)
{
    (void)c, (void)err;
    enum wm_status st = WM_OK;
    for (size_t from = 0; from < len && st == WM_OK;) {
        size_t to = from;
        while (to < len && markdown[to] != '~')
            to++;
        st = part(arg, markdown + from, to - from);
        from = to + 1;
    }
    return st;
}

static enum wm_status fake_request(struct wm_channel *c, const struct wm_outgoing *what,
                                   struct wm_http_call **out, struct wm_error *err)
{
    (void)c;
    char *body;
    if (asprintf(&body, "%d|%s|%s|%s", what->kind, what->to, what->ref ? what->ref : "",
                 what->text ? what->text : "") < 0)
        return WM_ENOMEM;
    *out = wm_http_call_new("POST", "fake:", body, strlen(body));
    free(body);
    return *out ? WM_OK : wm_fail(err, WM_ENOMEM, "memory");
}

static void fake_outcome(struct wm_channel *c, const struct wm_outgoing *what,
                         const struct wm_http_result *result, int attempt, struct wm_outcome *out)
{
    (void)c, (void)what, (void)attempt;
    *out = (struct wm_outcome){.kind = WM_OUTCOME_UNKNOWN, .retry_ms = 50, .retry_contact_only = true};
    if (result->fate != WM_HTTP_ANSWERED)
        return;
    snprintf(out->platform_id, sizeof out->platform_id, "%.*s", (int)result->body_len, result->body);
    switch (result->status) {
    case 200:
        out->kind = WM_OUTCOME_SENT;
        break;
    case 503:
        out->kind = WM_OUTCOME_RETRY;
        out->platform_id[0] = '\0';
        break;
    case 401:
        out->kind = WM_OUTCOME_PAUSE;
        out->platform_id[0] = '\0';
        break;
    default:
        out->kind = WM_OUTCOME_FAILED;
        out->platform_id[0] = '\0';
        snprintf(out->sentence, sizeof out->sentence, "the platform said no");
        break;
    }
}

enum { DAY_MS = 24 * 3600 * 1000, TYPING_MS = 25000 };

struct wm_adapter fake_adapter = {.platform = "fake",
                                  .caps = WM_CAP_READ | WM_CAP_TYPING | WM_CAP_STATUS_REF,
                                  .window_ms = DAY_MS,
                                  .typing_ms = TYPING_MS,
                                  .parse = fake_parse,
                                  .render = fake_render,
                                  .request = fake_request,
                                  .outcome = fake_outcome,
                                  .media = &fake_media};

/* --- the platform behind it ----------------------------------------------------------------------------------- */

static void accept_message(struct platform *p, const char *to, const char *ref, const char *text, char *id,
                           size_t id_size)
{
    struct sent *row = &p->accepted[p->n++ % SENT_MAX];
    snprintf(row->to, sizeof row->to, "%s", to);
    snprintf(row->ref, sizeof row->ref, "%s", ref);
    snprintf(row->text, sizeof row->text, "%s", text);
    snprintf(row->id, sizeof row->id, "out.%s", ref);
    snprintf(id, id_size, "%s", row->id);
    if (p->log) {
        int fd = open(p->log, O_WRONLY | O_APPEND | O_CREAT, 0600);
        dprintf(fd, "%s|%s|%s\n", to, ref, text);
        close(fd);
    }
}

static enum wm_status platform_send(void *self, struct wm_http_call *call,
                                    void (*done)(void *arg, const struct wm_http_result *result), void *arg)
{
    struct platform *p = self;
    if (strcmp(call->method, "GET") == 0) {
        platform_picture(p, call->url, done, arg);
        wm_http_call_free(call);
        return WM_OK;
    }
    char *body = strdup(call->body), *at = body;
    wm_http_call_free(call);
    int kind = (int)strtol(strsep(&at, "|"), NULL, 10);
    const char *to = strsep(&at, "|"), *ref = strsep(&at, "|"), *text = at;
    char id[128] = "";
    struct wm_http_result result = {
        .fate = WM_HTTP_ANSWERED, .status = 200, .retry_after_ms = -1, .body = id};
    pthread_mutex_lock(&p->lock);
    if (kind != WM_OUT_TEXT) {
        p->effects++;
        pthread_mutex_unlock(&p->lock);
        free(body);
        done(arg, &result);
        return WM_OK;
    }
    enum fate (*decide)(size_t call, const char *text) = p->fate;
    enum fate fate = decide ? decide(p->calls, text) : FATE_SENT;
    p->calls++;
    if (fate == FATE_SENT || fate == FATE_LOST || fate == FATE_HOLD)
        accept_message(p, to, ref, text, id, sizeof id);
    if (fate == FATE_HOLD) {
        p->held_done = done;
        p->held_arg = arg;
        p->held_id = strdup(id);
    }
    pthread_mutex_unlock(&p->lock);
    free(body);
    static const int statuses[] = {
        [FATE_SENT] = 200, [FATE_RETRY] = 503, [FATE_FAILED] = 400, [FATE_PAUSE] = 401};
    if (fate == FATE_HOLD)
        return WM_OK;
    if (fate == FATE_LOST || fate == FATE_LOST_EARLY) {
        result.fate = WM_HTTP_LOST;
        result.cause = "the answer is lost";
        *id = '\0';
    } else {
        result.status = statuses[fate];
    }
    result.body_len = strlen(id);
    done(arg, &result);
    return WM_OK;
}

struct wm_transport platform_transport(struct platform *p);
struct wm_transport platform_transport(struct platform *p)
{
    return (struct wm_transport){.self = p, .send = platform_send};
}

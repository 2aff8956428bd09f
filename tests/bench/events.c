/* events.c -- at which rate bodies also become events, with the backlog not growing: the whole of sessions with the
 * WhatsApp adapter, signed nowhere, a model that never answers and a platform that accepts everything.
 *
 *   bench_events FOLDER [bodies/s, 0: as fast as it goes] [seconds] [contacts]
 *
 * Each body is one text message of about 1 KB. Prints what was committed, what became events, and the backlog.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters/registry.h"
#include "kernels/base/clock.h"
#include "sessions/seams.h"
#include "sessions/sessions.h"

enum { OPEN_MAX = 256, LINE_EVERY_US = 1000000 };

static _Atomic int open_bodies;
static _Atomic long refused;

static void done(void *arg, enum wm_status st)
{
    (void)arg;
    open_bodies--;
    refused += st != WM_OK;
}

static enum wm_status render(void *self, const struct wm_chat_message *messages, size_t n, bool first,
                             bool open_reply, struct wm_tokens *out, struct wm_error *err)
{
    (void)self, (void)messages, (void)first, (void)open_reply, (void)err;
    int32_t id = (int32_t)n;
    return wm_tokens_add(out, &id, 1);
}

static enum wm_status close_reply(void *self, struct wm_tokens *out, struct wm_error *err)
{
    (void)self, (void)out, (void)err;
    return WM_OK;
}

/* A model that thinks for ever: what is measured is what comes in. */
static enum wm_status submit(void *self, const struct wm_generate *g, uint64_t *request, struct wm_error *err)
{
    (void)self, (void)g, (void)request, (void)err;
    return WM_OK;
}

static void cancel(void *self, uint64_t request)
{
    (void)self, (void)request;
}

static enum wm_status sink(void *self, struct wm_http_call *call,
                           void (*call_done)(void *arg, const struct wm_http_result *result), void *arg)
{
    (void)self;
    struct wm_http_result result = {
        .status = 200, .body = "{\"success\":true}", .body_len = 16, .retry_after_ms = -1};
    wm_http_call_free(call);
    call_done(arg, &result);
    return WM_OK;
}

static char *body_new(long i, int contacts, size_t *len)
{
    char *body;
    *len = (size_t)asprintf(&body,
                            "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":"
                            "\"100000000000001\",\"changes\":[{\"value\":{"
                            "\"messaging_product\":\"whatsapp\",\"metadata\":{\"display_phone_number\":"
                            "\"15550001111\",\"phone_number_id\":"
                            "\"400000000000002\"},\"contacts\":[{\"profile\":{\"name\":\"Person "
                            "%ld\"},\"wa_id\":\"346%09ld\"}],\"messages\":"
                            "[{\"from\":\"346%09ld\",\"id\":\"wamid.BENCH%020ld\",\"timestamp\":\"%lld\","
                            "\"type\":\"text\",\"text\":{\"body\":"
                            "\"%0500ld\"}}]},\"field\":\"messages\"}]}]}",
                            i % contacts, i % contacts, i % contacts, i, (long long)wm_wall_ms() / 1000, i);
    return body;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_events FOLDER [bodies/s] [seconds] [contacts]\n");
        return 2;
    }
    long rate = argc > 2 ? strtol(argv[2], NULL, 10) : 8000;
    int seconds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 10;
    int contacts = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 10000;
    struct wm_error err = WM_ERROR_INIT;
    const struct wm_adapter *adapter = wm_adapter_find("whatsapp");
    struct wm_channel_config config = {.name = "whatsapp",
                                       .account = "400000000000002",
                                       .app_secrets = {"0123456789abcdef0123456789abcdef"},
                                       .verify_token = "verify-me-verify-me",
                                       .access_token = "EAAG-bench-token-of-no-use",
                                       .graph_url = "http://127.0.0.1:1/v25.0"};
    struct wm_channel_binding binding = {.name = "whatsapp",
                                         .account = "400000000000002",
                                         .adapter = adapter,
                                         .bot = {.name = "bot"},
                                         .settle_quiet_ms = 1200,
                                         .settle_at_most_ms = 8000};
    struct wm_brain brain = {.fingerprint = "bench",
                             .context = 8192,
                             .render = render,
                             .close_reply = close_reply,
                             .submit = submit,
                             .cancel = cancel};
    struct wm_seams seams = {.brain = &brain};
    struct wm_transport transport = {.send = sink};
    struct wm_sessions *sessions = NULL;
    struct wm_sessions_options options = {
        .data = argv[1], .transport = &transport, .channels = &binding, .n_channels = 1, .seams = &seams};
    if (!adapter || adapter->open(&config, &binding.channel, &err) != WM_OK ||
        wm_sessions_open(&options, &sessions, &err) != WM_OK) {
        fprintf(stderr, "bench_events: %s\n", adapter ? err.text : "the WhatsApp adapter is missing");
        return 1;
    }
    struct wm_sessions_stats stats = {0};
    int64_t begin = wm_now_us(), line = begin;
    uint64_t bodies = 0, events = 0;
    for (long i = 0; wm_now_us() < begin + seconds * 1000000LL;) {
        int64_t now = wm_now_us();
        bool due = rate == 0 || i < (now - begin) * rate / 1000000;
        if (due && open_bodies < OPEN_MAX) {
            size_t len;
            char *body = body_new(i, contacts, &len);
            open_bodies++;
            if (wm_sessions_ingest(sessions, "whatsapp", body, len, done, NULL) == WM_OK) {
                i++;
            } else {
                open_bodies--;
                free(body);
            }
        } else {
            usleep(200);
        }
        if (now - line >= LINE_EVERY_US) {
            line = now;
            wm_sessions_stats(sessions, &stats);
            printf("bodies/s %llu  events/s %llu  backlog %llu  its age %lld ms  commits %llu  slowest %.1f "
                   "ms\n",
                   (unsigned long long)(stats.bodies - bodies), (unsigned long long)(stats.events - events),
                   (unsigned long long)stats.backlog, (long long)stats.backlog_age_ms,
                   (unsigned long long)stats.commits, (double)stats.commit_us_max / 1e3);
            fflush(stdout);
            bodies = stats.bodies;
            events = stats.events;
        }
    }
    printf("refused %ld\n", (long)refused);
    wm_sessions_close(sessions, 0);
    return 0;
}

/* sim.c -- fuzzes the simulator with whole scenes: requests divided by lines of "---", time passing between them.
 *
 *   POST /sim/message          method and path, query after '?'
 *   application/json           content type
 *   {"contact": "15550100001", "text": "Hi"}      all that follows is the body
 *   ---
 *
 * Every call bears the right token, so that the fuzzer gets past the door. Whatever comes, each answer has a status,
 * and the state stays JSON.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "adapters/sim/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SCENE_MAX = 16, POSTS_MAX = 64, LINE_MAX_BYTES = 300 };

struct posts {
    uint64_t tickets[POSTS_MAX];
    int n;
    char challenge[64];
};

static void post(void *arg, uint64_t ticket, struct wm_http_call *call)
{
    struct posts *p = arg;
    const char *at = strstr(call->url, "hub.challenge=");
    if (at) {
        size_t len = strcspn(at + 14, "&");
        memcpy(p->challenge, at + 14, len < 63 ? len : 63);
        p->challenge[len < 63 ? len : 63] = '\0';
    }
    if (p->n < POSTS_MAX)
        p->tickets[p->n++] = ticket;
    wm_http_call_free(call);
}

static void publish(void *arg, const char *json, size_t len)
{
    (void)arg;
    json_t *news = json_loadb(json, len, 0, NULL);
    if (!news)
        abort(); /* the page would break on it */
    json_decref(news);
}

/* Copies the line at *at without its end and moves on. */
static void take_line(const char **at, const char *end, char out[LINE_MAX_BYTES])
{
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    size_t len = (size_t)((stop ? stop : end) - *at),
           kept = len < LINE_MAX_BYTES - 1 ? len : LINE_MAX_BYTES - 1;
    memcpy(out, *at, kept);
    out[kept] = '\0';
    *at = stop ? stop + 1 : end;
}

static void play(struct wm_sim *sim, int64_t now_ms, const char *at, const char *end)
{
    char first[LINE_MAX_BYTES], type[LINE_MAX_BYTES];
    take_line(&at, end, first);
    take_line(&at, end, type);
    char *path = strchr(first, ' ');
    if (!path || path[1] != '/')
        return;
    *path++ = '\0';
    char *query = strchr(path, '?');
    if (query)
        *query++ = '\0';
    struct wm_sim_response response;
    wm_sim_handle(sim, now_ms,
                  &(struct wm_sim_request){.method = first,
                                           .path = path,
                                           .query = query,
                                           .authorization = "Bearer token",
                                           .content_type = type,
                                           .host = "127.0.0.1",
                                           .body = at,
                                           .body_len = (size_t)(end - at)},
                  &response);
    if (response.status < 200 || response.status > 599)
        abort();
    wm_buffer_free(&response.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct posts posts = {0};
    struct wm_sim *sim = NULL;
    int64_t now = 1767225600000;
    if (wm_sim_new(&(struct wm_sim_options){.webhook_url = "http://127.0.0.1/hook",
                                            .app_secret = "secret",
                                            .access_token = "token",
                                            .verify_token = "verify",
                                            .account = "1",
                                            .public_url = "http://127.0.0.1:8090",
                                            .time_scale = 1,
                                            .post = post,
                                            .publish = publish,
                                            .arg = &posts},
                   now, &sim, NULL) != WM_OK)
        abort();
    const char *at = (const char *)data, *end = at + size;
    for (int scene = 0; scene < SCENE_MAX && at < end; scene++) {
        const char *stop = memmem(at, (size_t)(end - at), "\n---\n", 5);
        play(sim, now, at, stop ? stop : end);
        at = stop ? stop + 5 : end;
        wm_sim_tick(sim, now);
        for (int i = 0; i < posts.n;
             i++) /* the handshake is answered rightly, webhooks with each status in turn */
            wm_sim_answered(sim, now, posts.tickets[i],
                            &(struct wm_http_result){.fate = WM_HTTP_ANSWERED,
                                                     .status = (scene + i) % 3 == 1 ? 503 : 200,
                                                     .body = posts.challenge,
                                                     .body_len = strlen(posts.challenge)});
        posts.n = 0;
        now += 700;
        wm_sim_tick(sim, now);
    }
    wm_sim_free(sim);
    return 0;
}

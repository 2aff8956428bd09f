/* sim_world.c -- the simulator with a gateway's place beside it. */
#include "tests/adapters/sim_world.h"

#include <openssl/hmac.h>

static void keep_post(void *arg, uint64_t ticket, struct wm_http_call *call)
{
    struct world *w = arg;
    assert_true(w->n_posts < POSTS_MAX);
    w->posts[w->n_posts++] = (struct posted){.ticket = ticket, .call = call, .at_ms = w->now};
}

static void keep_news(void *arg, const char *json, size_t len)
{
    struct world *w = arg;
    json_t *news = json_loadb(json, len, 0, NULL);
    assert_non_null(json_string_value(json_object_get(news, "type")));
    json_decref(news);
    w->published++;
}

struct wm_sim_options options_of(struct world *w)
{
    return (struct wm_sim_options){.webhook_url = "http://127.0.0.1:8080/webhooks/whatsapp",
                                   .app_secret = WORLD_SECRET,
                                   .access_token = WORLD_TOKEN,
                                   .verify_token = WORLD_VERIFY_TOKEN,
                                   .account = WORLD_ACCOUNT,
                                   .public_url = "http://127.0.0.1:8090",
                                   .time_scale = 1,
                                   .seed = 7,
                                   .post = keep_post,
                                   .publish = keep_news,
                                   .arg = w};
}

struct world *world_new(double time_scale)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->now = WORLD_BEGIN;
    struct wm_sim_options options = options_of(w);
    options.time_scale = time_scale;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_sim_new(&options, w->now, &w->sim, &err), WM_OK);
    return w;
}

void world_free(struct world *w)
{
    for (int i = 0; i < w->n_posts; i++)
        wm_http_call_free(w->posts[i].call);
    wm_buffer_free(&w->last.body);
    wm_sim_free(w->sim);
    free(w);
}

void answer_body(struct world *w, int i, int status, const char *body)
{
    assert_true(i < w->n_posts && !w->posts[i].answered);
    w->posts[i].answered = true;
    wm_sim_answered(w->sim, w->now, w->posts[i].ticket,
                    &(struct wm_http_result){.fate = WM_HTTP_ANSWERED,
                                             .status = status,
                                             .body = body,
                                             .body_len = strlen(body),
                                             .retry_after_ms = -1});
    wm_sim_tick(w->sim, w->now);
}

void answer(struct world *w, int i, int status)
{
    answer_body(w, i, status, "");
}

/* 200 to everything that is open, until nothing is. */
void answer_all(struct world *w)
{
    for (int i = 0; i < w->n_posts; i++)
        if (!w->posts[i].answered)
            answer(w, i, 200);
}

/* Time passes; everything is acknowledged at once. */
void pass(struct world *w, int64_t ms)
{
    for (int64_t end = w->now + ms; w->now < end;) {
        int64_t next = wm_sim_tick(w->sim, w->now);
        answer_all(w);
        w->now = next > w->now ? (next < end ? next : end) : w->now + 1;
    }
    wm_sim_tick(w->sim, w->now);
    answer_all(w);
}

void challenge_of(const struct world *w, int i, char out[32])
{
    const char *at = strstr(w->posts[i].call->url, "hub.challenge=");
    assert_non_null(at);
    snprintf(out, 32, "%.*s", (int)strcspn(at + 14, "&"), at + 14);
}

/* A world whose gateway is verified; its posts begin at 1. */
struct world *verified_world(double time_scale)
{
    struct world *w = world_new(time_scale);
    char challenge[32];
    wm_sim_tick(w->sim, w->now);
    assert_int_equal(w->n_posts, 1);
    challenge_of(w, 0, challenge);
    answer_body(w, 0, 200, challenge);
    return w;
}

int request(struct world *w, const struct wm_sim_request *r)
{
    wm_buffer_free(&w->last.body);
    wm_sim_handle(w->sim, w->now, r, &w->last);
    wm_sim_tick(w->sim, w->now);
    return w->last.status;
}

int verb(struct world *w, const char *path, const char *body)
{
    return request(w, &(struct wm_sim_request){.method = "POST",
                                               .path = path,
                                               .content_type = "application/json",
                                               .body = body,
                                               .body_len = strlen(body)});
}

int get(struct world *w, const char *path, const char *query)
{
    return request(w, &(struct wm_sim_request){.method = "GET", .path = path, .query = query});
}

int graph(struct world *w, const char *body)
{
    return request(w, &(struct wm_sim_request){.method = "POST",
                                               .path = "/v25.0/100000000000001/messages",
                                               .authorization = "Bearer " WORLD_TOKEN,
                                               .content_type = "application/json",
                                               .body = body,
                                               .body_len = strlen(body)});
}

const char *const send_hello = "{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\",\"type\":\"text\","
                               "\"text\":{\"body\":\"Hello\"},\"biz_opaque_callback_data\":\"job-1\"}";

char *send_body(const char *piece, int pieces, int ref_len)
{
    struct wm_buffer body = WM_BUFFER(1 << 20);
    wm_buffer_puts(&body,
                   "{\"messaging_product\":\"whatsapp\",\"to\":\"+1 (555) 010-0001\",\"text\":{\"body\":\"");
    for (int i = 0; i < pieces; i++)
        wm_buffer_puts(&body, piece);
    wm_buffer_printf(&body, "\"},\"biz_opaque_callback_data\":\"%0*d\"}", ref_len, 0);
    assert_false(body.failed);
    return wm_buffer_take(&body, NULL);
}

json_t *last_json(const struct world *w)
{
    json_t *json = json_loadb(w->last.body.data, w->last.body.len, 0, NULL);
    assert_non_null(json);
    return json;
}

int last_code(const struct world *w)
{
    json_t *json = last_json(w);
    int code = (int)json_integer_value(json_object_get(json_object_get(json, "error"), "code"));
    json_decref(json);
    return code;
}

/* A person writes; the message's webhook is acknowledged and the window is open. */
void write_and_acknowledge(struct world *w)
{
    assert_int_equal(verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Hi\"}"), 200);
    answer_all(w);
}

/* value of the first change of posted body i: new */
json_t *value_of(const struct world *w, int i)
{
    json_t *body = json_loads(w->posts[i].call->body, 0, NULL);
    assert_non_null(body);
    json_t *change =
        json_array_get(json_object_get(json_array_get(json_object_get(body, "entry"), 0), "changes"), 0);
    json_t *value = json_incref(json_object_get(change, "value"));
    json_decref(body);
    return value;
}

static void text_of(const struct world *w, int i, char out[64])
{
    json_t *value = value_of(w, i);
    const json_t *message = json_array_get(json_object_get(value, "messages"), 0);
    const char *text = json_string_value(json_object_get(json_object_get(message, "text"), "body"));
    snprintf(out, 64, "%s", text ? text : "");
    json_decref(value);
}

void assert_text(const struct world *w, int i, const char *want)
{
    char text[64];
    assert_true(i < w->n_posts);
    text_of(w, i, text);
    assert_string_equal(text, want);
}

const char *header_of(const struct wm_http_call *call, const char *name)
{
    for (int i = 0; i < WM_HTTP_CALL_HEADERS && call->headers[i]; i++)
        if (strncmp(call->headers[i], name, strlen(name)) == 0)
            return call->headers[i] + strlen(name);
    return NULL;
}

bool signed_rightly(const struct wm_http_call *call)
{
    unsigned char mac[32];
    char want[72] = "sha256=";
    HMAC(EVP_sha256(), WORLD_SECRET, (int)strlen(WORLD_SECRET), (const unsigned char *)call->body,
         call->body_len, mac, NULL);
    for (int i = 0; i < 32; i++)
        snprintf(want + 7 + 2 * i, 3, "%02x", mac[i]);
    const char *got = header_of(call, "X-Hub-Signature-256: ");
    return got && strcmp(got, want) == 0;
}

/* How many messages of the business have that ref. */
int sends_with(struct world *w, const char *ref)
{
    int n = 0;
    assert_int_equal(get(w, "/sim/sends", NULL), 200);
    json_t *json = last_json(w), *send;
    size_t i;
    json_array_foreach(json_object_get(json, "sends"), i, send)
    {
        const char *have = json_string_value(json_object_get(send, "ref"));
        n += have && strcmp(have, ref) == 0;
    }
    json_decref(json);
    return n;
}

/* The status of the most recent message from that side. */
void assert_mark(struct world *w, const char *from, const char *want)
{
    assert_int_equal(get(w, "/sim/state", NULL), 200);
    json_t *json = last_json(w), *messages = json_object_get(json, "messages");
    const char *got = "none";
    for (size_t i = json_array_size(messages); i-- > 0;) {
        const json_t *m = json_array_get(messages, i);
        if (strcmp(json_string_value(json_object_get(m, "from")), from) != 0)
            continue;
        got = json_string_value(json_object_get(m, "status"));
        break;
    }
    assert_string_equal(got, want);
    json_decref(json);
}

bool typing_shows(struct world *w)
{
    assert_int_equal(get(w, "/sim/state", NULL), 200);
    json_t *json = last_json(w);
    bool typing =
        json_is_true(json_object_get(json_array_get(json_object_get(json, "contacts"), 0), "typing"));
    json_decref(json);
    return typing;
}

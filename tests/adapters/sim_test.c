/* sim_test.c -- the simulator, with time driven by hand: what it posts, when it posts again, what it accepts, what it
 * refuses, and each fault. The last tests put the real WhatsApp adapter against it: each checks the other.
 */
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/hmac.h>

#include "adapters/registry.h"
#include "adapters/sim/sim.h"

enum { POSTS_MAX = 4096 };
static const int64_t BEGIN = 1767225600000;

static const char secret[] = "0123456789abcdef0123456789abcdef", token[] = "EAATESTTOKEN1234567890",
                  verify_token[] = "verify/token&more=1+2%3", account[] = "100000000000001",
                  phone[] = "15550100001";

struct posted {
    uint64_t ticket;
    struct wm_http_call *call;
    int64_t at_ms;
    bool answered;
};

/* The gateway's place: keeps what is posted until a test answers. */
struct world {
    struct wm_sim *sim;
    int64_t now;
    struct posted posts[POSTS_MAX];
    int n_posts;
    int published;
    struct wm_sim_response last;
};

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

static struct wm_sim_options options_of(struct world *w)
{
    return (struct wm_sim_options){.webhook_url = "http://127.0.0.1:8080/webhooks/whatsapp",
                                   .app_secret = secret,
                                   .access_token = token,
                                   .verify_token = verify_token,
                                   .account = account,
                                   .public_url = "http://127.0.0.1:8090",
                                   .time_scale = 1,
                                   .seed = 7,
                                   .post = keep_post,
                                   .publish = keep_news,
                                   .arg = w};
}

static struct world *world_new(double time_scale)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->now = BEGIN;
    struct wm_sim_options options = options_of(w);
    options.time_scale = time_scale;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_sim_new(&options, w->now, &w->sim, &err), WM_OK);
    return w;
}

static void world_free(struct world *w)
{
    for (int i = 0; i < w->n_posts; i++)
        wm_http_call_free(w->posts[i].call);
    wm_buffer_free(&w->last.body);
    wm_sim_free(w->sim);
    free(w);
}

static void answer_body(struct world *w, int i, int status, const char *body)
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

static void answer(struct world *w, int i, int status)
{
    answer_body(w, i, status, "");
}

/* 200 to everything that is open, until nothing is. */
static void answer_all(struct world *w)
{
    for (int i = 0; i < w->n_posts; i++)
        if (!w->posts[i].answered)
            answer(w, i, 200);
}

/* Time passes; everything is acknowledged at once. */
static void pass(struct world *w, int64_t ms)
{
    for (int64_t end = w->now + ms; w->now < end;) {
        int64_t next = wm_sim_tick(w->sim, w->now);
        answer_all(w);
        w->now = next > w->now ? (next < end ? next : end) : w->now + 1;
    }
    wm_sim_tick(w->sim, w->now);
    answer_all(w);
}

static void challenge_of(const struct world *w, int i, char out[32])
{
    const char *at = strstr(w->posts[i].call->url, "hub.challenge=");
    assert_non_null(at);
    snprintf(out, 32, "%.*s", (int)strcspn(at + 14, "&"), at + 14);
}

/* A world whose gateway is verified; its posts begin at 1. */
static struct world *verified_world(double time_scale)
{
    struct world *w = world_new(time_scale);
    char challenge[32];
    wm_sim_tick(w->sim, w->now);
    assert_int_equal(w->n_posts, 1);
    challenge_of(w, 0, challenge);
    answer_body(w, 0, 200, challenge);
    return w;
}

static int request(struct world *w, const struct wm_sim_request *r)
{
    wm_buffer_free(&w->last.body);
    wm_sim_handle(w->sim, w->now, r, &w->last);
    wm_sim_tick(w->sim, w->now);
    return w->last.status;
}

static int verb(struct world *w, const char *path, const char *body)
{
    return request(w, &(struct wm_sim_request){.method = "POST",
                                               .path = path,
                                               .content_type = "application/json",
                                               .body = body,
                                               .body_len = strlen(body)});
}

static int get(struct world *w, const char *path, const char *query)
{
    return request(w, &(struct wm_sim_request){.method = "GET", .path = path, .query = query});
}

static int graph(struct world *w, const char *body)
{
    return request(w, &(struct wm_sim_request){.method = "POST",
                                               .path = "/v25.0/100000000000001/messages",
                                               .authorization = "Bearer EAATESTTOKEN1234567890",
                                               .content_type = "application/json",
                                               .body = body,
                                               .body_len = strlen(body)});
}

static const char *send_hello =
    "{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\",\"type\":\"text\","
    "\"text\":{\"body\":\"Hello\"},\"biz_opaque_callback_data\":\"job-1\"}";

static json_t *last_json(const struct world *w)
{
    json_t *json = json_loadb(w->last.body.data, w->last.body.len, 0, NULL);
    assert_non_null(json);
    return json;
}

static int last_code(const struct world *w)
{
    json_t *json = last_json(w);
    int code = (int)json_integer_value(json_object_get(json_object_get(json, "error"), "code"));
    json_decref(json);
    return code;
}

/* A person writes; the message's webhook is acknowledged and the window is open. */
static void write_and_acknowledge(struct world *w)
{
    assert_int_equal(verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Hi\"}"), 200);
    answer_all(w);
}

/* value of the first change of posted body i: new */
static json_t *value_of(const struct world *w, int i)
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

static void assert_text(const struct world *w, int i, const char *want)
{
    char text[64];
    assert_true(i < w->n_posts);
    text_of(w, i, text);
    assert_string_equal(text, want);
}

static const char *header_of(const struct wm_http_call *call, const char *name)
{
    for (int i = 0; i < WM_HTTP_CALL_HEADERS && call->headers[i]; i++)
        if (strncmp(call->headers[i], name, strlen(name)) == 0)
            return call->headers[i] + strlen(name);
    return NULL;
}

static bool signed_rightly(const struct wm_http_call *call)
{
    unsigned char mac[32];
    char want[72] = "sha256=";
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)call->body, call->body_len, mac,
         NULL);
    for (int i = 0; i < 32; i++)
        snprintf(want + 7 + 2 * i, 3, "%02x", mac[i]);
    const char *got = header_of(call, "X-Hub-Signature-256: ");
    return got && strcmp(got, want) == 0;
}

/* How many messages of the business have that ref. */
static int sends_with(struct world *w, const char *ref)
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
static void assert_mark(struct world *w, const char *from, const char *want)
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

static bool typing_shows(struct world *w)
{
    assert_int_equal(get(w, "/sim/state", NULL), 200);
    json_t *json = last_json(w);
    bool typing =
        json_is_true(json_object_get(json_array_get(json_object_get(json, "contacts"), 0), "typing"));
    json_decref(json);
    return typing;
}

/* --- webhooks ------------------------------------------------------------------------------------------------ */

static void an_option_that_is_missing_is_named(void **state)
{
    (void)state;
    struct wm_sim *sim = NULL;
    struct wm_sim_options options = options_of(NULL);
    options.app_secret = "";
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_sim_new(&options, BEGIN, &sim, &err), WM_EINVAL);
    assert_non_null(strstr(err.text, "app_secret"));
    options = options_of(NULL);
    options.time_scale = 0;
    err = (struct wm_error)WM_ERROR_INIT;
    assert_int_equal(wm_sim_new(&options, BEGIN, &sim, &err), WM_EINVAL);
    assert_null(sim);
}

static void nothing_is_posted_before_the_gateway_answers_the_handshake(void **state)
{
    (void)state;
    struct world *w = world_new(1);
    assert_int_equal(verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Hi\"}"), 200);
    assert_int_equal(w->n_posts, 1);
    assert_string_equal(w->posts[0].call->method, "GET");
    assert_non_null(strstr(w->posts[0].call->url, "?hub.mode=subscribe&hub.challenge="));
    assert_non_null(strstr(w->posts[0].call->url, "&hub.verify_token=%76%65"));
    answer_body(w, 0, 200, "not the challenge");
    w->now += 1000;
    wm_sim_tick(w->sim, w->now);
    assert_int_equal(w->n_posts, 2);
    assert_string_equal(w->posts[1].call->method, "GET"); /* asks again, and posts nothing */
    char challenge[32];
    challenge_of(w, 1, challenge);
    answer_body(w, 1, 200, challenge);
    assert_int_equal(w->n_posts, 3);
    assert_text(w, 2, "Hi");
    world_free(w);
}

static void a_message_is_posted_in_metas_shape_spelling_and_signature(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    assert_int_equal(verb(w, "/sim/message",
                          "{\"contact\":\"15550100001\",\"name\":\"Ana\",\"text\":\"Ol\xc3\xa1 "
                          "\xf0\x9f\x98\x80 a/b \\\\u00C1\"}"),
                     200);
    assert_int_equal(w->n_posts, 2);
    const struct wm_http_call *call = w->posts[1].call;
    assert_string_equal(call->method, "POST");
    assert_string_equal(call->url, "http://127.0.0.1:8080/webhooks/whatsapp");
    assert_string_equal(header_of(call, "Content-Type: "), "application/json");
    assert_true(signed_rightly(call));
    assert_non_null(strstr(call->body, "Ol\\u00e1 \\ud83d\\ude00 a\\/b \\\\u00C1"));
    json_t *value = value_of(w, 1);
    const json_t *message = json_array_get(json_object_get(value, "messages"), 0);
    const json_t *contact = json_array_get(json_object_get(value, "contacts"), 0);
    assert_string_equal(json_string_value(json_object_get(message, "from")), phone);
    assert_string_equal(json_string_value(json_object_get(message, "timestamp")), "1767225600");
    assert_memory_equal(json_string_value(json_object_get(message, "id")), "wamid.", 6);
    assert_string_equal(json_string_value(json_object_get(contact, "wa_id")), phone);
    assert_string_equal(json_string_value(json_object_get(json_object_get(contact, "profile"), "name")),
                        "Ana");
    json_decref(value);
    world_free(w);
}

static void redelivery_is_immediate_then_doubles_up_to_six_hours_and_ends_after_seven_days(void **state)
{
    (void)state;
    static const double scales[] = {1, 60};
    for (size_t s = 0; s < COUNT(scales); s++) {
        struct world *w = verified_world(scales[s]);
        verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Hi\"}");
        int64_t born = w->now, expected = 0;
        int attempts = 1;
        for (; w->n_posts == attempts + 1; attempts++) {
            assert_true(attempts < 100);
            int64_t wait = attempts == 1 ? 0 : (int64_t)1000 << (attempts - 2 < 15 ? attempts - 2 : 15);
            expected = wait < 21600000 ? wait : 21600000;
            answer(w, attempts, 500);
            while (w->n_posts == attempts + 1 && w->now < born + (int64_t)700000000) {
                int64_t next = wm_sim_tick(w->sim, w->now);
                if (w->n_posts == attempts + 1)
                    w->now = next;
            }
            if (w->n_posts > attempts + 1)
                CHECK_NEAR((double)(w->posts[attempts + 1].at_ms - w->posts[attempts].at_ms),
                           (double)expected / scales[s], 1.0);
        }
        int64_t lived = w->posts[w->n_posts - 1].at_ms - born;
        CHECK_NEAR((double)lived * scales[s], 7 * 86400e3 - 21600e3 / 2, 21600e3 / 2);
        world_free(w);
    }
}

static void nothing_but_200_acknowledges(void **state)
{
    (void)state;
    static const int statuses[] = {201, 204, 302, 400, 401, 404, 500, 503};
    for (size_t i = 0; i < COUNT(statuses); i++) {
        struct world *w = verified_world(1);
        verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Hi\"}");
        answer(w, 1, statuses[i]);
        assert_int_equal(w->n_posts, 3);
        assert_memory_equal(w->posts[1].call->body, w->posts[2].call->body, w->posts[1].call->body_len);
        assert_mark(w, "person", "sent");
        answer(w, 2, 200);
        assert_mark(w, "person", "delivered");
        world_free(w);
    }
}

static void a_contacts_messages_wait_for_each_other_and_nobody_elses(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/burst", "{\"contact\":\"15550100001\",\"texts\":[\"one\",\"two\",\"three\"]}");
    verb(w, "/sim/message", "{\"contact\":\"15550100002\",\"text\":\"other\"}");
    assert_int_equal(w->n_posts, 3);
    assert_text(w, 1, "one");
    assert_text(w, 2, "other");
    answer(w, 1, 503); /* comes again at once, still alone */
    assert_int_equal(w->n_posts, 4);
    assert_text(w, 3, "one");
    answer(w, 3, 200);
    assert_text(w, 4, "two");
    answer(w, 4, 200);
    assert_text(w, 5, "three");
    world_free(w);
}

static void a_message_that_fails_for_thirty_seconds_is_overtaken(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/burst", "{\"contact\":\"15550100001\",\"texts\":[\"one\",\"two\"]}");
    w->now += 29999;
    wm_sim_tick(w->sim, w->now);
    assert_int_equal(w->n_posts, 2); /* "one" still has no answer */
    w->now += 1;
    wm_sim_tick(w->sim, w->now);
    assert_int_equal(w->n_posts, 3);
    assert_text(w, 2, "two");
    world_free(w);
}

static void a_burst_of_twenty_arrives_whole_and_in_order(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    assert_int_equal(verb(w, "/sim/burst", "{\"contact\":\"15550100001\",\"count\":20}"), 200);
    answer_all(w);
    assert_int_equal(w->n_posts, 21);
    for (int i = 1; i <= 20; i++) {
        char want[64];
        snprintf(want, sizeof want, "Message %d of 20", i);
        assert_text(w, i, want);
    }
    world_free(w);
}

/* --- faults of webhooks -------------------------------------------------------------------------------------- */

static void a_duplicate_is_the_same_bytes_twice(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/fault", "{\"kind\":\"duplicate\"}");
    write_and_acknowledge(w);
    assert_int_equal(w->n_posts, 3);
    assert_string_equal(w->posts[1].call->body, w->posts[2].call->body);
    write_and_acknowledge(w); /* once means once */
    assert_int_equal(w->n_posts, 4);
    world_free(w);
}

static void a_reordered_message_is_overtaken_by_the_next(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/fault", "{\"kind\":\"reorder\"}");
    verb(w, "/sim/burst", "{\"contact\":\"15550100001\",\"texts\":[\"one\",\"two\"]}");
    assert_text(w, 1, "two");
    pass(w, 2000);
    assert_text(w, 2, "one");
    world_free(w);
}

static void a_lost_acknowledgement_brings_the_webhook_again(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/fault", "{\"kind\":\"lost_ack\"}");
    verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Hi\"}");
    answer(w, 1, 200);
    assert_int_equal(w->n_posts, 3);
    assert_text(w, 2, "Hi");
    answer(w, 2, 200);
    assert_int_equal(w->n_posts, 3);
    world_free(w);
}

static void a_bad_signature_is_bad_once(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/fault", "{\"kind\":\"bad_signature\"}");
    verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Hi\"}");
    assert_false(signed_rightly(w->posts[1].call));
    answer(w, 1, 401);
    assert_true(signed_rightly(w->posts[2].call));
    world_free(w);
}

static void a_fault_of_one_contact_spares_the_others(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/fault", "{\"kind\":\"duplicate\",\"contact\":\"15550100002\"}");
    write_and_acknowledge(w);
    assert_int_equal(w->n_posts, 2);
    verb(w, "/sim/message", "{\"contact\":\"15550100002\",\"text\":\"Hi\"}");
    answer_all(w);
    assert_int_equal(w->n_posts, 4);
    world_free(w);
}

static void faults_by_chance_repeat_with_their_seed(void **state)
{
    (void)state;
    int posts[2];
    for (int run = 0; run < 2; run++) {
        struct world *w = verified_world(1);
        verb(w, "/sim/fault", "{\"kind\":\"duplicate\",\"probability\":0.3}");
        verb(w, "/sim/burst", "{\"contact\":\"15550100001\",\"count\":200}");
        answer_all(w);
        posts[run] = w->n_posts - 1 - 200;
        world_free(w);
    }
    assert_int_equal(posts[0], posts[1]);
    assert_in_range(posts[0], 30, 90);
}

/* --- Graph --------------------------------------------------------------------------------------------------- */

static void an_accepted_message_is_sent_delivered_and_read_with_our_reference(void **state)
{
    (void)state;
    static const char *const want[] = {"sent", "delivered", "read"};
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    int before = w->n_posts;
    assert_int_equal(graph(w, send_hello), 200);
    json_t *json = last_json(w);
    char id[128];
    snprintf(id, sizeof id, "%s",
             json_string_value(json_object_get(json_array_get(json_object_get(json, "messages"), 0), "id")));
    json_decref(json);
    pass(w, 5000);
    assert_int_equal(w->n_posts, before + 3);
    for (int i = 0; i < 3; i++) {
        json_t *value = value_of(w, before + i);
        const json_t *status = json_array_get(json_object_get(value, "statuses"), 0);
        assert_string_equal(json_string_value(json_object_get(status, "status")), want[i]);
        assert_string_equal(json_string_value(json_object_get(status, "id")), id);
        assert_string_equal(json_string_value(json_object_get(status, "biz_opaque_callback_data")), "job-1");
        assert_string_equal(json_string_value(json_object_get(status, "recipient_id")), phone);
        assert_true(signed_rightly(w->posts[before + i].call));
        json_decref(value);
    }
    assert_int_equal(sends_with(w, "job-1"), 1);
    world_free(w);
}

static void a_chat_on_the_page_is_read_when_it_is_looked_at(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    assert_int_equal(verb(w, "/sim/open", "{\"contact\":\"15550100001\"}"), 200);
    assert_int_equal(verb(w, "/sim/open", "{\"contact\":null}"), 200); /* looks elsewhere */
    graph(w, send_hello);
    pass(w, 60000);
    assert_mark(w, "business", "delivered");
    verb(w, "/sim/open", "{\"contact\":\"15550100001\"}");
    pass(w, 1000);
    assert_mark(w, "business", "read");
    world_free(w);
}

static void a_call_that_meta_would_refuse_is_refused_with_its_code(void **state)
{
    (void)state;
    char long_text[6000], long_ref[1200];
    int n = snprintf(
        long_text, sizeof long_text,
        "{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\",\"type\":\"text\",\"text\":{\"body\":\"");
    memset(long_text + n, 'x', 4097);
    strcpy(long_text + n + 4097, "\"}}");
    n = snprintf(long_ref, sizeof long_ref,
                 "{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\",\"type\":\"text\",\"text\":{"
                 "\"body\":\"x\"},"
                 "\"biz_opaque_callback_data\":\"");
    memset(long_ref + n, 'r', 513);
    strcpy(long_ref + n + 513, "\"}");
    const struct {
        const char *body;
        int status, code;
    } cases[] = {
        {"", 400, 100},
        {"[]", 400, 100},
        {"{\"to\":\"15550100001\",\"text\":{\"body\":\"x\"}}", 400, 100},
        {"{\"messaging_product\":\"sms\",\"to\":\"15550100001\",\"text\":{\"body\":\"x\"}}", 400, 100},
        {"{\"messaging_product\":\"whatsapp\",\"text\":{\"body\":\"x\"}}", 400, 100},
        {"{\"messaging_product\":\"whatsapp\",\"to\":7,\"text\":{\"body\":\"x\"}}", 400, 100},
        {"{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\",\"type\":\"poem\"}", 400, 100},
        {"{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\",\"type\":\"text\"}", 400, 131008},
        {"{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\",\"type\":\"text\",\"text\":{\"body\":"
         "\"\"}}",
         400, 131008},
        {"{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\",\"type\":\"text\",\"text\":{\"body\":3}"
         "}",
         400, 131008},
        {"{\"messaging_product\":\"whatsapp\",\"recipient_type\":\"group\",\"to\":\"15550100001\",\"text\":{"
         "\"body\":\"x\"}}",
         400, 131009},
        {"{\"messaging_product\":\"whatsapp\",\"to\":\"4912345\",\"type\":\"text\",\"text\":{\"body\":\"x\"}"
         "}",
         400, 131026},
        {"{\"messaging_product\":\"whatsapp\",\"status\":\"read\"}", 400, 131008},
        {"{\"messaging_product\":\"whatsapp\",\"status\":\"read\",\"message_id\":\"wamid.X\"}", 400, 131009},
        {"{\"messaging_product\":\"whatsapp\",\"status\":\"seen\",\"message_id\":\"wamid.X\"}", 400, 100},
        {long_text, 400, 100},
        {long_ref, 400, 100},
    };
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(graph(w, cases[i].body), cases[i].status);
        assert_int_equal(last_code(w), cases[i].code);
    }
    assert_int_equal(get(w, "/sim/sends", NULL), 200);
    json_t *json = last_json(w);
    assert_int_equal(json_array_size(json_object_get(json, "sends")), 0);
    json_decref(json);
    world_free(w);
}

static void the_longest_text_and_reference_are_accepted(void **state)
{
    (void)state;
    char body[8000];
    int n = snprintf(body, sizeof body,
                     "{\"messaging_product\":\"whatsapp\",\"to\":\"+1 (555) 010-0001\",\"type\":\"text\","
                     "\"biz_opaque_callback_data\":\"");
    memset(body + n, 'r', 512);
    n += 512;
    n += snprintf(body + n, sizeof body - (size_t)n, "\",\"text\":{\"body\":\"");
    memset(body + n, 'x', 4096);
    strcpy(body + n + 4096, "\"}}");
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    assert_int_equal(graph(w, body), 200);
    world_free(w);
}

static void a_call_without_the_right_token_is_401_190(void **state)
{
    (void)state;
    static const char *const given[] = {NULL,
                                        "",
                                        "Bearer ",
                                        "Bearer wrong",
                                        "Basic EAATESTTOKEN1234567890",
                                        "Bearer EAATESTTOKEN1234567890x",
                                        "Bearer EAATESTTOKEN123456789"};
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    for (size_t i = 0; i < COUNT(given); i++) {
        assert_int_equal(request(w, &(struct wm_sim_request){.method = "POST",
                                                             .path = "/v25.0/100000000000001/messages",
                                                             .authorization = given[i],
                                                             .body = send_hello,
                                                             .body_len = strlen(send_hello)}),
                         401);
        assert_int_equal(last_code(w), 190);
    }
    world_free(w);
}

static void an_unknown_graph_address_is_code_100(void **state)
{
    (void)state;
    static const char *const paths[] = {"/v25.0",
                                        "/v25.0/",
                                        "/v25/1/messages",
                                        "/v25.0/999/messages",
                                        "/v25.0/100000000000001",
                                        "/v25.0/100000000000001/friends",
                                        "/v2x/1/messages"};
    struct world *w = verified_world(1);
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_int_equal(request(w, &(struct wm_sim_request){.method = "POST",
                                                             .path = paths[i],
                                                             .authorization = "Bearer EAATESTTOKEN1234567890",
                                                             .body = send_hello,
                                                             .body_len = strlen(send_hello)}),
                         400);
        assert_int_equal(last_code(w), 100);
    }
    world_free(w);
}

static void a_fault_refuses_a_send_once_and_nothing_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        int status, code;
    } cases[] = {{"{\"kind\":\"server_error\"}", 500, 131000},
                 {"{\"kind\":\"rate_limit\"}", 400, 130429},
                 {"{\"kind\":\"pair_limit\"}", 400, 131056},
                 {"{\"kind\":\"error\",\"code\":190}", 401, 190},
                 {"{\"kind\":\"error\",\"code\":424242}", 400, 424242}};
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(verb(w, "/sim/fault", cases[i].fault), 200);
        assert_int_equal(graph(w, send_hello), cases[i].status);
        assert_int_equal(last_code(w), cases[i].code);
    }
    assert_int_equal(sends_with(w, "job-1"), 0);
    assert_int_equal(verb(w, "/sim/fault", "{\"kind\":\"html_error\"}"), 200);
    assert_int_equal(graph(w, send_hello), 500);
    assert_string_equal(w->last.content_type, "text/html; charset=utf-8");
    assert_int_equal(graph(w, send_hello), 200);
    assert_int_equal(sends_with(w, "job-1"), 1);
    world_free(w);
}

static void a_lost_answer_is_dropped_after_the_message_was_accepted(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    verb(w, "/sim/fault", "{\"kind\":\"lost_answer\"}");
    graph(w, send_hello);
    assert_true(w->last.drop);
    assert_int_equal(sends_with(w, "job-1"), 1);
    pass(w, 5000);
    assert_mark(w, "business", "read"); /* its statuses settle what the gateway cannot know */
    graph(w, send_hello);
    assert_false(w->last.drop);
    world_free(w);
}

static void a_slow_answer_is_delayed(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    verb(w, "/sim/fault", "{\"kind\":\"slow\",\"delay_ms\":2500}");
    assert_int_equal(graph(w, send_hello), 200);
    assert_int_equal(w->last.delay_ms, 2500);
    world_free(w);
}

static void a_closed_window_and_a_dead_phone_fail_by_status(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        int64_t later;
        int code;
    } cases[] = {{NULL, 86400001, 131047},
                 {"{\"kind\":\"window_closed\"}", 0, 131047},
                 {"{\"kind\":\"undeliverable\"}", 0, 131026}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct world *w = verified_world(1);
        write_and_acknowledge(w);
        w->now += cases[i].later;
        if (cases[i].fault)
            verb(w, "/sim/fault", cases[i].fault);
        assert_int_equal(graph(w, send_hello), 200);
        pass(w, 3000);
        json_t *value = value_of(w, w->n_posts - 1);
        const json_t *status = json_array_get(json_object_get(value, "statuses"), 0);
        const json_t *error = json_array_get(json_object_get(status, "errors"), 0);
        assert_string_equal(json_string_value(json_object_get(status, "status")), "failed");
        assert_int_equal(json_integer_value(json_object_get(error, "code")), cases[i].code);
        json_decref(value);
        assert_mark(w, "business", "failed");
        world_free(w);
    }
}

static void the_window_is_open_for_exactly_a_day(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    w->now += 86400000;
    graph(w, send_hello);
    pass(w, 5000);
    assert_mark(w, "business", "read");
    world_free(w);
}

static void the_pair_limit_lends_45_messages_and_wants_them_back(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    verb(w, "/sim/fault", "{\"kind\":\"limits\"}");
    for (int i = 0; i < 45; i++)
        assert_int_equal(graph(w, send_hello), 200);
    assert_int_equal(graph(w, send_hello), 400);
    assert_int_equal(last_code(w), 131056);
    w->now += 45 * 6000 - 1;
    assert_int_equal(graph(w, send_hello), 400);
    w->now += 1;
    assert_int_equal(graph(w, send_hello), 200);
    world_free(w);
}

static void a_number_takes_eighty_messages_a_second(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/fault", "{\"kind\":\"limits\"}");
    char body[256], contact[64];
    for (int i = 0; i < 81; i++) {
        snprintf(contact, sizeof contact, "{\"contact\":\"1555020%04d\",\"text\":\"Hi\"}", i);
        verb(w, "/sim/message", contact);
        snprintf(body, sizeof body,
                 "{\"messaging_product\":\"whatsapp\",\"to\":\"1555020%04d\",\"text\":{\"body\":\"Hello\"}}",
                 i);
        assert_int_equal(graph(w, body), i < 80 ? 200 : 400);
    }
    assert_int_equal(last_code(w), 130429);
    w->now += 1000;
    assert_int_equal(graph(w, body), 200);
    world_free(w);
}

static void a_read_mark_reads_what_came_before_and_typing_ends_with_the_reply_or_after_25_s(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/burst", "{\"contact\":\"15550100001\",\"count\":3}");
    answer_all(w);
    json_t *value = value_of(w, 3);
    char body[512];
    snprintf(body, sizeof body,
             "{\"messaging_product\":\"whatsapp\",\"status\":\"read\",\"message_id\":\"%s\",\"typing_"
             "indicator\":{\"type\":\"text\"}}",
             json_string_value(json_object_get(json_array_get(json_object_get(value, "messages"), 0), "id")));
    json_decref(value);
    assert_int_equal(graph(w, body), 200);
    assert_mark(w, "person", "read");
    assert_true(typing_shows(w));
    pass(w, 24999);
    assert_true(typing_shows(w));
    pass(w, 1);
    assert_false(typing_shows(w));
    assert_int_equal(graph(w, body), 200);
    assert_true(typing_shows(w));
    assert_int_equal(graph(w, send_hello), 200);
    assert_false(typing_shows(w));
    world_free(w);
}

static void sends_are_paged_in_order(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    for (int i = 0; i < 5; i++)
        graph(w, send_hello);
    char query[64] = "after=0&limit=2";
    int seen = 0;
    for (json_int_t last = 0;;) {
        assert_int_equal(get(w, "/sim/sends", query), 200);
        json_t *json = last_json(w), *sends = json_object_get(json, "sends");
        size_t n = json_array_size(sends);
        for (size_t i = 0; i < n; i++) {
            json_int_t seq = json_integer_value(json_object_get(json_array_get(sends, i), "seq"));
            assert_true(seq > last);
            last = seq;
        }
        seen += (int)n;
        snprintf(query, sizeof query, "limit=2&after=%lld",
                 (long long)json_integer_value(json_object_get(json, "next")));
        json_decref(json);
        if (!n)
            break;
    }
    assert_int_equal(seen, 5);
    world_free(w);
}

/* --- media --------------------------------------------------------------------------------------------------- */

static void a_file_is_uploaded_described_and_handed_out_for_five_minutes(void **state)
{
    (void)state;
    static const char form[] =
        "--xyz\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n"
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n"
        "Content-Type: image/png\r\n\r\nPNG\r\nbytes\r\n--xyz--\r\n";
    struct world *w = verified_world(1);
    assert_int_equal(request(w, &(struct wm_sim_request){.method = "POST",
                                                         .path = "/v25.0/100000000000001/media",
                                                         .authorization = "Bearer EAATESTTOKEN1234567890",
                                                         .content_type = "multipart/form-data; boundary=xyz",
                                                         .body = form,
                                                         .body_len = sizeof form - 1}),
                     200);
    json_t *json = last_json(w);
    char path[128], url[256];
    snprintf(path, sizeof path, "/v25.0/%s", json_string_value(json_object_get(json, "id")));
    json_decref(json);
    struct wm_sim_request ask = {
        .method = "GET", .path = path, .authorization = "Bearer EAATESTTOKEN1234567890"};
    assert_int_equal(request(w, &ask), 200);
    json = last_json(w);
    snprintf(url, sizeof url, "%s", json_string_value(json_object_get(json, "url")));
    assert_string_equal(json_string_value(json_object_get(json, "mime_type")), "image/png");
    assert_string_equal(json_string_value(json_object_get(json, "file_size")), "10");
    json_decref(json);
    char *file = strstr(url, "/media/"), *query = strchr(url, '?');
    assert_non_null(file);
    assert_non_null(query);
    *query++ = '\0';
    struct wm_sim_request download = {
        .method = "GET", .path = file, .query = query, .authorization = "Bearer EAATESTTOKEN1234567890"};
    assert_int_equal(request(w, &download), 200);
    assert_int_equal(w->last.body.len, 10);
    assert_memory_equal(w->last.body.data, "PNG\r\nbytes", 10);
    assert_string_equal(w->last.content_type, "image/png");
    download.authorization = NULL;
    assert_int_equal(request(w, &download), 401);
    download.authorization = "Bearer EAATESTTOKEN1234567890";
    w->now += 301000;
    assert_int_equal(request(w, &download), 404);
    world_free(w);
}

static void a_broken_form_is_131053(void **state)
{
    (void)state;
    static const struct {
        const char *type, *body;
    } cases[] = {{NULL, "--x\r\n\r\n--x--"},
                 {"multipart/form-data", "--x\r\n\r\n--x--"},
                 {"multipart/form-data; boundary=", ""},
                 {"multipart/form-data; boundary=x", ""},
                 {"multipart/form-data; boundary=x", "--x"},
                 {"multipart/form-data; boundary=x", "--x--x"},
                 {"multipart/form-data; boundary=x", "--x\r\nname=\"file\"\r\n\r\n--x--"},
                 {"multipart/form-data; boundary=x", "--x\r\nname=\"other\"\r\n\r\nabc\r\n--x--"}};
    struct world *w = verified_world(1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(request(w, &(struct wm_sim_request){.method = "POST",
                                                             .path = "/v25.0/100000000000001/media",
                                                             .authorization = "Bearer EAATESTTOKEN1234567890",
                                                             .content_type = cases[i].type,
                                                             .body = cases[i].body,
                                                             .body_len = strlen(cases[i].body)}),
                         400);
        assert_int_equal(last_code(w), 131053);
    }
    world_free(w);
}

static void a_person_sends_a_picture_with_a_caption(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    assert_int_equal(verb(w, "/sim/message",
                          "{\"contact\":\"15550100001\",\"text\":\"My table\",\"image\":{\"type\":"
                          "\"image/png\",\"data\":\"UE5HIQ==\"}}"),
                     200);
    json_t *value = value_of(w, 1);
    const json_t *message = json_array_get(json_object_get(value, "messages"), 0), *image;
    assert_string_equal(json_string_value(json_object_get(message, "type")), "image");
    image = json_object_get(message, "image");
    assert_string_equal(json_string_value(json_object_get(image, "caption")), "My table");
    assert_string_equal(json_string_value(json_object_get(image, "mime_type")), "image/png");
    char path[64];
    snprintf(path, sizeof path, "/media/%s", json_string_value(json_object_get(image, "id")));
    json_decref(value);
    assert_int_equal(get(w, path, NULL), 200);
    assert_memory_equal(w->last.body.data, "PNG!", 4);
    assert_int_equal(w->last.body.len, 4);
    assert_int_equal(verb(w, "/sim/message",
                          "{\"contact\":\"15550100001\",\"image\":{\"type\":\"image/png\",\"data\":\"?!\"}}"),
                     400);
    assert_int_equal(
        verb(w, "/sim/message",
             "{\"contact\":\"15550100001\",\"image\":{\"type\":\"text/html\",\"data\":\"UE5H\"}}"),
        400);
    world_free(w);
}

/* --- the page's verbs ---------------------------------------------------------------------------------------- */

static void a_verb_is_refused_to_other_sites(void **state)
{
    (void)state;
    static const struct {
        const char *content_type, *host, *origin;
        int status;
    } cases[] = {{"application/json", NULL, NULL, 200},
                 {"application/json; charset=utf-8", "127.0.0.1:8090", "http://127.0.0.1:8090", 200},
                 {"application/json", "localhost:8090", "http://localhost:8090", 200},
                 {"application/json", "[::1]:8090", "http://[::1]:8090", 200},
                 {"text/plain", "127.0.0.1:8090", NULL, 415},
                 {NULL, "127.0.0.1:8090", NULL, 415},
                 {"application/jsonp", "127.0.0.1:8090", NULL, 415},
                 {"application/x-www-form-urlencoded", "127.0.0.1:8090", NULL, 415},
                 {"application/json", "127.0.0.1:8090", "http://evil.example", 403},
                 {"application/json", "127.0.0.1:8090", "null", 403},
                 {"application/json", "127.0.0.1:8090", "http://127.0.0.1:9999", 403},
                 {"application/json", "evil.example:8090", "http://evil.example:8090", 403},
                 {"application/json", "localhost.evil.example", NULL, 403}};
    struct world *w = verified_world(1);
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(request(w, &(struct wm_sim_request){.method = "POST",
                                                             .path = "/sim/reset",
                                                             .content_type = cases[i].content_type,
                                                             .host = cases[i].host,
                                                             .origin = cases[i].origin,
                                                             .body = "{}",
                                                             .body_len = 2}),
                         cases[i].status);
    world_free(w);
}

static void a_verb_with_nonsense_gets_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body;
        int status;
    } cases[] = {{"/sim/message", "", 400},
                 {"/sim/message", "[]", 400},
                 {"/sim/message", "{", 400},
                 {"/sim/message", "{}", 400},
                 {"/sim/message", "{\"contact\":\"15550100001\"}", 400},
                 {"/sim/message", "{\"contact\":\"15550100001\",\"text\":\"\"}", 400},
                 {"/sim/message", "{\"contact\":\"phone\",\"text\":\"x\"}", 400},
                 {"/sim/message", "{\"contact\":\"1234\",\"text\":\"x\"}", 400},
                 {"/sim/message", "{\"contact\":\"1234567890123456\",\"text\":\"x\"}", 400},
                 {"/sim/message", "{\"contact\":15550100001,\"text\":\"x\"}", 400},
                 {"/sim/message", "{\"contact\":\"15550100001\",\"text\":\"a\\u0000b\"}", 400},
                 {"/sim/burst", "{\"contact\":\"15550100001\",\"count\":0}", 400},
                 {"/sim/burst", "{\"contact\":\"15550100001\",\"count\":1001}", 400},
                 {"/sim/burst", "{\"contact\":\"15550100001\",\"texts\":[]}", 400},
                 {"/sim/burst", "{\"contact\":\"15550100001\",\"texts\":[\"a\",7]}", 400},
                 {"/sim/open", "{\"contact\":\"19\"}", 404},
                 {"/sim/fault", "{}", 400},
                 {"/sim/fault", "{\"kind\":\"earthquake\"}", 400},
                 {"/sim/fault", "{\"kind\":\"slow\",\"contact\":\"19\"}", 404},
                 {"/sim/fault", "{\"kind\":\"slow\",\"count\":0}", 400},
                 {"/sim/fault", "{\"kind\":\"slow\",\"count\":\"two\"}", 400},
                 {"/sim/fault", "{\"kind\":\"slow\",\"probability\":1.5}", 400},
                 {"/sim/fault", "{\"kind\":\"slow\",\"delay_ms\":99999999}", 400},
                 {"/sim/nothing", "{}", 404}};
    struct world *w = verified_world(1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(verb(w, cases[i].path, cases[i].body), cases[i].status);
        json_t *json = last_json(w);
        assert_true(json_string_length(json_object_get(json, "error")) > 10);
        json_decref(json);
    }
    assert_int_equal(get(w, "/sim/reset", NULL), 405);
    assert_int_equal(get(w, "/sim/nothing", NULL), 404);
    assert_int_equal(w->n_posts, 1); /* the handshake: nobody wrote anything */
    world_free(w);
}

static void what_is_full_says_so(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    int status = 200, phones = 3;
    for (; status == 200; phones++)
        status = verb(w, "/sim/contact", "{\"name\":\"Somebody\"}");
    assert_int_equal(status, 400);
    assert_int_equal(phones - 1, 1024);
    int bursts = 0; /* the gateway acknowledges nothing: 20,000 webhooks may wait */
    for (status = 200; status == 200; bursts++)
        status = verb(w, "/sim/burst", "{\"contact\":\"15550100001\",\"count\":1000}");
    assert_int_equal(status, 503);
    assert_int_equal(bursts, 20);
    for (int i = 0; i < 64; i++)
        assert_int_equal(verb(w, "/sim/fault", "{\"kind\":\"slow\"}"), 200);
    assert_int_equal(verb(w, "/sim/fault", "{\"kind\":\"slow\"}"), 400);
    assert_int_equal(verb(w, "/sim/reset", "{}"), 200);
    assert_int_equal(verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Hi\"}"), 200);
    world_free(w);
}

static void the_oldest_messages_leave_when_the_texts_fill_their_64_mib(void **state)
{
    (void)state;
    enum { TEXT_BYTES = 3 * 4096, SENDS = 5600, KEPT = (64 << 20) / TEXT_BYTES };
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    char *body = malloc(TEXT_BYTES + 200);
    int n = sprintf(body, "{\"messaging_product\":\"whatsapp\",\"to\":\"15550100001\",\"text\":{\"body\":\"");
    for (int i = 0; i < 4096; i++, n += 3)
        memcpy(body + n, "\xe2\x82\xac", 3);
    strcpy(body + n, "\"}}");
    for (int i = 0; i < SENDS; i++)
        assert_int_equal(graph(w, body), 200);
    free(body);
    assert_int_equal(get(w, "/sim/sends", "limit=1"), 200);
    json_t *json = last_json(w);
    json_int_t oldest =
        json_integer_value(json_object_get(json_array_get(json_object_get(json, "sends"), 0), "seq"));
    assert_int_equal(oldest, 1 + SENDS - KEPT + 1); /* the person's own was the first */
    json_decref(json);
    world_free(w);
}

static void an_answer_from_before_a_reset_changes_nothing(void **state)
{
    (void)state;
    struct world *w = verified_world(1);
    verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Hi\"}");
    verb(w, "/sim/reset", "{}");
    answer(w, 1, 500);
    pass(w, 10000);
    assert_int_equal(w->n_posts, 2);
    world_free(w);
}

static void the_page_is_served_with_a_strict_policy(void **state)
{
    (void)state;
    static const struct {
        const char *path, *type;
    } files[] = {{"/", "text/html; charset=utf-8"},
                 {"/style.css", "text/css; charset=utf-8"},
                 {"/app.js", "text/javascript; charset=utf-8"},
                 {"/icon.svg", "image/svg+xml"}};
    struct world *w = verified_world(1);
    for (size_t i = 0; i < COUNT(files); i++) {
        assert_int_equal(get(w, files[i].path, NULL), 200);
        assert_string_equal(w->last.content_type, files[i].type);
        assert_non_null(
            strstr(w->last.headers, "Content-Security-Policy: default-src 'none'; script-src 'self';"));
        assert_null(strstr(w->last.headers, "unsafe"));
        assert_true(w->last.body.len > 100);
    }
    assert_int_equal(get(w, "/index.html", NULL), 404);
    assert_int_equal(get(w, "/media/1", NULL), 404);
    assert_int_equal(get(w, "/sim/stream", NULL), 200);
    assert_true(w->last.stream);
    assert_true(w->published > 0 || w->n_posts == 1);
    world_free(w);
}

static void bytes_that_are_not_text_are_shown_and_break_nothing(void **state)
{
    (void)state;
    static const char body[] = "\xff\xfe\0\x01{\"a\":\"\xc3";
    struct world *w = verified_world(1);
    assert_int_equal(request(w, &(struct wm_sim_request){.method = "POST",
                                                         .path = "/v25.0/\xff\xfe/messages",
                                                         .authorization = "Bearer EAATESTTOKEN1234567890",
                                                         .body = body,
                                                         .body_len = sizeof body - 1}),
                     400);
    assert_int_equal(get(w, "/sim/state", NULL), 200);
    json_t *json = last_json(w), *log = json_object_get(json, "log");
    assert_int_equal(json_array_size(log), 2); /* the handshake and this call */
    json_decref(json);
    world_free(w);
}

/* --- the real adapter on the other side ---------------------------------------------------------------------- */

struct hook_headers {
    const char *signature;
};

static const char *hook_header(void *arg, const char *name, size_t *len, int *count)
{
    const struct hook_headers *h = arg;
    bool found = strcmp(name, "x-hub-signature-256") == 0;
    *len = found ? strlen(h->signature) : 0;
    if (count)
        *count = found;
    return found ? h->signature : NULL;
}

static struct wm_channel *open_adapter(const struct wm_adapter *a)
{
    struct wm_channel *c = NULL;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(a->open(&(struct wm_channel_config){.name = "whatsapp",
                                                         .account = account,
                                                         .app_secrets = {secret},
                                                         .verify_token = verify_token,
                                                         .access_token = token,
                                                         .graph_url = "http://127.0.0.1:8090/v25.0"},
                             &c, &err),
                     WM_OK);
    return c;
}

static void the_adapter_verifies_and_understands_what_the_simulator_posts(void **state)
{
    (void)state;
    const struct wm_adapter *a = wm_adapter_find("whatsapp");
    struct wm_channel *c = open_adapter(a);
    struct wm_error err = WM_ERROR_INIT;
    struct world *w = world_new(1);
    wm_sim_tick(w->sim, w->now);
    struct wm_buffer challenge = WM_BUFFER(1024);
    const char *query = strchr(w->posts[0].call->url, '?') + 1;
    assert_int_equal(a->challenge(c, query, strlen(query), &challenge, &err), WM_OK);
    answer_body(w, 0, 200, challenge.data);
    wm_buffer_free(&challenge);
    verb(w, "/sim/message", "{\"contact\":\"15550100001\",\"text\":\"Ol\xc3\xa1 \xf0\x9f\x98\x80\"}");
    answer_all(w);
    graph(w, send_hello);
    pass(w, 5000);
    assert_int_equal(w->n_posts, 5); /* handshake, message, three statuses */
    struct wm_event_list events = {0};
    for (int i = 1; i < 5; i++) {
        const struct wm_http_call *call = w->posts[i].call;
        struct hook_headers headers = {header_of(call, "X-Hub-Signature-256: ")};
        const struct wm_webhook hook = {
            .body = call->body, .body_len = call->body_len, .header = hook_header, .arg = &headers};
        assert_int_equal(a->verify(c, &hook, &err), WM_OK);
        assert_int_equal(a->parse(c, call->body, call->body_len, w->now, &events, &err), WM_OK);
    }
    assert_int_equal(events.n, 4);
    assert_int_equal(events.events[0].kind, WM_EVENT_TEXT);
    assert_string_equal(events.events[0].text, "Ol\xc3\xa1 \xf0\x9f\x98\x80");
    for (int i = 1; i < 4; i++) {
        assert_int_equal(events.events[i].kind, WM_EVENT_STATUS);
        assert_string_equal(events.events[i].ref, "job-1");
    }
    wm_event_list_free(&events);
    a->close(c);
    world_free(w);
}

/* Hands the adapter's call to the simulator, and the simulator's answer back. */
static struct wm_outcome send_through(struct world *w, const struct wm_adapter *a, struct wm_channel *c,
                                      const struct wm_outgoing *what)
{
    struct wm_http_call *call = NULL;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(a->request(c, what, &call, &err), WM_OK);
    int status = request(w, &(struct wm_sim_request){.method = call->method,
                                                     .path = strstr(call->url, "/v25.0"),
                                                     .authorization = header_of(call, "Authorization: "),
                                                     .content_type = header_of(call, "Content-Type: "),
                                                     .body = call->body,
                                                     .body_len = call->body_len});
    const struct wm_http_result result = {.fate = w->last.drop ? WM_HTTP_LOST : WM_HTTP_ANSWERED,
                                          .status = status,
                                          .body = w->last.body.data,
                                          .body_len = w->last.body.len,
                                          .retry_after_ms = -1,
                                          .cause = w->last.drop ? "cut" : NULL};
    struct wm_outcome outcome = {0};
    a->outcome(c, what, &result, 1, &outcome);
    wm_http_call_free(call);
    return outcome;
}

static void the_adapter_reads_every_answer_of_the_simulator_rightly(void **state)
{
    (void)state;
    static const struct {
        const char *fault;
        enum wm_outcome_kind kind;
        bool contact_only;
    } cases[] = {{NULL, WM_OUTCOME_SENT, false},
                 {"{\"kind\":\"server_error\"}", WM_OUTCOME_RETRY, false},
                 {"{\"kind\":\"html_error\"}", WM_OUTCOME_UNKNOWN, false},
                 {"{\"kind\":\"rate_limit\"}", WM_OUTCOME_RETRY, false},
                 {"{\"kind\":\"pair_limit\"}", WM_OUTCOME_RETRY, true},
                 {"{\"kind\":\"lost_answer\"}", WM_OUTCOME_UNKNOWN, false},
                 {"{\"kind\":\"error\",\"code\":190}", WM_OUTCOME_PAUSE, false},
                 {"{\"kind\":\"error\",\"code\":131026}", WM_OUTCOME_FAILED, false}};
    const struct wm_adapter *a = wm_adapter_find("whatsapp");
    struct wm_channel *c = open_adapter(a);
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (cases[i].fault)
            assert_int_equal(verb(w, "/sim/fault", cases[i].fault), 200);
        struct wm_outcome o = send_through(
            w, a, c,
            &(struct wm_outgoing){.kind = WM_OUT_TEXT, .to = phone, .text = "Hello", .ref = "job-7"});
        assert_int_equal(o.kind, cases[i].kind);
        assert_int_equal(o.retry_contact_only, cases[i].contact_only);
    }
    assert_int_equal(sends_with(w, "job-7"), 2); /* accepted, and accepted with its answer lost */
    world_free(w);
    a->close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_option_that_is_missing_is_named),
        cmocka_unit_test(nothing_is_posted_before_the_gateway_answers_the_handshake),
        cmocka_unit_test(a_message_is_posted_in_metas_shape_spelling_and_signature),
        cmocka_unit_test(redelivery_is_immediate_then_doubles_up_to_six_hours_and_ends_after_seven_days),
        cmocka_unit_test(nothing_but_200_acknowledges),
        cmocka_unit_test(a_contacts_messages_wait_for_each_other_and_nobody_elses),
        cmocka_unit_test(a_message_that_fails_for_thirty_seconds_is_overtaken),
        cmocka_unit_test(a_burst_of_twenty_arrives_whole_and_in_order),
        cmocka_unit_test(a_duplicate_is_the_same_bytes_twice),
        cmocka_unit_test(a_reordered_message_is_overtaken_by_the_next),
        cmocka_unit_test(a_lost_acknowledgement_brings_the_webhook_again),
        cmocka_unit_test(a_bad_signature_is_bad_once),
        cmocka_unit_test(a_fault_of_one_contact_spares_the_others),
        cmocka_unit_test(faults_by_chance_repeat_with_their_seed),
        cmocka_unit_test(an_accepted_message_is_sent_delivered_and_read_with_our_reference),
        cmocka_unit_test(a_chat_on_the_page_is_read_when_it_is_looked_at),
        cmocka_unit_test(a_call_that_meta_would_refuse_is_refused_with_its_code),
        cmocka_unit_test(the_longest_text_and_reference_are_accepted),
        cmocka_unit_test(a_call_without_the_right_token_is_401_190),
        cmocka_unit_test(an_unknown_graph_address_is_code_100),
        cmocka_unit_test(a_fault_refuses_a_send_once_and_nothing_is_kept),
        cmocka_unit_test(a_lost_answer_is_dropped_after_the_message_was_accepted),
        cmocka_unit_test(a_slow_answer_is_delayed),
        cmocka_unit_test(a_closed_window_and_a_dead_phone_fail_by_status),
        cmocka_unit_test(the_window_is_open_for_exactly_a_day),
        cmocka_unit_test(the_pair_limit_lends_45_messages_and_wants_them_back),
        cmocka_unit_test(a_number_takes_eighty_messages_a_second),
        cmocka_unit_test(a_read_mark_reads_what_came_before_and_typing_ends_with_the_reply_or_after_25_s),
        cmocka_unit_test(sends_are_paged_in_order),
        cmocka_unit_test(a_file_is_uploaded_described_and_handed_out_for_five_minutes),
        cmocka_unit_test(a_broken_form_is_131053),
        cmocka_unit_test(a_person_sends_a_picture_with_a_caption),
        cmocka_unit_test(a_verb_is_refused_to_other_sites),
        cmocka_unit_test(a_verb_with_nonsense_gets_a_sentence),
        cmocka_unit_test(what_is_full_says_so),
        cmocka_unit_test(the_oldest_messages_leave_when_the_texts_fill_their_64_mib),
        cmocka_unit_test(an_answer_from_before_a_reset_changes_nothing),
        cmocka_unit_test(the_page_is_served_with_a_strict_policy),
        cmocka_unit_test(bytes_that_are_not_text_are_shown_and_break_nothing),
        cmocka_unit_test(the_adapter_verifies_and_understands_what_the_simulator_posts),
        cmocka_unit_test(the_adapter_reads_every_answer_of_the_simulator_rightly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

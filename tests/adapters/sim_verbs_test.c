/* sim_verbs_test.c -- the page and its verbs: who may ask, what nonsense gets, what is full. */
#include "tests/adapters/sim_world.h"

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
    char *body = send_body("€", 4096, 1);
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
                                                         .authorization = "Bearer " WORLD_TOKEN,
                                                         .body = body,
                                                         .body_len = sizeof body - 1}),
                     400);
    assert_int_equal(get(w, "/sim/state", NULL), 200);
    json_t *json = last_json(w), *log = json_object_get(json, "log");
    assert_int_equal(json_array_size(log), 2); /* the handshake and this call */
    json_decref(json);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verb_is_refused_to_other_sites),
        cmocka_unit_test(a_verb_with_nonsense_gets_a_sentence),
        cmocka_unit_test(what_is_full_says_so),
        cmocka_unit_test(the_oldest_messages_leave_when_the_texts_fill_their_64_mib),
        cmocka_unit_test(an_answer_from_before_a_reset_changes_nothing),
        cmocka_unit_test(the_page_is_served_with_a_strict_policy),
        cmocka_unit_test(bytes_that_are_not_text_are_shown_and_break_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

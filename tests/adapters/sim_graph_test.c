/* sim_graph_test.c -- what Graph accepts, refuses and reports later; its faults and limits; files. */
#include "tests/adapters/sim_world.h"

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
        assert_string_equal(json_string_value(json_object_get(status, "recipient_id")), WORLD_PHONE);
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
    char *long_text = send_body("€", 4097, 1), *long_ref = send_body("x", 1, 513);
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
    free(long_text);
    free(long_ref);
    world_free(w);
}

static void the_longest_text_and_reference_are_accepted(void **state)
{
    (void)state;
    char *body = send_body("x", 4096, 512);
    struct world *w = verified_world(1);
    write_and_acknowledge(w);
    assert_int_equal(graph(w, body), 200);
    free(body);
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
                                                             .authorization = "Bearer " WORLD_TOKEN,
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
                                                         .authorization = "Bearer " WORLD_TOKEN,
                                                         .content_type = "multipart/form-data; boundary=xyz",
                                                         .body = form,
                                                         .body_len = sizeof form - 1}),
                     200);
    json_t *json = last_json(w);
    char path[128], url[256];
    snprintf(path, sizeof path, "/v25.0/%s", json_string_value(json_object_get(json, "id")));
    json_decref(json);
    struct wm_sim_request ask = {.method = "GET", .path = path, .authorization = "Bearer " WORLD_TOKEN};
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
        .method = "GET", .path = file, .query = query, .authorization = "Bearer " WORLD_TOKEN};
    assert_int_equal(request(w, &download), 200);
    assert_int_equal(w->last.body.len, 10);
    assert_memory_equal(w->last.body.data, "PNG\r\nbytes", 10);
    assert_string_equal(w->last.content_type, "image/png");
    download.authorization = NULL;
    assert_int_equal(request(w, &download), 401);
    download.authorization = "Bearer " WORLD_TOKEN;
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
                                                             .authorization = "Bearer " WORLD_TOKEN,
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

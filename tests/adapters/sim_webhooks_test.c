/* sim_webhooks_test.c -- the handshake, the signed webhook, its order, its repeats, and the faults that
 * befall it. */
#include "tests/adapters/sim_world.h"

/* --- webhooks ------------------------------------------------------------------------------------------------ */

static void an_option_that_is_missing_is_named(void **state)
{
    (void)state;
    struct wm_sim *sim = NULL;
    struct wm_sim_options options = options_of(NULL);
    options.app_secret = "";
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_sim_new(&options, WORLD_BEGIN, &sim, &err), WM_EINVAL);
    assert_non_null(strstr(err.text, "app_secret"));
    options = options_of(NULL);
    options.time_scale = 0;
    err = (struct wm_error)WM_ERROR_INIT;
    assert_int_equal(wm_sim_new(&options, WORLD_BEGIN, &sim, &err), WM_EINVAL);
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
    assert_string_equal(json_string_value(json_object_get(message, "from")), WORLD_PHONE);
    assert_string_equal(json_string_value(json_object_get(message, "timestamp")), "1767225600");
    assert_memory_equal(json_string_value(json_object_get(message, "id")), "wamid.", 6);
    assert_string_equal(json_string_value(json_object_get(contact, "wa_id")), WORLD_PHONE);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

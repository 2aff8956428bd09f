/* talk_test.c -- from a body to a delivered reply, with everything around sessions faked. */
#include "tests/check.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sessions/world.h"

static void a_message_gets_one_answer(void **state)
{
    (void)state;
    struct world *w = world_new();
    assert_int_equal(world_post(w, "text|m1|ana|+0|hello"), WM_OK);
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: hello");
    assert_true(world_wait_idle(w));
    assert_int_equal(
        world_number(w, "SELECT count(*) FROM outbox WHERE state = 'sent' AND platform_id IS NOT NULL"), 1);
    assert_int_equal(world_number(w, "SELECT count(*) FROM transcript WHERE turn = 1"), 2);
    world_free(w);
}

/* For tests of what one burst becomes: a busy machine must not look like a pause of the person's. */
static void patient(struct world *w)
{
    w->binding.settle_quiet_ms = 1000;
    w->binding.settle_at_most_ms = 10000;
}

static void a_burst_of_twenty_gets_one_answer_in_platform_order(void **state)
{
    (void)state;
    struct world *w = world_new_with(patient);
    int64_t at = world_wall(w) - 1000;
    char want[512] = "re: ";
    for (int i = 0; i < 20; i++) {
        int k = i * 7 % 20; /* shuffled */
        assert_int_equal(world_post(w, "text|m%d|ana|%lld|t%d", k, (long long)at + k, k), WM_OK);
    }
    for (int i = 0; i < 20; i++)
        snprintf(want + strlen(want), sizeof want - strlen(want), "%st%d", i ? "," : "", i);
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 1);
    assert_string_equal(world_sent(w, 0), want);
    world_free(w);
}

static void a_thousand_repeats_are_one_message(void **state)
{
    (void)state;
    struct world *w = world_new();
    int64_t at = world_wall(w);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(world_post(w, "text|m1|ana|%lld|hello", (long long)at), WM_OK);
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 1);
    assert_int_equal(world_number(w, "SELECT count(*) FROM events"), 1);
    assert_int_equal(world_number(w, "SELECT count(*) FROM transcript WHERE role = 'user'"), 1);
    struct wm_sessions_stats stats;
    wm_sessions_stats(w->sessions, &stats);
    assert_int_equal(stats.duplicates, 999);
    world_close(w, 1000);
    world_open(w); /* also after a restart */
    assert_int_equal(world_post(w, "text|m1|ana|%lld|hello", (long long)at), WM_OK);
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 1);
    world_free(w);
}

static void later_messages_wait_for_the_next_turn_and_prompts_only_grow(void **state)
{
    (void)state;
    struct world *w = world_new();
    model_hold(&w->model, true);
    world_post(w, "text|m1|ana|+0|one");
    usleep(200000);
    world_post(w, "text|m2|ana|+0|two");
    usleep(100000);
    assert_int_equal(w->model.requests, 1);
    model_hold(&w->model, false);
    assert_true(world_wait_sent(w, 2));
    assert_string_equal(world_sent(w, 0), "re: one");
    assert_string_equal(world_sent(w, 1), "re: two");
    for (int i = 3; i < 8; i++) {
        world_post(w, "text|m%d|ana|+0|again", i);
        assert_true(world_wait_sent(w, (size_t)i));
        assert_true(world_wait_idle(w));
        if (i == 5) {
            world_close(w, 1000);
            world_open(w);
        }
    }
    assert_int_equal(w->model.prompts_broken, 0);
    assert_int_equal(world_number(w, "SELECT count(DISTINCT turn) FROM transcript"), 7);
    world_free(w);
}

/* Every 500th event is a message. */
static int event_line(char *to, size_t size, int i)
{
    return snprintf(to, size, "%s|e%d|ana|+%d|x\n", i % 500 ? "reaction" : "text", i, i);
}

static void a_body_of_very_many_events_is_taken_whole(void **state)
{
    (void)state;
    enum { EVENTS = 5000, LINE = 64 };
    struct world *w = world_new();
    char *body = malloc((size_t)EVENTS * LINE);
    size_t len = 0;
    for (int i = 0; i < EVENTS; i++)
        len += (size_t)event_line(body + len, LINE, i);
    assert_int_equal(world_post(w, "%s", body), WM_OK);
    assert_int_equal(world_post(w, "text|after|bob|+0|me too"), WM_OK);
    assert_true(world_wait_sent(w, 2));
    assert_true(world_wait_idle(w));
    assert_int_equal(world_number(w, "SELECT count(*) FROM events"), EVENTS + 1);
    assert_int_equal(
        world_number(w, "SELECT count(*) FROM transcript WHERE role = 'user' AND turn IS NOT NULL"), 11);
    assert_int_equal(world_number(w, "SELECT value FROM meta WHERE key = 'watermark'"), 2);
    free(body);
    world_free(w);
}

static void contacts_do_not_share_turns(void **state)
{
    (void)state;
    struct world *w = world_new();
    for (int i = 0; i < 50; i++)
        world_post(w, "text|m%d|person%d|+0|hi %d", i, i, i);
    assert_true(world_wait_sent(w, 50));
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 50);
    assert_int_equal(world_number(w, "SELECT count(DISTINCT conversation) FROM transcript"), 50);
    world_free(w);
}

static void an_event_with_two_ids_joins_two_conversations(void **state)
{
    (void)state;
    struct world *w = world_new_with(patient);
    world_post(w, "text|m1|34600|+0|by number");
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    world_post(w, "text|m2|ES.9|+0|by id");
    assert_true(world_wait_sent(w, 2));
    assert_true(world_wait_idle(w));
    world_post(w, "text|m3|34600|+0|both|ES.9");
    world_post(w, "text|m4|ES.9|+0|again");
    assert_true(world_wait_sent(w, 3));
    assert_true(world_wait_idle(w));
    assert_string_equal(world_sent(w, 2), "re: both,again");
    assert_int_equal(world_number(w, "SELECT count(DISTINCT conversation) FROM aliases"), 1);
    world_free(w);
}

static void pictures_alone_get_a_sentence_without_the_model(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_post(w, "image|m1|ana|+0|");
    assert_true(world_wait_sent(w, 1));
    assert_non_null(strstr(world_sent(w, 0), "in words"));
    assert_int_equal(w->model.requests, 0);
    assert_true(world_wait_idle(w));
    world_post(w, "image|m2|ana|+0|my cat\ntext|m3|ana|+1|what is it?");
    assert_true(world_wait_sent(w, 2));
    assert_string_equal(world_sent(w, 1), "re: [picture: my cat],what is it?");
    world_free(w);
}

static void what_is_no_question_gets_no_answer(void **state)
{
    (void)state;
    static const char *const kinds[] = {"reaction", "edit",   "delete", "read",    "delivery",
                                        "status",   "system", "other",  "handover"};
    struct world *w = world_new();
    for (size_t i = 0; i < COUNT(kinds); i++)
        world_post(w, "%s|x%zu|ana|+0|hello", kinds[i], i);
    world_post(w, "text|m1|us|+0|our own message, come back");
    assert_true(world_wait_idle(w));
    usleep(150000);
    assert_int_equal(world_sent_n(w), 0);
    assert_int_equal(w->model.requests, 0);
    assert_int_equal(world_number(w, "SELECT count(*) FROM events"), COUNT(kinds) + 1);
    world_free(w);
}

static void a_body_that_cannot_be_parsed_is_kept_whole(void **state)
{
    (void)state;
    struct world *w = world_new();
    assert_int_equal(world_post(w, "text|m1|ana|+0|hello\n{\"not\": \"ours\"}"), WM_OK);
    assert_true(world_wait_sent(w, 1)); /* what came before the bad line counts */
    assert_int_equal(world_number(w, "SELECT count(*) FROM events WHERE kind = 'unparsed' AND"
                                     " CAST(body AS TEXT) LIKE '%not%ours%'"),
                     1);
    char *json = world_ask_new(w, WM_ASK_EVENTS, 0);
    assert_non_null(strstr(json, "\\\"not\\\""));
    free(json);
    world_free(w);
}

static void stop_silences_and_start_brings_back(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_post(w, "text|m1|ana|+0|STOP.");
    assert_true(world_wait_sent(w, 1));
    assert_non_null(strstr(world_sent(w, 0), "START"));
    world_post(w, "text|m2|ana|+0|stop");
    world_post(w, "text|m3|ana|+0|are you there?");
    assert_true(world_wait_idle(w));
    usleep(150000);
    assert_int_equal(world_sent_n(w), 1);
    world_post(w, "text|m4|ana|+0|Start");
    assert_true(world_wait_sent(w, 2));
    assert_true(world_wait_idle(w));
    world_post(w, "text|m5|ana|+0|don't stop");
    assert_true(world_wait_sent(w, 3));
    assert_string_equal(world_sent(w, 2), "re: are you there?,don't stop");
    world_free(w);
}

static void stop_between_thinking_and_sending_withholds_the_reply(void **state)
{
    (void)state;
    struct world *w = world_new();
    model_hold(&w->model, true);
    world_post(w, "text|m1|ana|+0|hello");
    usleep(150000);
    world_post(w, "text|m2|ana|+0|stop");
    assert_true(world_wait_sent(w, 1));
    model_hold(&w->model, false);
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 1);
    assert_int_equal(world_number(w, "SELECT count(*) FROM transcript WHERE role = 'assistant'"), 0);
    world_free(w);
}

static void a_person_who_takes_over_silences_the_bot_until_given_back(void **state)
{
    (void)state;
    struct world *w = world_new();
    model_hold(&w->model, true);
    world_post(w, "text|m1|ana|+0|hello");
    usleep(150000);
    world_post(w, "echo|h1|ana|+0|Marta here");
    assert_true(world_wait_idle(w)); /* the thought is cancelled */
    model_hold(&w->model, false);
    world_post(w, "text|m2|ana|+0|thanks Marta");
    assert_true(world_wait_idle(w));
    usleep(150000);
    assert_int_equal(world_sent_n(w), 0);
    assert_int_equal(wm_sessions_set_human(w->sessions, 1, false), WM_OK);
    usleep(50000);
    world_post(w, "text|m3|ana|+0|bot?");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: thanks Marta,bot?"); /* after what Marta said */
    assert_int_equal(world_number(w, "SELECT count(*) FROM transcript WHERE turn = 1 AND role = 'person'"),
                     1);
    assert_int_equal(wm_sessions_set_human(w->sessions, 1, true), WM_OK);
    usleep(50000);
    world_post(w, "text|m4|ana|+0|still there?");
    usleep(200000);
    assert_int_equal(world_sent_n(w), 1);
    world_advance(w, 25LL * 3600 * 1000); /* forgotten by everybody: the bot takes over again */
    world_post(w, "text|m5|ana|+0|anyone?");
    assert_true(world_wait_sent(w, 2));
    world_free(w);
}

static void messages_older_than_the_window_are_remembered_not_answered(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_post(w, "text|m1|ana|-90000000|old news");
    assert_true(world_wait_idle(w));
    usleep(150000);
    assert_int_equal(w->model.requests, 0);
    world_post(w, "text|m2|ana|+0|news");
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: old news,news");
    world_free(w);
}

static void a_model_in_trouble_is_asked_again_and_then_excused(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->model.errors = 1;
    world_post(w, "text|m1|ana|+0|hello");
    usleep(200000);
    world_advance(w, 3000);
    assert_true(world_wait_sent(w, 1));
    assert_string_equal(world_sent(w, 0), "re: hello");
    assert_true(world_wait_idle(w));
    w->model.errors = 1;
    w->model.silences = 2;
    world_post(w, "text|m2|ana|+0|and now?");
    for (int i = 0; i < 3; i++) {
        usleep(200000);
        world_advance(w, 10000);
    }
    assert_true(world_wait_sent(w, 2));
    assert_non_null(strstr(world_sent(w, 1), "sorry"));
    assert_true(world_wait_idle(w));
    assert_int_equal(world_sent_n(w), 2);
    world_free(w);
}

static void small_context(struct world *w)
{
    w->model.context = 400;
    w->binding.bot.max_reply_tokens = 100;
}

static void a_full_context_lets_old_turns_go_in_one_step(void **state)
{
    (void)state;
    struct world *w = world_new_with(small_context);
    for (int i = 1; i <= 12; i++) {
        world_post(w, "text|m%d|ana|+0|twenty bytes of text", i);
        assert_true(world_wait_sent(w, (size_t)i));
        assert_true(world_wait_idle(w));
        assert_string_equal(world_sent(w, (size_t)i - 1), "re: twenty bytes of text");
    }
    assert_in_range(w->model.prompts_broken, 1, 3); /* a step now and then, not at each turn */
    assert_true(world_number(w, "SELECT cut FROM conversations") > 4);
    char body[3000];
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    world_post(w, "text|big|ana|+0|%s", body); /* longer than the whole context */
    assert_true(world_wait_sent(w, 13));
    world_free(w);
}

static void under_another_model_the_past_is_rendered_anew(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_post(w, "text|m1|ana|+0|hello");
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    world_close(w, 1000);
    assert_int_equal(world_number(w, "SELECT count(*) FROM conversations WHERE fingerprint = 'fake'"), 1);
    w->brain.fingerprint = "another";
    world_open(w);
    world_post(w, "text|m2|ana|+0|hello again");
    assert_true(world_wait_sent(w, 2));
    assert_string_equal(world_sent(w, 1), "re: hello again");
    assert_true(world_wait_idle(w));
    assert_int_equal(world_number(w, "SELECT count(*) FROM conversations WHERE fingerprint = 'another'"), 1);
    assert_int_equal(w->model.prompts_broken, 0); /* this model happens to write the same tokens */
    world_free(w);
}

static void no_room(struct world *w)
{
    w->model.context = 100;
    w->binding.bot.system =
        "a system prompt of more than a hundred bytes, which leaves no room for anything that a"
        " person might want to say in the context of this model";
}

static void a_system_prompt_that_fills_the_context_ends_in_an_excuse(void **state)
{
    (void)state;
    struct world *w = world_new_with(no_room);
    world_post(w, "text|m1|ana|+0|hello");
    for (int i = 0; i < 4; i++) {
        usleep(150000);
        world_advance(w, 10000);
    }
    assert_true(world_wait_sent(w, 1));
    assert_non_null(strstr(world_sent(w, 0), "sorry"));
    assert_true(world_wait_idle(w));
    assert_int_equal(w->model.requests, 0);
    world_free(w);
}

static void the_questions_are_answered_in_the_pinned_form(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_post(w, "text|m1|ana|+0|hello");
    assert_true(world_wait_sent(w, 1));
    assert_true(world_wait_idle(w));
    char *text = world_ask_new(w, WM_ASK_CONVERSATION, 1);
    json_t *c = json_loads(text, 0, NULL);
    json_t *turns = json_object_get(c, "turns"), *usage = json_object_get(json_array_get(turns, 1), "usage");
    assert_string_equal(json_string_value(json_object_get(c, "contact")), "ana");
    assert_string_equal(json_string_value(json_object_get(c, "state")), "idle");
    assert_int_equal(json_array_size(turns), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(turns, 1), "role")), "assistant");
    assert_true(json_integer_value(json_object_get(usage, "prompt_tokens")) > 5);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(c, "kv"), "device")), 1024);
    json_t *row = json_array_get(json_object_get(c, "outbox"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "state")), "sent");
    json_decref(c);
    free(text);
    text = world_ask_new(w, WM_ASK_EVENTS, 0);
    json_t *e = json_loads(text, 0, NULL), *first = json_array_get(json_object_get(e, "events"), 0);
    static const char *const keys[] = {"seq",  "channel", "kind",      "id",          "sender",
                                       "text", "media",   "timestamp", "conversation"};
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_non_null(json_object_get(first, keys[i]));
    assert_int_equal(json_integer_value(json_object_get(e, "next")), 1);
    json_decref(e);
    free(text);
    assert_null(world_ask_new(w, WM_ASK_CONVERSATION, 99));
    struct wm_question q = {.kind = WM_ASK_CONVERSATIONS};
    struct wm_buffer out = WM_BUFFER(1 << 20);
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_sessions_ask_offline(w->dir, &q, &out, &err), WM_OK); /* beside the running one */
    assert_non_null(strstr(out.data, "\"contact\":\"ana\""));
    wm_buffer_free(&out);
    world_free(w);
}

static void a_channel_that_goes_and_comes_back_finds_its_queue(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_sessions_reload(w->sessions, NULL, 0, &err), WM_OK);
    usleep(50000);
    world_post(w, "text|m1|ana|+0|hello");
    usleep(200000);
    assert_int_equal(world_sent_n(w), 0);
    assert_int_equal(wm_sessions_reload(w->sessions, &w->binding, 1, &err), WM_OK);
    assert_true(world_wait_sent(w, 1));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_gets_one_answer),
        cmocka_unit_test(a_burst_of_twenty_gets_one_answer_in_platform_order),
        cmocka_unit_test(a_thousand_repeats_are_one_message),
        cmocka_unit_test(later_messages_wait_for_the_next_turn_and_prompts_only_grow),
        cmocka_unit_test(a_body_of_very_many_events_is_taken_whole),
        cmocka_unit_test(contacts_do_not_share_turns),
        cmocka_unit_test(an_event_with_two_ids_joins_two_conversations),
        cmocka_unit_test(pictures_alone_get_a_sentence_without_the_model),
        cmocka_unit_test(what_is_no_question_gets_no_answer),
        cmocka_unit_test(a_body_that_cannot_be_parsed_is_kept_whole),
        cmocka_unit_test(stop_silences_and_start_brings_back),
        cmocka_unit_test(stop_between_thinking_and_sending_withholds_the_reply),
        cmocka_unit_test(a_person_who_takes_over_silences_the_bot_until_given_back),
        cmocka_unit_test(messages_older_than_the_window_are_remembered_not_answered),
        cmocka_unit_test(a_model_in_trouble_is_asked_again_and_then_excused),
        cmocka_unit_test(a_full_context_lets_old_turns_go_in_one_step),
        cmocka_unit_test(under_another_model_the_past_is_rendered_anew),
        cmocka_unit_test(a_system_prompt_that_fills_the_context_ends_in_an_excuse),
        cmocka_unit_test(the_questions_are_answered_in_the_pinned_form),
        cmocka_unit_test(a_channel_that_goes_and_comes_back_finds_its_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

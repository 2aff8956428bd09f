/* meaning_test.c -- what events ask for, opting out in many tongues, and the heap of conversations. */
#include "tests/check.h"

#include <stdlib.h>
#include <string.h>

#include "sessions/meaning.h"
#include "sessions/talks.h"

static void a_stop_word_counts_only_as_the_whole_message(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool stops;
    } cases[] = {
        {"stop", true},        {"STOP", true},
        {" Stop. ", true},     {"stop!!!", true},
        {"\"stop\"", true},    {"don't stop", false},
        {"stop it", false},    {"stopp", true},
        {"bus stop", false},   {"", false},
        {"...", false},        {"ARRÊT", true},
        {"СТОП", true},        {"стоп!", true},
        {"停止", true},        {"停止。", true},
        {"توقف", true},        {"Désabonner", true},
        {"DÉSABONNER", true},  {"opt-out", true},
        {"Unsubscribe", true}, {"un subscribe", false},
        {"\xff\xfe", false},   {"baja", true},
        {"¡Baja!", true},      {"stop\n", true},
        {"ODHLÁSIT", true},    {"wypisz", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (wm_words_stop(cases[i].text) != cases[i].stops)
            fail_msg("'%s' %s", cases[i].text, cases[i].stops ? "should stop" : "should not stop");
    char long_one[5000];
    memset(long_one, '.', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    memcpy(long_one, "stop", 4);
    assert_true(wm_words_stop(long_one));
    memset(long_one + 100, 'x', 10);
    assert_false(wm_words_stop(long_one));
    assert_true(wm_words_start("Start"));
    assert_false(wm_words_start("start again"));
}

static void events_mean_what_the_table_says(void **state)
{
    (void)state;
    static const struct {
        enum wm_event_kind kind;
        const char *sender, *text;
        bool wants_reply, group;
        enum wm_meaning want;
    } cases[] = {
        {WM_EVENT_TEXT, "ana", "hi", true, false, WM_MEANS_MESSAGE},
        {WM_EVENT_TEXT, "ana", "hi", false, false, WM_MEANS_NOTHING},
        {WM_EVENT_TEXT, "ana", "hi", true, true, WM_MEANS_NOTHING},
        {WM_EVENT_TEXT, "us", "hi", true, false, WM_MEANS_NOTHING},
        {WM_EVENT_TEXT, NULL, "hi", true, false, WM_MEANS_NOTHING},
        {WM_EVENT_TEXT, "ana", "stop", true, false, WM_MEANS_STOP},
        {WM_EVENT_BUTTON, "ana", "STOP", true, false, WM_MEANS_STOP},
        {WM_EVENT_IMAGE, "ana", "stop", true, false, WM_MEANS_MESSAGE}, /* a caption is not a word to us */
        {WM_EVENT_TEXT, "ana", "start", true, false, WM_MEANS_START},
        {WM_EVENT_UNSUPPORTED, "ana", NULL, true, false, WM_MEANS_MESSAGE},
        {WM_EVENT_REACTION, "ana", "x", true, false, WM_MEANS_NOTHING},
        {WM_EVENT_EDIT, "ana", "x", true, false, WM_MEANS_NOTHING},
        {WM_EVENT_ECHO, "ana", "x", false, false, WM_MEANS_ECHO},
        {WM_EVENT_STATUS, NULL, NULL, false, false, WM_MEANS_STATUS},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char account[] = "us";
        struct wm_event e = {
            .kind = cases[i].kind, .wants_reply = cases[i].wants_reply, .from_group = cases[i].group};
        e.sender = cases[i].sender ? strdup(cases[i].sender) : NULL;
        e.text = cases[i].text ? strdup(cases[i].text) : NULL;
        e.account = account;
        assert_int_equal(wm_meaning_of(&e, NULL), cases[i].want);
        if (cases[i].want == WM_MEANS_MESSAGE) /* to an account that is not this channel's */
            assert_int_equal(wm_meaning_of(&e, "other"), WM_MEANS_NOTHING);
        free(e.sender);
        free(e.text);
    }
}

static void what_the_model_cannot_see_is_said_in_words(void **state)
{
    (void)state;
    char caption[] = "my cat";
    static const struct {
        enum wm_event_kind kind;
        bool text;
        const char *want;
    } cases[] = {
        {WM_EVENT_TEXT, true, "my cat"},
        {WM_EVENT_TEXT, false, ""},
        {WM_EVENT_IMAGE, false, "[picture]"},
        {WM_EVENT_IMAGE, true, "[picture: my cat]"},
        {WM_EVENT_AUDIO, false, "[voice message]"},
        {WM_EVENT_BUTTON, true, "my cat"},
        {WM_EVENT_BUTTON, false, "[button]"},
        {WM_EVENT_UNSUPPORTED, false, "[message of a kind that cannot be shown here]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_event e = {.kind = cases[i].kind, .text = cases[i].text ? caption : NULL};
        struct wm_buffer out = WM_BUFFER(1000);
        wm_meaning_words(&e, &out);
        assert_string_equal(out.data ? out.data : "", cases[i].want);
        wm_buffer_free(&out);
    }
}

static void the_conversation_that_is_due_first_comes_first(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct wm_talks talks;
    unsigned dice = 3;
    assert_true(wm_talks_init(&talks));
    for (int i = 1; i <= MANY; i++)
        assert_non_null(wm_talks_add(&talks, i));
    for (int round = 0; round < 3 * MANY; round++) { /* made due, moved, taken out, in any order */
        dice = dice * 1103515245u + 12345u;
        struct wm_talk *talk = wm_talks_find(&talks, 1 + (dice >> 8) % MANY);
        wm_talks_due(&talks, talk, round % 5 == 0 ? INT64_MAX : (int64_t)(dice >> 20));
    }
    int64_t last = INT64_MIN;
    size_t due = talks.heap_n;
    for (struct wm_talk *talk; (talk = wm_talks_first(&talks)); due--) {
        assert_true(talk->due_ms >= last);
        last = talk->due_ms;
        wm_talks_remove(&talks, talk);
    }
    assert_int_equal(due, 0);
    assert_null(wm_talks_find(&talks, MANY + 1));
    wm_talks_end(&talks);
}

static void past_the_limit_no_conversation_comes_into_memory(void **state)
{
    (void)state;
    struct wm_talks talks;
    assert_true(wm_talks_init(&talks));
    for (int i = 1; i <= WM_TALKS_MAX; i++)
        assert_non_null(wm_talks_add(&talks, i));
    assert_null(wm_talks_add(&talks, WM_TALKS_MAX + 1));
    wm_talks_remove(&talks, wm_talks_find(&talks, 7));
    assert_non_null(wm_talks_add(&talks, WM_TALKS_MAX + 1));
    wm_talks_end(&talks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_word_counts_only_as_the_whole_message),
        cmocka_unit_test(events_mean_what_the_table_says),
        cmocka_unit_test(what_the_model_cannot_see_is_said_in_words),
        cmocka_unit_test(the_conversation_that_is_due_first_comes_first),
        cmocka_unit_test(past_the_limit_no_conversation_comes_into_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

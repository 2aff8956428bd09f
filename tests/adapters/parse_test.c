/* parse_test.c -- WhatsApp bodies at their edges: batches, what is missing or of the wrong type, numbers and characters
 * that JSON readers choke on, and the keys that make a repeat recognisable. Whole real bodies: payloads_test.c.
 */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/meta/json.h"
#include "adapters/registry.h"
#include "kernels/base/utf8.h"

#define ARRIVED_MS 1800000000000LL

#define BODY(changes)                                                                                        \
    "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"1\",\"changes\":[" changes "]}]}"
#define VALUE(members)                                                                                       \
    BODY("{\"field\":\"messages\",\"value\":{\"metadata\":{\"display_phone_number\":\"+1 555-000\","         \
         "\"phone_number_id\":\"400\"}," members "}}")
#define MESSAGE(members) VALUE("\"messages\":[{" members "}]")
#define FROM             "\"from\":\"34600\",\"id\":\"wamid.1\",\"timestamp\":\"1700000000\","

static enum wm_status parse(const char *body, size_t len, struct wm_event_list *out, struct wm_error *err)
{
    enum wm_status st = wm_adapter_find("whatsapp")->parse(NULL, body, len, ARRIVED_MS, out, err);
    for (size_t i = 0; i < out->n; i++) { /* what every event must have */
        const struct wm_event *e = &out->events[i];
        assert_non_null(e->key);
        assert_in_range(e->at_ms, 0, ARRIVED_MS + 5 * 60 * 1000);
        const char *const texts[] = {e->key,     e->id,   e->sender, e->text,
                                     e->payload, e->name, e->field,  e->status};
        for (size_t t = 0; t < COUNT(texts); t++)
            if (texts[t] && !wm_utf8_valid(texts[t], strlen(texts[t])))
                fail_msg("event %zu holds ill-formed UTF-8", i);
    }
    return st;
}

static struct wm_event_list events_of(const char *body)
{
    struct wm_event_list list = {0};
    struct wm_error err = WM_ERROR_INIT;
    if (parse(body, strlen(body), &list, &err) != WM_OK)
        fail_msg("%s: %s", body, err.text);
    return list;
}

static bool same(const char *got, const char *want)
{
    return got && want ? strcmp(got, want) == 0 : got == want;
}

static void one_message_gives_one_event(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum wm_event_kind kind;
        bool wants_reply;
        const char *sender, *text, *payload, *media, *target;
    } cases[] = {
        {MESSAGE(FROM "\"type\":\"text\",\"text\":{\"body\":\"hi\"}"), WM_EVENT_TEXT, true, "34600", "hi", 0,
         0, 0},
        {MESSAGE(FROM
                 "\"type\":\"text\",\"text\":{\"body\":\"hi\"},\"context\":{\"id\":\"w.0\",\"from\":\"1\"}"),
         WM_EVENT_TEXT, true, "34600", "hi", 0, 0, "w.0"},
        {MESSAGE(FROM "\"type\":\"text\",\"text\":{\"body\":\"hi\"},\"group_id\":\"g@g.us\""), WM_EVENT_TEXT,
         false, "34600", "hi", 0, 0, 0},
        {MESSAGE(FROM "\"type\":\"hologram\",\"hologram\":{}"), WM_EVENT_UNSUPPORTED, true, "34600", 0, 0, 0,
         0},
        {MESSAGE(FROM "\"type\":null"), WM_EVENT_UNSUPPORTED, true, "34600", 0, 0, 0, 0},
        {MESSAGE(FROM "\"type\":\"text\",\"text\":null"), WM_EVENT_TEXT, true, "34600", 0, 0, 0, 0},
        {MESSAGE(FROM "\"type\":\"text\",\"text\":[1]"), WM_EVENT_TEXT, true, "34600", 0, 0, 0, 0},
        {MESSAGE(FROM "\"type\":\"audio\",\"audio\":{\"id\":77,\"mime_type\":\"audio/ogg; codecs=opus\"}"),
         WM_EVENT_AUDIO, true, "34600", 0, 0, "77", 0},
        {MESSAGE(FROM "\"type\":\"location\",\"location\":{\"latitude\":40.41670,\"longitude\":-3.7e0,"
                      "\"name\":\"Sol\"}"),
         WM_EVENT_LOCATION, true, "34600", "Sol (40.41670, -3.7e0)", 0, 0, 0},
        {MESSAGE(FROM
                 "\"type\":\"contacts\",\"contacts\":[{\"name\":{\"formatted_name\":\"Luis P.\"},\"phones\":"
                 "[{\"phone\":\"+34 6\"},{\"wa_id\":\"347\"}]},{}]"),
         WM_EVENT_CONTACTS, true, "34600", "Luis P.: +34 6, 347\n?", 0, 0, 0},
        {MESSAGE(
             FROM
             "\"type\":\"order\",\"order\":{\"catalog_id\":\"6\",\"text\":\"today\",\"product_items\":"
             "[{\"product_retailer_id\":\"sku\",\"quantity\":2,\"item_price\":12.50,\"currency\":\"EUR\"}]}"),
         WM_EVENT_ORDER, true, "34600", "today\n2 x sku (12.50 EUR)", "6", 0, 0},
        {MESSAGE(FROM "\"type\":\"interactive\",\"interactive\":{\"type\":\"nfm_reply\",\"nfm_reply\":"
                      "{\"response_json\":\"{}\",\"body\":\"Sent\"}}"),
         WM_EVENT_INTERACTIVE, true, "34600", "Sent", "{}", 0, 0},
        {MESSAGE(FROM "\"type\":\"reaction\",\"reaction\":{\"message_id\":\"w.0\"}"), WM_EVENT_REACTION,
         false, "34600", "", 0, 0, "w.0"},
        {MESSAGE(FROM
                 "\"type\":\"edit\",\"edit\":{\"original_message_id\":\"w.0\",\"message\":{\"type\":\"edit\","
                 "\"edit\":{\"message\":{\"type\":\"text\"}}}}"),
         WM_EVENT_EDIT, false, "34600", 0, 0, 0, "w.0"},
        {MESSAGE("\"from\":\"1555000\",\"id\":\"w\",\"to\":\"34600\",\"type\":\"text\",\"text\":{\"body\":"
                 "\"me\"}"),
         WM_EVENT_ECHO, false, "34600", "me", 0, 0,
         0}, /* the business's own number, written in another way */
        {MESSAGE("\"id\":\"w\",\"type\":\"text\",\"text\":{\"body\":\"who\"}"), WM_EVENT_TEXT, false, 0,
         "who", 0, 0, 0},
        {MESSAGE("\"from_user_id\":\"ES.9\",\"id\":\"w\",\"type\":\"text\",\"text\":{\"body\":\"x\"}"),
         WM_EVENT_TEXT, true, "ES.9", "x", 0, 0, 0},
        {VALUE("\"contacts\":[{\"user_id\":\"ES.9\"}],\"messages\":[{\"id\":\"w\",\"type\":\"text\"}]"),
         WM_EVENT_TEXT, true, "ES.9", 0, 0, 0, 0},
        {VALUE("\"messages\":{" FROM "\"type\":\"text\",\"text\":{\"body\":\"no array\"}}"), WM_EVENT_TEXT,
         true, "34600", "no array", 0, 0, 0},
        {BODY("{\"field\":\"standby\",\"value\":{\"messages\":[{" FROM "\"type\":\"text\"}]}}"),
         WM_EVENT_TEXT, false, "34600", 0, 0, 0, 0},
        {BODY("{\"field\":\"history\",\"value\":{\"history\":[{\"threads\":[{\"id\":\"34600\",\"messages\":["
              "{" FROM "\"type\":\"text\",\"text\":{\"body\":\"old\"}}]}]}]}}"),
         WM_EVENT_OTHER, false, "34600", "old", 0, 0, 0},
        {BODY("{\"field\":\"account_update\",\"value\":{\"event\":\"X\"}}"), WM_EVENT_OTHER, false, 0, 0, 0,
         0, 0},
        {BODY("{\"field\":\"security\"}"), WM_EVENT_OTHER, false, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_event_list list = events_of(cases[i].body);
        if (list.n != 1)
            fail_msg("%s gives %zu events", cases[i].body, list.n);
        const struct wm_event *e = list.events;
        if (e->kind != cases[i].kind || e->wants_reply != cases[i].wants_reply ||
            !same(e->sender, cases[i].sender) || !same(e->text, cases[i].text) ||
            !same(e->payload, cases[i].payload) || !same(e->media[0], cases[i].media) ||
            !same(e->target, cases[i].target))
            fail_msg("%s\ngives %s, wants_reply %d, sender %s, text %s, payload %s, media %s, target %s",
                     cases[i].body, wm_event_kind_name(e->kind), e->wants_reply, e->sender ? e->sender : "-",
                     e->text ? e->text : "-", e->payload ? e->payload : "-", e->media[0] ? e->media[0] : "-",
                     e->target ? e->target : "-");
        wm_event_list_free(&list);
    }
}

static void nothing_in_a_body_is_no_event_and_no_error(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"object\":\"whatsapp_business_account\"}",
        "{\"object\":\"whatsapp_business_account\",\"entry\":null}",
        "{\"object\":\"whatsapp_business_account\",\"entry\":[]}",
        "{\"object\":\"whatsapp_business_account\",\"entry\":[null,7,\"x\",{}]}",
        BODY(""),
        BODY("null"),
        BODY("{}"),
        BODY("{\"field\":\"messages\",\"value\":null}"),
        VALUE("\"messages\":null"),
        VALUE("\"messages\":[]"),
        VALUE("\"messages\":[null,1,\"x\",[]]"),
    };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct wm_event_list list = events_of(bodies[i]);
        if (list.n)
            fail_msg("%s gives %zu events", bodies[i], list.n);
        wm_event_list_free(&list);
    }
}

static void what_is_no_body_of_ours_is_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *body, *sentence;
    } cases[] = {
        {"", "not JSON"},
        {"hello", "not JSON"},
        {"{\"object\":", "not JSON"},
        {"{\"object\":\"whatsapp_business_account\"} x", "not JSON"},
        {"\xEF\xBB\xBF{\"object\":\"whatsapp_business_account\"}", "not JSON"},
        {"{\"object\":\"whatsapp_business_account\",\"n\":01}", "number"},
        {"{\"object\":\"whatsapp_business_account\",\"n\":-}", "number"},
        {"{\"object\":\"whatsapp_business_account\",\"n\":1.}", "number"},
        {"{\"object\":\"whatsapp_business_account\",\"n\":1e}", "number"},
        {"{\"object\":\"whatsapp_business_account\",\"n\":NaN}", "not JSON"},
        {"{\"object\":\"whatsapp_business_account\",\"n\":1x}", "not JSON"},
        {"{\"object\":\"whatsapp_business_account\",\"n\":\"unfinished}", "not JSON"},
        {"{\"object\":\"whatsapp_business_account\",\"n\":\"bad \\q\"}", "not JSON"},
        {"{\"object\":\"whatsapp_business_account\",\"n\":\"bad \\u12G4\"}", "not JSON"},
        {"[]", "\"object\" is \"\""},
        {"{}", "\"object\" is \"\""},
        {"{\"object\":\"instagram\",\"entry\":[]}", "\"instagram\""},
        {"{\"object\":null}", "\"object\" is \"\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_event_list list = {0};
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(parse(cases[i].body, strlen(cases[i].body), &list, &err), WM_EFORMAT);
        if (!strstr(err.text, cases[i].sentence) || strstr(err.text, "unfinished"))
            fail_msg("%s: %s", cases[i].body, err.text);
        assert_int_equal(list.n, 0);
    }
}

static void every_digit_and_every_character_survives(void **state)
{
    (void)state;
    static const struct {
        const char *literal, *text; /* of text.body */
    } cases[] = {
        {"12345678901234567890123456789", "12345678901234567890123456789"},
        {"-0.10e+5", "-0.10e+5"},
        {"1e999", "1e999"},
        {"\"\\u00e1\\/\\ud83d\\ude00\"", "\xC3\xA1/\xF0\x9F\x98\x80"},
        {"\"a\\ud83db\"", "a\xEF\xBF\xBD"
                          "b"}, /* half an emoji */
        {"\"a\\ude00b\"", "a\xEF\xBF\xBD"
                          "b"},
        {"\"\\ud83d\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80"},
        {"\"\\uD83D\\uDE00\"", "\xF0\x9F\x98\x80"},
        {"\"a\\u0000b\"", "ab"},
        {"\"a\xFF\xC3(\"", "a\xEF\xBF\xBD\xEF\xBF\xBD("}, /* ill-formed UTF-8 */
        {"\"\\\\ud83d\"", "\\ud83d"},                     /* an escaped backslash, no escape */
        {"\"\\\"1\"", "\"1"},
        {"\"1, 2\"", "1, 2"},
        {"\"\"", ""},
        {"\"x\",\"body\":\"y\"", "y"}, /* of a doubled key the last counts */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char body[1024];
        snprintf(
            body, sizeof body, "%s%s}}]}}]}]}",
            "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"field\":\"messages\","
            "\"value\":{"
            "\"messages\":[{\"from\":34600111222333444555666,\"id\":99999999999999999999,\"type\":\"text\","
            "\"text\":{\"body\":",
            cases[i].literal);
        struct wm_event_list list = events_of(body);
        assert_int_equal(list.n, 1);
        assert_string_equal(list.events[0].text, cases[i].text);
        assert_string_equal(list.events[0].id, "99999999999999999999");
        assert_string_equal(list.events[0].sender, "34600111222333444555666");
        wm_event_list_free(&list);
    }
}

static void time_is_clamped(void **state)
{
    (void)state;
    static const struct {
        const char *literal;
        int64_t at_ms;
    } cases[] = {
        {"\"1700000000\"", 1700000000000},
        {"1700000000", 1700000000000},
        {"1700000000123", 1700000000123}, /* milliseconds */
        {"\"1700000000.9\"", 1700000000000},
        {"null", ARRIVED_MS},
        {"\"\"", ARRIVED_MS},
        {"\"soon\"", ARRIVED_MS},
        {"0", 0},
        {"-5", 0},
        {"4102444800", ARRIVED_MS + 300000}, /* the year 2100 */
        {"99999999999999999999", ARRIVED_MS + 300000},
        {"-99999999999999999999", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char body[512];
        snprintf(body, sizeof body, "%s%s}]}}]}]}",
                 "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"field\":\"messages\","
                 "\"value\":{"
                 "\"messages\":[{\"from\":\"1\",\"id\":\"w\",\"type\":\"text\",\"timestamp\":",
                 cases[i].literal);
        struct wm_event_list list = events_of(body);
        assert_int_equal(list.n, 1);
        if (list.events[0].at_ms != cases[i].at_ms)
            fail_msg("%s is %lld", cases[i].literal, (long long)list.events[0].at_ms);
        wm_event_list_free(&list);
    }
}

static void a_batch_gives_all_its_events_in_order(void **state)
{
    (void)state;
    enum { UPDATES = 1000 };
    struct wm_buffer body = WM_BUFFER(1 << 20);
    wm_buffer_puts(&body, "{\"object\":\"whatsapp_business_account\",\"entry\":[");
    for (int i = 0; i < UPDATES; i++) /* ten entries of ten changes of ten messages */
        wm_buffer_printf(
            &body, "%s%s%s{\"from\":\"%d\",\"id\":\"w.%d\",\"type\":\"text\",\"text\":{\"body\":\"%d\"}}%s%s",
            i % 100 == 0 ? (i ? ",{\"changes\":[" : "{\"changes\":[") : "",
            i % 10 == 0 ? (i % 100 ? ",{\"field\":\"messages\",\"value\":{\"messages\":["
                                   : "{\"field\":\"messages\",\"value\":{\"messages\":[")
                        : "",
            i % 10 ? "," : "", i, i, i, i % 10 == 9 ? "]}}" : "", i % 100 == 99 ? "]}" : "");
    wm_buffer_puts(&body, "]}");
    struct wm_event_list list = events_of(body.data);
    assert_int_equal(list.n, UPDATES);
    for (int i = 0; i < UPDATES; i++)
        assert_int_equal(strtol(list.events[i].text, NULL, 10), i);
    wm_event_list_free(&list);
    wm_buffer_free(&body);
}

static void more_updates_than_a_list_holds_are_a_limit_and_what_was_read_stays(void **state)
{
    (void)state;
    struct wm_buffer body = WM_BUFFER(8 << 20);
    wm_buffer_puts(
        &body,
        "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"value\":{\"calls\":[{}");
    for (int i = 0; i < WM_EVENTS_MAX; i++)
        wm_buffer_puts(&body, ",{}");
    wm_buffer_puts(&body, "]}}]}]}");
    struct wm_event_list list = {0};
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(parse(body.data, body.len, &list, &err), WM_ELIMIT);
    assert_int_equal(list.n, WM_EVENTS_MAX);
    wm_event_list_free(&list);

    wm_buffer_free(&body);
    char *large = malloc(WM_META_JSON_MAX + 1); /* and a text past what is read at all */
    memset(large, ' ', WM_META_JSON_MAX + 1);
    assert_int_equal(parse(large, WM_META_JSON_MAX + 1, &list, NULL), WM_ELIMIT);
    free(large);
}

static void depth_is_bounded_without_an_overflow(void **state)
{
    (void)state;
    static const struct {
        int depth;
        enum wm_status want;
    } cases[] = {{300, WM_OK}, {100000, WM_EFORMAT}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_buffer body = WM_BUFFER(1 << 20);
        wm_buffer_puts(&body, "{\"object\":\"whatsapp_business_account\",\"x\":");
        for (int d = 0; d < cases[i].depth; d++)
            wm_buffer_puts(&body, "[");
        for (int d = 0; d < cases[i].depth; d++)
            wm_buffer_puts(&body, "]");
        wm_buffer_puts(&body, "}");
        struct wm_event_list list = {0};
        assert_int_equal(parse(body.data, body.len, &list, NULL), cases[i].want);
        wm_buffer_free(&body);
    }
}

/* --- keys ---------------------------------------------------------------------------------------------------- */

static char *key_of(const char *body)
{
    struct wm_event_list list = events_of(body);
    assert_int_equal(list.n, 1);
    char *key = strdup(list.events[0].key);
    wm_event_list_free(&list);
    return key;
}

static void check_keys(const char *a, const char *b, bool want_same)
{
    char *ka = key_of(a), *kb = key_of(b);
    if ((strcmp(ka, kb) == 0) != want_same)
        fail_msg("keys %s and %s of\n%s\n%s", ka, kb, a, b);
    free(ka);
    free(kb);
}

#define STATUS(members) VALUE("\"statuses\":[{\"id\":\"w\"," members "}]")
#define HISTORY(message)                                                                                     \
    BODY(                                                                                                    \
        "{\"field\":\"history\",\"value\":{\"history\":[{\"threads\":[{\"id\":\"1\",\"messages\":[{" message \
        "}]}]}]}}")

static void a_repeat_has_the_same_key_and_nothing_else_has(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {MESSAGE(FROM "\"type\":\"text\",\"text\":{\"body\":\"a\"}"), MESSAGE(FROM "\"type\":\"text\""),
         true},
        {MESSAGE("\"from\":\"1\",\"id\":\"a\""), MESSAGE("\"from\":\"1\",\"id\":\"b\""), false},
        {MESSAGE("\"from\":\"1\",\"type\":\"text\""), MESSAGE("\"type\":\"text\",  \"from\":\"1\""), true},
        {MESSAGE("\"from\":\"1\",\"type\":\"text\""), MESSAGE("\"from\":\"2\",\"type\":\"text\""), false},
        {STATUS("\"status\":\"sent\""), STATUS("\"status\":\"sent\",\"timestamp\":\"1\""), true},
        {STATUS("\"status\":\"sent\""), STATUS("\"status\":\"read\""), false},
        {STATUS("\"status\":\"sent\""), MESSAGE("\"from\":\"1\",\"id\":\"w\""), false},
        {STATUS("\"status\":\"read\",\"recipient_type\":\"group\",\"recipient_participant_id\":\"1\""),
         STATUS("\"status\":\"read\",\"recipient_type\":\"group\",\"recipient_participant_id\":\"2\""),
         false},
        {HISTORY("\"id\":\"w\",\"from\":\"1\",\"type\":\"text\""), MESSAGE("\"id\":\"w\",\"from\":\"1\""),
         false},
        {BODY("{\"field\":\"account_update\",\"value\":{\"a\":1}}"),
         BODY("{\"value\":{\"a\":1},\"field\":\"account_update\"}"), true},
        {BODY("{\"field\":\"account_update\",\"value\":{\"a\":1}}"),
         BODY("{\"field\":\"account_update\",\"value\":{\"a\":2}}"), false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        check_keys(cases[i].a, cases[i].b, cases[i].same);
}

static void an_id_of_ten_kilobytes_has_a_short_key(void **state)
{
    (void)state;
    struct wm_buffer body = WM_BUFFER(1 << 16);
    wm_buffer_puts(
        &body, "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"changes\":[{\"value\":{\"messages\":"
               "[{\"from\":\"1\",\"type\":\"text\",\"id\":\"");
    for (int i = 0; i < 10240; i++)
        wm_buffer_puts(&body, "a");
    wm_buffer_puts(&body, "\"}]}}]}]}");
    char *key = key_of(body.data);
    assert_in_range(strlen(key), 1, 400);
    free(key);
    wm_buffer_free(&body);
}

static void a_status_carries_what_settles_a_row(void **state)
{
    (void)state;
    struct wm_event_list list = events_of(STATUS(
        "\"status\":\"failed\",\"recipient_id\":\"34600\",\"recipient_user_id\":\"ES.9\","
        "\"biz_opaque_callback_data\":\"row-7\",\"errors\":[{\"code\":131047,\"title\":\"t\",\"error_data\":{"
        "\"details\":\"window closed\"}}]"));
    const struct wm_event *e = list.events;
    assert_int_equal(e->kind, WM_EVENT_STATUS);
    assert_int_equal(e->delivery, WM_DELIVERY_FAILED);
    assert_string_equal(e->ref, "row-7");
    assert_string_equal(e->sender, "34600");
    assert_string_equal(e->aliases[0], "ES.9");
    assert_int_equal(e->error_code, 131047);
    assert_string_equal(e->error_text, "window closed");
    assert_false(e->wants_reply);
    wm_event_list_free(&list);

    static const char *const words[] = {"sent", "delivered", "read", "played", "failed"};
    for (size_t i = 0; i < COUNT(words); i++) {
        char body[512];
        snprintf(body, sizeof body, STATUS("\"status\":\"%s\""), words[i]);
        list = events_of(body);
        assert_int_equal(list.events[0].delivery, WM_DELIVERY_SENT + i);
        wm_event_list_free(&list);
    }
}

static void a_person_keeps_all_ids_the_lasting_ones_first(void **state)
{
    (void)state;
    struct wm_event_list list = events_of(
        VALUE("\"contacts\":[{\"wa_id\":\"1\",\"user_id\":\"XX.1\",\"profile\":{\"name\":\"Other\"}},"
              "{\"wa_id\":\"34600\",\"user_id\":\"ES.9\",\"parent_user_id\":\"ES.ENT.9\",\"profile\":{"
              "\"name\":\"Ana\"}}],"
              "\"messages\":[{" FROM "\"type\":\"text\"}]"));
    assert_string_equal(list.events[0].sender, "34600");
    assert_string_equal(list.events[0].aliases[0], "ES.9");
    assert_string_equal(list.events[0].aliases[1], "ES.ENT.9");
    assert_null(list.events[0].aliases[2]);
    assert_string_equal(list.events[0].name, "Ana");
    wm_event_list_free(&list);

    list = events_of(MESSAGE(
        FROM "\"type\":\"system\",\"system\":{\"type\":\"user_changed_number\",\"wa_id\":\"34699\"}"));
    assert_string_equal(list.events[0].aliases[0], "34699"); /* the same person behind a new number */
    wm_event_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_message_gives_one_event),
        cmocka_unit_test(nothing_in_a_body_is_no_event_and_no_error),
        cmocka_unit_test(what_is_no_body_of_ours_is_malformed),
        cmocka_unit_test(every_digit_and_every_character_survives),
        cmocka_unit_test(time_is_clamped),
        cmocka_unit_test(a_batch_gives_all_its_events_in_order),
        cmocka_unit_test(more_updates_than_a_list_holds_are_a_limit_and_what_was_read_stays),
        cmocka_unit_test(depth_is_bounded_without_an_overflow),
        cmocka_unit_test(a_repeat_has_the_same_key_and_nothing_else_has),
        cmocka_unit_test(an_id_of_ten_kilobytes_has_a_short_key),
        cmocka_unit_test(a_status_carries_what_settles_a_row),
        cmocka_unit_test(a_person_keeps_all_ids_the_lasting_ones_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

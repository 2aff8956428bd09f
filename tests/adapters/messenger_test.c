/* messenger_test.c -- Messenger and Instagram, in and out, at their edges. Whole real bodies: payloads_test.c. The bodies
 * here follow Meta's documentation of 2026.
 */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/registry.h"
#include "kernels/base/utf8.h"

#define ARRIVED_MS 1800000000000LL
#define ENTRY(object, list, updates)                                                                         \
    "{\"object\":\"" object "\",\"entry\":[{\"id\":\"104\",\"time\":1767225600123,\"" list "\":[" updates    \
    "]}]}"
#define ENDS(from, to)                                                                                       \
    "{\"sender\":{\"id\":\"" from "\"},\"recipient\":{\"id\":\"" to "\"},\"timestamp\":1767225599000,"
#define PAGE(member)    ENTRY("page", "messaging", ENDS("24", "104") member "}")
#define INSTA(member)   ENTRY("instagram", "messaging", ENDS("24", "104") member "}")
#define STANDBY(member) ENTRY("page", "standby", ENDS("24", "104") member "}")
#define ECHO(member)    ENTRY("page", "messaging", ENDS("104", "24") member "}")

static struct wm_event_list events_of(const char *platform, const char *body)
{
    struct wm_event_list list = {0};
    struct wm_error err = WM_ERROR_INIT;
    if (wm_adapter_find(platform)->parse(NULL, body, strlen(body), ARRIVED_MS, &list, &err) != WM_OK)
        fail_msg("%s: %s", body, err.text);
    for (size_t i = 0; i < list.n; i++)
        assert_non_null(list.events[i].key);
    return list;
}

static bool same(const char *got, const char *want)
{
    return got && want ? strcmp(got, want) == 0 : got == want;
}

static void an_update_gives_one_event(void **state)
{
    (void)state;
    static const struct {
        const char *platform, *body;
        enum wm_event_kind kind;
        bool wants_reply;
        const char *sender, *id, *text, *payload, *target, *media0, *media1, *field;
    } cases[] = {
        {"messenger", PAGE("\"message\":{\"mid\":\"m1\",\"text\":\"Hi\"}"), WM_EVENT_TEXT, true, "24", "m1",
         "Hi"},
        {"messenger", PAGE("\"message\":{\"mid\":\"m2\",\"text\":\"it\",\"reply_to\":{\"mid\":\"m0\"}}"),
         WM_EVENT_TEXT, true, "24", "m2", "it", NULL, "m0"},
        {"messenger",
         PAGE("\"message\":{\"mid\":\"m3\",\"text\":\"Yes\",\"quick_reply\":{\"payload\":\"Y\"}}"),
         WM_EVENT_TEXT, true, "24", "m3", "Yes", "Y"},
        {"messenger",
         PAGE("\"message\":{\"mid\":\"m4\",\"attachments\":[{\"type\":\"image\",\"payload\":{\"url\":\"https:"
              "//a\"}},{\"type\":\"image\",\"payload\":{\"url\":\"https://b\"}}]}"),
         WM_EVENT_IMAGE, true, "24", "m4", NULL, NULL, NULL, "https://a", "https://b"},
        {"messenger",
         PAGE("\"message\":{\"mid\":\"m5\",\"text\":\"this?\",\"attachments\":[{\"type\":\"image\","
              "\"payload\":{\"url\":\"https://a\"}}]}"),
         WM_EVENT_IMAGE, true, "24", "m5", "this?", NULL, NULL, "https://a"},
        /* one sticker, told twice */
        {"messenger",
         PAGE("\"message\":{\"mid\":\"m6\",\"sticker_id\":369239263222822,\"attachments\":[{\"type\":"
              "\"sticker\",\"payload\":{\"url\":\"https://s\",\"sticker_id\":\"369239263222822\"}},{\"type\":"
              "\"image\",\"payload\":{\"url\":\"https://s\",\"sticker_id\":369239263222822}}]}"),
         WM_EVENT_STICKER, true, "24", "m6", NULL, NULL, NULL, "https://s", NULL},
        {"messenger",
         PAGE("\"message\":{\"mid\":\"m7\",\"text\":\"https://e\",\"attachments\":[{\"type\":\"fallback\","
              "\"payload\":null,\"url\":\"https://l\",\"title\":\"E\"}]}"),
         WM_EVENT_TEXT, true, "24", "m7", "https://e"},
        {"messenger",
         PAGE("\"message\":{\"mid\":\"m8\",\"attachments\":[{\"type\":\"template\",\"payload\":\"x\"}]}"),
         WM_EVENT_UNSUPPORTED, true, "24", "m8", NULL, NULL, NULL, NULL, NULL, "template"},
        {"messenger",
         PAGE("\"message\":{\"mid\":\"m9\",\"attachments\":[{\"type\":\"location\",\"payload\":{"
              "\"coordinates\":{\"lat\":40.4,\"long\":-3.70}}}]}"),
         WM_EVENT_LOCATION, true, "24", "m9", "40.4, -3.70"},
        {"messenger", PAGE("\"postback\":{\"mid\":\"p1\",\"title\":\"Go\",\"payload\":\"GO\"}"),
         WM_EVENT_POSTBACK, true, "24", "p1", "Go", "GO"},
        {"messenger", PAGE("\"postback\":{\"title\":\"Go\"},\"referral\":{\"ref\":\"r\"}"), WM_EVENT_POSTBACK,
         true, "24", NULL, "Go"},
        {"messenger", PAGE("\"message_edit\":{\"mid\":\"m2\",\"text\":\"that\",\"num_edit\":\"1\"}"),
         WM_EVENT_EDIT, false, "24", "m2", "that", NULL, "m2"},
        {"messenger", PAGE("\"reaction\":{\"mid\":\"m2\",\"action\":\"react\",\"reaction\":\"love\"}"),
         WM_EVENT_REACTION, false, "24", NULL, "love", NULL, "m2"},
        {"messenger", PAGE("\"reaction\":{\"mid\":\"m2\",\"action\":\"unreact\"}"), WM_EVENT_REACTION, false,
         "24", NULL, "", NULL, "m2"},
        {"messenger", PAGE("\"read\":{\"watermark\":1767225590000}"), WM_EVENT_READ, false, "24", NULL, NULL,
         "1767225590000"},
        {"messenger", PAGE("\"delivery\":{\"watermark\":1767225590000}"), WM_EVENT_DELIVERY, false, "24",
         NULL, NULL, "1767225590000"},
        {"messenger", PAGE("\"delivery\":{\"mids\":[\"a\",\"b\"],\"watermark\":5}"), WM_EVENT_DELIVERY, false,
         "24", NULL, NULL, "5", "b"},
        {"messenger", PAGE("\"optin\":{\"payload\":\"p\",\"title\":\"News\"}"), WM_EVENT_OPTIN, false, "24",
         NULL, "News", "p"},
        {"messenger", PAGE("\"referral\":{\"ref\":\"r3\",\"source\":\"SHORTLINK\"}"), WM_EVENT_REFERRAL,
         false, "24", NULL, NULL, "r3", NULL, NULL, NULL, "SHORTLINK"},
        {"messenger", PAGE("\"take_thread_control\":{\"new_owner_app_id\":263902037430900}"),
         WM_EVENT_HANDOVER, false, "24", NULL, NULL, "263902037430900", NULL, NULL, NULL,
         "take_thread_control"},
        {"messenger", PAGE("\"something_new\":{\"x\":1}"), WM_EVENT_OTHER, false, "24", NULL, NULL, NULL,
         NULL, NULL, NULL, "something_new"},
        /* said to another app: known, never a turn */
        {"messenger", STANDBY("\"message\":{\"mid\":\"m12\",\"text\":\"you\"}"), WM_EVENT_OTHER, false, "24",
         "m12", "you", NULL, NULL, NULL, NULL, "standby"},
        /* somebody answered in the page's inbox */
        {"messenger",
         ECHO("\"message\":{\"mid\":\"o1\",\"is_echo\":true,\"app_id\":263902037430900,\"text\":"
              "\"Me\"}"),
         WM_EVENT_ECHO, false, "24", "o1", "Me", "263902037430900"},
        {"messenger", ECHO("\"message\":{\"mid\":\"o2\",\"text\":\"no mark\"}"), WM_EVENT_ECHO, false, "24",
         "o2", "no mark"},
        {"messenger", ECHO("\"message\":{\"mid\":\"o3\",\"is_echo\":true,\"metadata\":\"wm:x:7\"}"),
         WM_EVENT_STATUS, false, "24", "o3"},
        {"instagram", INSTA("\"message\":{\"mid\":\"aW2\",\"is_deleted\":true}"), WM_EVENT_DELETE, false,
         "24", "aW2", NULL, NULL, "aW2"},
        {"instagram", INSTA("\"message\":{\"mid\":\"aW3\",\"is_unsupported\":true}"), WM_EVENT_UNSUPPORTED,
         true, "24", "aW3"},
        {"instagram", INSTA("\"message\":{\"mid\":\"aW4\",\"attachments\":[{\"type\":\"ephemeral\"}]}"),
         WM_EVENT_UNSUPPORTED, true, "24", "aW4", NULL, NULL, NULL, NULL, NULL, "ephemeral"},
        {"instagram", INSTA("\"read\":{\"mid\":\"aWOUT1\"}"), WM_EVENT_READ, false, "24", NULL, NULL, NULL,
         "aWOUT1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_event_list list = events_of(cases[i].platform, cases[i].body);
        assert_int_equal(list.n, 1);
        const struct wm_event *e = &list.events[0];
        if (e->kind != cases[i].kind || e->wants_reply != cases[i].wants_reply ||
            !same(e->sender, cases[i].sender) || !same(e->id, cases[i].id) || !same(e->text, cases[i].text) ||
            !same(e->payload, cases[i].payload) || !same(e->target, cases[i].target) ||
            !same(e->media[0], cases[i].media0) || !same(e->media[1], cases[i].media1) ||
            !same(e->field, cases[i].field) || !same(e->account, "104"))
            fail_msg(
                "%s\n became %s, sender %s, id %s, text %s, payload %s, target %s, media %s %s, field %s",
                cases[i].body, wm_event_kind_name(e->kind), e->sender, e->id, e->text, e->payload, e->target,
                e->media[0], e->media[1], e->field);
        wm_event_list_free(&list);
    }
}

static void a_batch_loses_nothing(void **state)
{
    (void)state;
    struct wm_event_list list = events_of(
        "messenger",
        "{\"object\":\"page\",\"entry\":[7,null,{\"id\":104,\"messaging\":[null,{},{\"message\":{\"mid\":1}},"
        "{\"sender\":{\"id\":24},\"message\":{\"mid\":2,\"text\":\"a\"}}],\"standby\":[{\"read\":{}}],"
        "\"changes\":[{\"field\":\"feed\"},3]},{\"messaging\":{}},{\"id\":\"105\",\"messaging\":[{\"sender\":"
        "{"
        "\"id\":\"25\"},\"message\":{\"text\":\"b\"}}]}]}");
    assert_int_equal(list.n, 6);
    assert_string_equal(list.events[2].text, "a");
    assert_string_equal(list.events[2].account, "104");
    assert_int_equal(list.events[3].kind, WM_EVENT_READ);
    assert_string_equal(list.events[4].field, "feed");
    assert_string_equal(list.events[5].text, "b");
    assert_string_equal(list.events[5].account, "105");
    wm_event_list_free(&list);
}

static void a_repeat_has_the_same_key_and_another_happening_has_not(void **state)
{
    (void)state;
    static const struct {
        const char *platform, *a, *b;
        bool equal;
    } cases[] = {
        {"messenger", PAGE("\"message\":{\"mid\":\"m\",\"text\":\"a\"}"),
         PAGE("\"message\":{\"mid\":\"m\",\"text\":\"a\",\"seq\":3}"), true},
        {"instagram", INSTA("\"message\":{\"mid\":\"m\",\"text\":\"a\"}"),
         INSTA("\"message\":{\"mid\":\"m\",\"is_deleted\":true}"), false},
        {"messenger", PAGE("\"message_edit\":{\"mid\":\"m\",\"text\":\"a\",\"num_edit\":1}"),
         PAGE("\"message_edit\":{\"mid\":\"m\",\"text\":\"a\",\"num_edit\":2}"), false},
        {"messenger", PAGE("\"reaction\":{\"mid\":\"m\",\"action\":\"react\",\"emoji\":\"x\"}"),
         PAGE("\"reaction\":{\"mid\":\"m\",\"action\":\"unreact\"}"), false},
        {"messenger", PAGE("\"read\":{\"watermark\":1}"), PAGE("\"read\":{\"watermark\":1}"), true},
        {"messenger", PAGE("\"read\":{\"watermark\":1}"), PAGE("\"read\":{\"watermark\":2}"), false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_event_list a = events_of(cases[i].platform, cases[i].a);
        struct wm_event_list b = events_of(cases[i].platform, cases[i].b);
        if (same(a.events[0].key, b.events[0].key) != cases[i].equal)
            fail_msg("case %zu: keys %s and %s", i, a.events[0].key, b.events[0].key);
        wm_event_list_free(&a);
        wm_event_list_free(&b);
    }
}

static void a_body_of_another_platform_is_refused_in_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *platform, *body;
    } cases[] = {{"messenger", INSTA("\"read\":{}")},
                 {"instagram", PAGE("\"read\":{}")},
                 {"messenger", "{\"object\":\"whatsapp_business_account\"}"},
                 {"messenger", "[]"},
                 {"instagram", "{"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_event_list list = {0};
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(wm_adapter_find(cases[i].platform)
                             ->parse(NULL, cases[i].body, strlen(cases[i].body), ARRIVED_MS, &list, &err),
                         WM_EFORMAT);
        assert_int_equal(list.n, 0);
        assert_true(strlen(err.text) > 20);
        wm_event_list_free(&list);
    }
}

/* --- out ------------------------------------------------------------------------------------------------------- */

static struct wm_channel *open_channel(const struct wm_adapter *adapter)
{
    const struct wm_channel_config config = {.name = "test",
                                             .account = "104",
                                             .app_secrets = {"shhh-test-secret-0123456789abcdef"},
                                             .access_token = "EAATESTTOKEN123",
                                             .graph_url = "http://127.0.0.1:1/v25.0"};
    struct wm_channel *channel;
    assert_int_equal(adapter->open(&config, &channel, NULL), WM_OK);
    return channel;
}

static void a_call_says_what_the_platform_wants(void **state)
{
    (void)state;
    static const struct {
        const char *platform;
        struct wm_outgoing what;
        const char *body;
    } cases[] = {
        {"messenger",
         {.kind = WM_OUT_TEXT, .to = "24", .text = "Hi", .ref = "wm:1"},
         "{\"recipient\":{\"id\":\"24\"},\"messaging_type\":\"RESPONSE\",\"message\":{\"text\":\"Hi\","
         "\"metadata\":\"wm:1\"}}"},
        {"messenger",
         {.kind = WM_OUT_TEXT, .to = "24", .text = "Hi", .target = "m2"},
         "{\"recipient\":{\"id\":\"24\"},\"messaging_type\":\"RESPONSE\",\"message\":{\"text\":\"Hi\"},"
         "\"reply_to\":{\"mid\":\"m2\"}}"},
        {"messenger",
         {.kind = WM_OUT_READ, .to = "24", .target = "m2"},
         "{\"recipient\":{\"id\":\"24\"},\"sender_action\":\"mark_seen\"}"},
        {"instagram",
         {.kind = WM_OUT_TEXT, .to = "24", .text = "Hi", .ref = "wm:1"},
         "{\"recipient\":{\"id\":\"24\"},\"message\":{\"text\":\"Hi\"}}"},
        {"instagram",
         {.kind = WM_OUT_TYPING, .to = "24"},
         "{\"recipient\":{\"id\":\"24\"},\"sender_action\":\"typing_on\"}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct wm_adapter *adapter = wm_adapter_find(cases[i].platform);
        struct wm_channel *channel = open_channel(adapter);
        struct wm_http_call *call;
        assert_int_equal(adapter->request(channel, &cases[i].what, &call, NULL), WM_OK);
        assert_string_equal(call->url, "http://127.0.0.1:1/v25.0/104/messages");
        assert_string_equal(call->body, cases[i].body);
        assert_string_equal(call->headers[0], "Authorization: Bearer EAATESTTOKEN123");
        wm_http_call_free(call);
        adapter->close(channel);
    }
}

static void what_cannot_be_sent_is_refused_before_the_call(void **state)
{
    (void)state;
    static char long_ref[1001];
    memset(long_ref, 'r', sizeof long_ref - 1);
    const struct wm_outgoing cases[] = {
        {.kind = WM_OUT_TEXT, .text = "x"},
        {.kind = WM_OUT_TEXT, .to = "", .text = "x"},
        {.kind = WM_OUT_TEXT, .to = "24"},
        {.kind = WM_OUT_TEXT, .to = "24", .text = "x", .ref = long_ref},
        {.kind = WM_OUT_TEXT, .to = "24", .text = "x", .account = "../me"},
        {.kind = WM_OUT_READ},
    };
    const struct wm_adapter *adapter = wm_adapter_find("messenger");
    struct wm_channel *channel = open_channel(adapter);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_http_call *call = NULL;
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(adapter->request(channel, &cases[i], &call, &err), WM_EINVAL);
        assert_null(call);
    }
    adapter->close(channel);
}

static void an_answer_means_what_its_code_and_subcode_say(void **state)
{
    (void)state;
#define REFUSAL(code, sub) "{\"error\":{\"code\":" code ",\"error_subcode\":" sub ",\"message\":\"m\"}}"
    static const struct {
        int status;
        const char *body;
        enum wm_outcome_kind kind;
    } cases[] = {
        {200, "{\"recipient_id\":\"24\",\"message_id\":\"m_OUT1\"}", WM_OUTCOME_SENT},
        {200, "{\"recipient_id\":\"24\"}", WM_OUTCOME_UNKNOWN},
        {400, REFUSAL("10", "2018278"), WM_OUTCOME_FAILED},
        {400, REFUSAL("10", "1893063"), WM_OUTCOME_PAUSE},
        {400, REFUSAL("10", "1"), WM_OUTCOME_PAUSE},
        {400, REFUSAL("100", "2018001"), WM_OUTCOME_FAILED},
        {400, REFUSAL("190", "460"), WM_OUTCOME_PAUSE},
        {400, REFUSAL("200", "1545041"), WM_OUTCOME_FAILED},
        {400, REFUSAL("200", "2018028"), WM_OUTCOME_PAUSE},
        {400, REFUSAL("613", "2534040"), WM_OUTCOME_RETRY},
        {500, REFUSAL("1200", "0"), WM_OUTCOME_RETRY},
        {500, REFUSAL("2", "0"), WM_OUTCOME_RETRY},
        {400, REFUSAL("551", "0"), WM_OUTCOME_FAILED},
        {502, "<html>", WM_OUTCOME_UNKNOWN},
    };
    const struct wm_outgoing text = {.kind = WM_OUT_TEXT, .to = "24", .text = "x"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct wm_http_result result = {.fate = WM_HTTP_ANSWERED,
                                              .status = cases[i].status,
                                              .body = cases[i].body,
                                              .body_len = strlen(cases[i].body),
                                              .retry_after_ms = -1};
        struct wm_outcome out;
        wm_adapter_find("messenger")->outcome(NULL, &text, &result, 1, &out);
        if (out.kind != cases[i].kind)
            fail_msg("%s: outcome %d, not %d", cases[i].body, out.kind, cases[i].kind);
    }
}

struct parts {
    size_t n, longest_bytes, longest_units;
    char first[64];
};

static enum wm_status keep(void *arg, const char *text, size_t len)
{
    struct parts *p = arg;
    size_t units = wm_utf8_utf16_len(text, len);
    assert_true(wm_utf8_valid(text, len));
    if (p->n++ == 0)
        snprintf(p->first, sizeof p->first, "%.*s", (int)len, text);
    p->longest_bytes = len > p->longest_bytes ? len : p->longest_bytes;
    p->longest_units = units > p->longest_units ? units : p->longest_units;
    return WM_OK;
}

static void a_long_reply_is_cut_by_what_the_platform_counts(void **state)
{
    (void)state;
    static char text[3 * 5000 + 1]; /* 5,000 characters of three bytes, a space every tenth */
    size_t len = 0;
    for (int i = 0; i < 5000; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s", i % 10 == 9 ? " " : "\xE4\xB8\xAD");
    struct parts messenger = {0}, instagram = {0};
    assert_int_equal(wm_adapter_find("messenger")->render(NULL, text, len, keep, &messenger, NULL), WM_OK);
    assert_int_equal(wm_adapter_find("instagram")->render(NULL, text, len, keep, &instagram, NULL), WM_OK);
    assert_in_range(messenger.longest_units, 1900, 1999);
    assert_in_range(instagram.longest_bytes, 950, 999);
    assert_int_equal(messenger.n, 3);
}

static void styles_leave_no_marks(void **state)
{
    (void)state;
    static const char markdown[] = "**Bold** and `code` and [a](https://e.org)";
    struct parts parts = {0};
    assert_int_equal(
        wm_adapter_find("messenger")->render(NULL, markdown, strlen(markdown), keep, &parts, NULL), WM_OK);
    assert_string_equal(parts.first, "Bold and code and a (https://e.org)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_gives_one_event),
        cmocka_unit_test(a_batch_loses_nothing),
        cmocka_unit_test(a_repeat_has_the_same_key_and_another_happening_has_not),
        cmocka_unit_test(a_body_of_another_platform_is_refused_in_a_sentence),
        cmocka_unit_test(a_call_says_what_the_platform_wants),
        cmocka_unit_test(what_cannot_be_sent_is_refused_before_the_call),
        cmocka_unit_test(an_answer_means_what_its_code_and_subcode_say),
        cmocka_unit_test(a_long_reply_is_cut_by_what_the_platform_counts),
        cmocka_unit_test(styles_leave_no_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

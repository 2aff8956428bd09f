/* payloads_test.c -- real webhook bodies, from public test suites, become the events that a person reading them would
 * name. The bodies and their expected events lie outside the tree, at ../shared/payloads.
 */
#include "tests/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "adapters/registry.h"

#define PAYLOADS "../shared/payloads/"

enum { ARRIVED_S = 1800000000 }; /* behind every time stamp of the bodies */

static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*len + 1);
    assert_int_equal(fread(text, 1, *len, f), *len);
    fclose(f);
    return text;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static bool among(const char *text, const json_t *array)
{
    size_t i;
    const json_t *item;
    json_array_foreach(array, i, item) if (text && strcmp(json_string_value(item), text) == 0) return true;
    return false;
}

static bool same(const char *got, const char *want)
{
    return got && strcmp(got, want) == 0;
}

/* Prints what differs and returns their number. */
static int differences(const char *file, const struct wm_event *e, const json_t *want)
{
    int n = 0;
    const char *kind = wm_event_kind_name(e->kind);
    if (!same(kind, text_of(want, "kind")) && !among(kind, json_object_get(want, "alt"))) {
        print_error("%s: kind is %s, not %s\n", file, kind, text_of(want, "kind"));
        n++;
    }
    const char *sender = text_of(want, "sender");
    if (sender && !same(e->sender, sender) && !among(e->sender, json_object_get(want, "sender_alt"))) {
        print_error("%s: sender is %s, not %s\n", file, e->sender ? e->sender : "missing", sender);
        n++;
    }
    const struct {
        const char *key, *got;
    } texts[] = {
        {"id", e->id},         {"text", e->text},     {"emoji", e->text},          {"payload", e->payload},
        {"target", e->target}, {"status", e->status}, {"timestamp", e->timestamp}, {"account", e->account},
        {"field", e->field}};
    for (size_t i = 0; i < COUNT(texts); i++) {
        const char *wanted = text_of(want, texts[i].key);
        if (wanted && !same(texts[i].got, wanted)) {
            print_error("%s: %s is %s, not %s\n", file, texts[i].key, texts[i].got ? texts[i].got : "missing",
                        wanted);
            n++;
        }
    }
    const json_t *media = json_object_get(want, "media");
    for (size_t i = 0; i < json_array_size(media); i++)
        if (!same(e->media[i], json_string_value(json_array_get(media, i)))) {
            print_error("%s: medium %zu is %s\n", file, i, e->media[i] ? e->media[i] : "missing");
            n++;
        }
    const json_t *reply = json_object_get(want, "should_reply");
    if (json_is_boolean(reply) && json_is_true(reply) != e->wants_reply) {
        print_error("%s: wants_reply is %d\n", file, e->wants_reply);
        n++;
    }
    if (!e->key || e->at_ms < 0 || e->at_ms > ARRIVED_S * 1000LL) {
        print_error("%s: no key, or at %lld\n", file, (long long)e->at_ms);
        n++;
    }
    return n;
}

/* Pairs the events with the expected ones in order; an optional one may be left out. */
static int compare(const char *file, const struct wm_event_list *got, const json_t *wanted)
{
    size_t g = 0, i;
    const json_t *want;
    int n = 0;
    json_array_foreach(wanted, i, want)
    {
        bool left_out = json_is_true(json_object_get(want, "optional")) && g == got->n;
        if (left_out)
            continue;
        if (g == got->n) {
            print_error("%s: event %zu (%s) is missing\n", file, i, text_of(want, "kind"));
            return n + 1;
        }
        n += differences(file, &got->events[g++], want);
    }
    if (g < got->n) {
        print_error("%s: %zu events more than expected, the first of kind %s\n", file, got->n - g,
                    wm_event_kind_name(got->events[g].kind));
        n++;
    }
    return n;
}

/* All bodies of one platform, through its adapter. */
static void check_platform(const char *platform)
{
    size_t len;
    char *text = read_file(PAYLOADS "index.json", &len);
    if (!text)
        SKIP(PAYLOADS "index.json is not there");
    json_t *index = json_loadb(text, len, 0, NULL);
    free(text);
    assert_non_null(index);

    const struct wm_adapter *adapter = wm_adapter_find(platform);
    assert_non_null(adapter);
    const struct wm_channel_config config = {.name = "test",
                                             .app_secrets = {"shhh-test-secret-0123456789abcdef"},
                                             .access_token = "EAATESTTOKEN123"};
    struct wm_channel *channel;
    assert_int_equal(adapter->open(&config, &channel, NULL), WM_OK);

    size_t i;
    const json_t *body;
    int bodies = 0, wrong = 0;
    json_array_foreach(json_object_get(index, "bodies"), i, body)
    {
        if (strcmp(text_of(body, "platform"), platform) != 0)
            continue;
        char path[512];
        snprintf(path, sizeof path, PAYLOADS "%s", text_of(body, "file"));
        char *raw = read_file(path, &len);
        assert_non_null(raw);
        struct wm_event_list got = {0};
        struct wm_error err = WM_ERROR_INIT;
        if (adapter->parse(channel, raw, len, ARRIVED_S * 1000LL, &got, &err) != WM_OK)
            print_error("%s: %s\n", path, err.text);
        else
            wrong += compare(text_of(body, "file"), &got, json_object_get(body, "events"));
        wrong += err.code != WM_OK;
        bodies++;
        wm_event_list_free(&got);
        free(raw);
    }
    adapter->close(channel);
    json_decref(index);
    print_message("%d bodies\n", bodies);
    assert_int_equal(wrong, 0);
    assert_true(bodies > 0);
}

static void every_whatsapp_body_gives_its_events(void **state)
{
    (void)state;
    check_platform("whatsapp");
}

static void every_messenger_body_gives_its_events(void **state)
{
    (void)state;
    check_platform("messenger");
}

static void every_instagram_body_gives_its_events(void **state)
{
    (void)state;
    check_platform("instagram");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_whatsapp_body_gives_its_events),
        cmocka_unit_test(every_messenger_body_gives_its_events),
        cmocka_unit_test(every_instagram_body_gives_its_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

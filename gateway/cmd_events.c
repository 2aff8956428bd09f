/* cmd_events.c -- `wingman events`: what is in the store, while the daemon runs or not.
 *
 * One event a line:  SEQ  TIMESTAMP  CHANNEL  KIND  SENDER  ID  "TEXT"
 *
 * ALWAYS  What strangers wrote never steers the terminal: control characters, and the marks that turn the direction of
 *         writing, are printed as \uXXXX. With --json a line is one JSON object in plain ASCII.
 *
 * LIMITS  The store is asked for PAGE events at a time; memory does not grow with --limit.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/registry.h"
#include "gateway/command.h"
#include "gateway/settings.h"
#include "kernels/base/utf8.h"
#include "sessions/sessions.h"

enum { PAGE = 1000, PAGE_BYTES = 256 << 20, TEXT_CODES = 400 };

struct request {
    const char *settings, *data;
    int64_t after, limit;
    bool json;
};

static bool steers(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C || code == 0x200E ||
           code == 0x200F || (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0xFEFF;
}

/* `quote`: in double quotes, and a quote or backslash inside is escaped. */
static void print_clean(const char *text, bool quote)
{
    size_t len = strlen(text), at = 0;
    int codes = 0;
    if (quote)
        putchar('"');
    for (; at < len && codes < TEXT_CODES; codes++) {
        uint32_t code;
        char bytes[4];
        at += wm_utf8_decode(text + at, len - at, &code, NULL);
        if (steers(code))
            printf("\\u%04x", (unsigned)code);
        else if (quote && (code == '"' || code == '\\'))
            printf("\\%c", (int)code);
        else
            fwrite(bytes, 1, wm_utf8_encode(code, bytes), stdout);
    }
    if (at < len)
        fputs("...", stdout);
    if (quote)
        putchar('"');
}

static void print_event(const json_t *event)
{
    static const char *const columns[] = {"timestamp", "channel", "kind", "sender", "id"};
    printf("%lld", (long long)json_integer_value(json_object_get(event, "seq")));
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        const char *value = json_string_value(json_object_get(event, columns[i]));
        putchar(' ');
        print_clean(value && *value ? value : "-", false);
    }
    const char *text = json_string_value(json_object_get(event, "text"));
    if (text) {
        putchar(' ');
        print_clean(text, true);
    }
    putchar('\n');
}

static void print_json(const json_t *event)
{
    char *line = json_dumps(event, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (line)
        puts(line);
    free(line);
}

/* One page from `r->after` on, which moves; `*more` is false when it was the last. */
static enum wm_status print_page(struct request *r, const char *data, bool *more, struct wm_error *err)
{
    struct wm_question q = {
        .kind = WM_ASK_EVENTS, .after = r->after, .limit = r->limit < PAGE ? r->limit : PAGE};
    struct wm_buffer answer = WM_BUFFER(PAGE_BYTES);
    enum wm_status st = wm_sessions_ask_offline(data, &q, &answer, err);
    if (st != WM_OK)
        goto free_answer;
    json_t *root =
        json_loadb(answer.data, answer.len, JSON_ALLOW_NUL, NULL); /* strangers' bodies may hold one */
    const json_t *events = json_object_get(root, "events"), *event;
    size_t i;
    if (!json_is_array(events)) {
        st = wm_fail(err, WM_EFORMAT, "the store of %s gave an answer that is not a list of events", data);
        goto free_root;
    }
    json_array_foreach(events, i, event)
    {
        if (r->json)
            print_json(event);
        else
            print_event(event);
        r->after = json_integer_value(json_object_get(event, "seq"));
    }
    r->limit -= (int64_t)i;
    *more = (int64_t)i == q.limit && r->limit > 0;
free_root:
    json_decref(root);
free_answer:
    wm_buffer_free(&answer);
    return st;
}

static int print_events(struct request *r)
{
    struct wm_settings *settings = NULL;
    struct wm_error err = WM_ERROR_INIT;
    const char *data = r->data ? r->data : WM_SETTINGS_DATA;
    if (r->settings) {
        struct wm_findings findings = {0};
        enum wm_status st = wm_settings_load(r->settings, wm_adapter_find, &settings, &findings);
        if (st != WM_OK && findings.text.data)
            fputs(findings.text.data, stderr);
        wm_findings_free(&findings);
        if (st != WM_OK) {
            fprintf(stderr,
                    "wingman events: the settings are broken; mend them, or name the folder with --data\n");
            return WM_EXIT_FAILED;
        }
        data = settings->data;
    }
    enum wm_status st = WM_OK;
    for (bool more = true; st == WM_OK && more;)
        st = print_page(r, data, &more, &err);
    if (st != WM_OK)
        fprintf(stderr, "wingman events: %s\n", err.text);
    wm_settings_free(settings);
    return st == WM_OK ? WM_EXIT_OK : WM_EXIT_FAILED;
}

static bool whole_number(const char *text, int64_t min, int64_t *out)
{
    char *end;
    size_t digits = strspn(text, "0123456789");
    *out = strtoll(text, &end, 10);
    return digits > 0 && digits < 19 && *end == '\0' && *out >= min;
}

int wm_cmd_events(int argc, char **argv)
{
    static const struct option options[] = {
        {"data", required_argument, NULL, 'd'},
        {"after", required_argument, NULL, 'a'},
        {"limit", required_argument, NULL, 'l'},
        {"json", no_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    struct request r = {.limit = 100};
    bool ok = true;
    for (int option; ok && (option = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (option == 'c')
            r.settings = optarg;
        else if (option == 'd')
            r.data = optarg;
        else if (option == 'a')
            ok = whole_number(optarg, 0, &r.after);
        else if (option == 'l')
            ok = whole_number(optarg, 1, &r.limit);
        else if (option == 'j')
            r.json = true;
        else
            ok = false;
    }
    if (!ok || optind != argc || (r.settings && r.data)) {
        fprintf(stderr, "usage: wingman events [-c FILE | --data DIR] [--after N] [--limit M] [--json]\n"
                        "  -c FILE     the settings file that names the data folder\n"
                        "  --data DIR  the data folder; default: " WM_SETTINGS_DATA "\n"
                        "  --after N   only events behind number N\n"
                        "  --limit M   at most M events; default: 100\n"
                        "  --json      one JSON object a line\n");
        return WM_EXIT_MISUSED;
    }
    return print_events(&r);
}

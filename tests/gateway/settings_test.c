/* settings_test.c -- settings are refused with the line, the reason and the way out; good ones arrive whole. */
#include "tests/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/settings_parts.h"

#define SECRET "0123456789abcdef"
#define META                                                                                                 \
    "    app_secret: " SECRET "\n    verify_token: " SECRET "\n    access_token: " SECRET                    \
    "\n    account: '1'\n"
#define MODEL "model: {path: CMakeLists.txt}\n" /* any file that is there */

/* Only whatsapp is at home in this test. */
static const struct wm_adapter *find_whatsapp(const char *platform)
{
    static const char here;
    return strcmp(platform, "whatsapp") == 0 ? (const struct wm_adapter *)(const void *)&here : NULL;
}

static enum wm_status parse_bytes(const char *text, size_t len, struct wm_settings **out,
                                  struct wm_findings *f)
{
    *out = NULL;
    return wm_settings_parse("f", ".", 0600, text, len, find_whatsapp, out, f);
}

static enum wm_status parse(const char *text, struct wm_settings **out, struct wm_findings *f)
{
    return parse_bytes(text, strlen(text), out, f);
}

/* --- what is refused ------------------------------------------------------------------------------------------- */

static void each_mistake_is_one_finding_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* the one finding begins with this */
    } cases[] = {
        {MODEL "lisen: 127.0.0.1:1\n",
         "f:2: error: unknown key \"lisen\"; the nearest known one is \"listen\""},
        {MODEL "chanels: []\n", "f:2: error: unknown key \"chanels\"; the nearest known one is \"channels\""},
        {"model:\n  path: CMakeLists.txt\n  contxet: 1\n",
         "f:3: error: unknown key \"contxet\"; the nearest known one is \"context\""},
        {MODEL "<<: {data: x}\n", "f:2: error: unknown key \"<<\""},
        {MODEL "data: a\ndata: b\n", "f:3: error: \"data\" comes twice, first in line 2; keep one"},
        {MODEL "kv: {device: 2 GiB}\n", "f:2: error: device: \"2 GiB\" is not a size; write a size as"},
        {MODEL "kv: {device: 1KiB}\n", "f:2: error: device: \"1KiB\" is out of bounds (16MiB to"},
        {MODEL "kv: {disk: 99999999999TiB}\n", "f:2: error: disk: \"99999999999TiB\" is not a size"},
        {MODEL "kv: [1]\n", "f:2: error: kv is a list; write a map of its own keys"},
        {MODEL "kv: 3\n", "f:2: error: kv is a single value; write a map"},
        {MODEL "data: [x]\n", "f:2: error: data is a list; write a path"},
        {MODEL "data: {x: y}\n", "f:2: error: data is a map; write a path"},
        {MODEL "data:\n", "f:2: error: data has no value; give one or remove the line"},
        {MODEL "data: ''\n", "f:2: error: data: \"\" is empty; write a path"},
        {MODEL "data: CMakeLists.txt\n", "f:2: error: data: CMakeLists.txt is a file; name a folder"},
        {MODEL "listen: 8080\n",
         "f:2: error: listen: \"8080\" is not ADDRESS:PORT; write an address and port as"},
        {MODEL "listen: ::1:80\n", "f:2: error: listen: \"::1:80\" has no numeric address"},
        {MODEL "listen: 127.0.0.1:65536\n",
         "f:2: error: listen: \"127.0.0.1:65536\" has no port from 0 to 65535"},
        {MODEL "listen: example.com:80\n", "f:2: error: listen: \"example.com:80\" has no numeric address"},
        {MODEL "listen: 127.0.0.1:8081\n",
         "f:2: error: listen and admin.listen are both 127.0.0.1 port 8081"},
        {MODEL "admin: {listen: '0.0.0.0:8081'}\n",
         "f:2: error: the admin interface would listen on 0.0.0.0 without a token; add admin.token_file"},
        {MODEL "tls: {certificate: CMakeLists.txt}\n", "f:2: error: tls needs a key too; add tls.key: FILE"},
        {MODEL "tls: {certificate: none.pem, key: CMakeLists.txt}\n",
         "f:2: error: tls.certificate: there is no file none.pem"},
        {"model: {path: none.gguf}\n",
         "f:1: error: there is no model at none.gguf; `sh gateway/demo.sh --build` fetches"},
        {"model: {path: CMakeLists.txt, remote: {url: x}}\n",
         "f:1: error: remote: a remote engine is not in this version"},
        {"model: {path: CMakeLists.txt, context: 8k}\n", "f:1: error: context: \"8k\" is not a whole number"},
        {"model: {path: CMakeLists.txt, threads: 0}\n",
         "f:1: error: threads: \"0\" is out of bounds (1 to 1024)"},
        {"model: {path: CMakeLists.txt, backend: gpu}\n",
         "f:1: error: backend: \"gpu\" is none of auto|cpu|cuda|reference"},
        {"model: {path: CMakeLists.txt, chat_format: chatm}\n",
         "f:1: error: chat_format: \"chatm\" is none of auto|chatml|llama3|llama4"},
        {"model: {path: CMakeLists.txt, projector: none.gguf}\n",
         "f:1: error: there is no projector at none.gguf"},
        {MODEL "bots:\n  - name: a\n    model:\n      path: none.gguf\n",
         "f:5: error: there is no model at none.gguf"},
        {MODEL "bots: [{name: a, model: x}]\n", "f:2: error: model is a single value; write a map"},
        {MODEL "bots: [{name: a, model: {contxt: 1}}]\n", "f:2: error: unknown key \"contxt\""},
        {MODEL "media: {max_bytes: 64MiB}\n", "f:2: error: max_bytes: \"64MiB\" is"},
        {MODEL "log: {level: loud}\n", "f:2: error: level: \"loud\" is none of error|warn|info|debug"},
        {MODEL "delivery: {unknown_wait: 60}\n", "f:2: error: unknown_wait: \"60\" is not a duration"},
        {MODEL "bots: [{name: A}]\n", "f:2: error: name: \"A\" is not a name; write a name of 1 to 64"},
        {MODEL "bots: [{system: x}]\n", "f:2: error: this bot has no name; add name: NAME"},
        {MODEL "bots:\n  - {name: a}\n  - {name: a}\n",
         "f:4: error: two bots are called \"a\", the first in line 3"},
        {MODEL "bots: [a]\n", "f:2: error: bots is a single value; write a list whose entries begin with"},
        {MODEL "bots: [{name: a, temperature: hot}]\n", "f:2: error: temperature: \"hot\" is not a number"},
        {MODEL "bots: [{name: a, temperature: 2.5}]\n",
         "f:2: error: temperature: \"2.5\" is out of bounds (0 to 2)"},
        {MODEL "bots: [{name: a, knowledge: [none.md]}]\n",
         "f:2: error: knowledge: none.md: No such file or directory; name"},
        {MODEL "bots: [{name: a, knowledge: [tests]}]\n",
         "f:2: error: knowledge: tests: is not a regular file"},
        {MODEL "channels:\n  - platform: whatsapp\n" META,
         "f:3: error: this channel has no name; add name: NAME"},
        {MODEL "channels:\n  - name: w\n",
         "f:3: error: this channel has no platform; add platform: whatsapp"},
        {MODEL "channels:\n  - {name: w, platform: telegram}\n",
         "f:3: error: platform: \"telegram\" is none of whatsapp|"},
        {MODEL "channels:\n  - {name: w, platform: web}\n",
         "f:3: error: this version of wingman does not speak web yet"},
        {MODEL "channels:\n  - name: w\n    platform: whatsapp\n    bot: b\n" META,
         "f:5: error: there is no bot \"b\"; name one"},
        {MODEL "channels:\n  - name: w\n    platform: whatsapp\n    settle: {quiet: 9s}\n" META,
         "f:5: error: settle.quiet (9000 ms) is longer than settle.at_most (8000 ms)"},
        {MODEL "channels:\n  - name: w\n    platform: whatsapp\n    graph_url: graph.facebook.com\n" META,
         "f:5: error: graph_url: \"graph.facebook.com\" is not a URL; write a URL as"},
        {"a: &x [1]\nb: *x\n", "f:2: error: an alias (*NAME) is not taken in settings"},
        {"data: a\n---\ndata: b\n", "f:2: error: a second document begins here (---)"},
        {"model:\n\tpath: x\n",
         "f:2: error: not YAML: while scanning for the next token, found character that cannot start "
         "any token; indent with spaces, not tabs"},
        {"data: \"a\n",
         "f:2: error: not YAML: while scanning a quoted scalar, found unexpected end of stream; look"},
        {"data: \"a\\0b\"\n", "f:1: error: a NUL character inside a text"},
        {"[a, b]: c\n", "f:1: error: a list or a map stands where a key must"},
        {"\n\njust text\n", "f:3: error: the file is not a map of settings"},
        {"a: [[[[[[[[[[]]]]]]]]]]\n", "f:1: error: nested too deeply for settings"},
        {"data: a\xFF\n", "f:1: error: not YAML: invalid leading UTF-8 octet; save the file as UTF-8"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_settings *s;
        struct wm_findings f = {0};
        enum wm_status st = parse(cases[i].text, &s, &f);
        const char *got = f.text.data ? f.text.data : "(nothing)";
        if (st != WM_EINVAL || s || f.errors != 1 || strncmp(got, cases[i].want, strlen(cases[i].want)) != 0)
            fail_msg("of:\n%s\ngot (%d errors):\n%swanted: %s", cases[i].text, f.errors, got, cases[i].want);
        wm_findings_free(&f);
    }
}

static void a_whatsapp_channel_without_its_secrets_names_each_missing_key(void **state)
{
    (void)state;
    struct wm_settings *s;
    struct wm_findings f = {0};
    assert_int_equal(parse(MODEL "channels:\n  - {name: w, platform: whatsapp}\n", &s, &f), WM_EINVAL);
    assert_int_equal(f.errors, 4);
    static const char *const keys[] = {
        "needs app_secret:", "needs verify_token:", "needs access_token:", "needs account:"};
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_non_null(strstr(f.text.data, keys[i]));
    wm_findings_free(&f);
}

static void all_findings_come_at_once_and_in_the_order_of_the_file(void **state)
{
    (void)state;
    struct wm_settings *s;
    struct wm_findings f = {0};
    assert_int_equal(parse("kv: {device: x}\nfoo: 1\nmodel: {path: none}\nlog: {level: x}\n", &s, &f),
                     WM_EINVAL);
    assert_int_equal(f.errors, 4);
    const char *last = f.text.data;
    for (int line = 1; line <= 4; line++) {
        char start[32];
        snprintf(start, sizeof start, "f:%d: error: ", line);
        const char *at = strstr(f.text.data, start);
        assert_true(at && at >= last);
        last = at;
    }
    wm_findings_free(&f);
}

static void a_flood_of_mistakes_is_cut_and_counted(void **state)
{
    (void)state;
    struct wm_buffer text = WM_BUFFER(1 << 20);
    for (int i = 0; i < 1000; i++)
        wm_buffer_printf(&text, "bad%d: 1\n", i);
    wm_buffer_puts(&text, MODEL);
    struct wm_settings *s;
    struct wm_findings f = {0};
    assert_int_equal(parse(text.data, &s, &f), WM_EINVAL);
    assert_int_equal(f.errors, 1000);
    assert_non_null(strstr(f.text.data, "f: error: 900 more findings are not shown"));
    wm_findings_free(&f);
    wm_buffer_free(&text);
}

static void more_values_than_a_settings_file_has_are_refused(void **state)
{
    (void)state;
    struct wm_buffer text = WM_BUFFER(1 << 20);
    wm_buffer_puts(&text, "a: [");
    for (int i = 0; i < WM_TREE_NODES; i++)
        wm_buffer_puts(&text, "1,");
    wm_buffer_puts(&text, "]\n");
    struct wm_settings *s;
    struct wm_findings f = {0};
    assert_int_equal(parse(text.data, &s, &f), WM_EINVAL);
    assert_string_equal(f.text.data,
                        "f:1: error: too many values for a settings file; is this the right file?\n");
    wm_findings_free(&f);
    wm_buffer_free(&text);
}

static void more_bots_than_places_are_refused_at_the_first_too_many(void **state)
{
    (void)state;
    for (int entries = WM_SETTINGS_BOTS; entries <= WM_SETTINGS_BOTS + 1; entries++) {
        struct wm_buffer text = WM_BUFFER(1 << 20);
        wm_buffer_puts(&text, MODEL "bots:\n");
        for (int i = 0; i < entries; i++)
            wm_buffer_printf(&text, "  - {name: bot-%d}\n", i);
        struct wm_settings *s;
        struct wm_findings f = {0};
        assert_int_equal(parse(text.data, &s, &f), entries <= WM_SETTINGS_BOTS ? WM_OK : WM_EINVAL);
        if (s)
            assert_int_equal(s->n_bots, entries);
        else
            assert_string_equal(f.text.data,
                                "f:2: error: bots has 65 entries, at most 64 are taken; remove some\n");
        wm_settings_free(s);
        wm_findings_free(&f);
        wm_buffer_free(&text);
    }
}

static void a_name_has_at_most_64_characters(void **state)
{
    (void)state;
    for (int len = 64; len <= 65; len++) {
        char text[256];
        snprintf(text, sizeof text, MODEL "bots: [{name: %0*d}]\n", len, 0);
        struct wm_settings *s;
        struct wm_findings f = {0};
        assert_int_equal(parse(text, &s, &f), len <= 64 ? WM_OK : WM_EINVAL);
        wm_settings_free(s);
        wm_findings_free(&f);
    }
}

static void control_characters_of_the_file_do_not_reach_the_terminal(void **state)
{
    (void)state;
    struct wm_settings *s;
    struct wm_findings f = {0};
    assert_int_equal(parse(MODEL "\"a\\e[31m\\r\": 1\n", &s, &f), WM_EINVAL);
    for (const char *c = f.text.data; *c; c++)
        assert_true(*c == '\n' || (unsigned char)*c >= 0x20);
    wm_findings_free(&f);
}

/* --- secrets ----------------------------------------------------------------------------------------------------- */

/* A file in a folder of its own; the caller removes both. */
struct scratch {
    char folder[64], path[96];
};

static struct scratch scratch_file(const char *bytes, size_t len, mode_t mode)
{
    struct scratch s;
    snprintf(s.folder, sizeof s.folder, "/tmp/wm-settings-XXXXXX");
    assert_non_null(mkdtemp(s.folder));
    snprintf(s.path, sizeof s.path, "%s/f", s.folder);
    int fd = open(s.path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
    assert_int_equal(chmod(s.path, mode), 0);
    return s;
}

static void scratch_remove(struct scratch *s)
{
    unlink(s->path);
    rmdir(s->folder);
}

static void a_secret_file_is_judged_by_what_it_holds_and_never_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        mode_t mode;
        const char *want; /* the finding holds this; "": none */
        bool good;
    } cases[] = {
        {SECRET "\n", 17, 0600, "", true},
        {SECRET "\r\n", 18, 0600, "", true},
        {SECRET "\n", 17, 0644, "warning: token_file: ", true},
        {SECRET "\n\n", 18, 0600, "holds a blank, a line break", false},
        {"short-secret\n", 13, 0600, "warning: token_file: is shorter than 16 bytes", true},
        {"", 0, 0600, "is empty", false},
        {SECRET "\0" SECRET, 33, 0600, "NUL byte", false},
        {SECRET " " SECRET, 33, 0600, "holds a blank", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct scratch file = scratch_file(cases[i].bytes, cases[i].len, cases[i].mode);
        char text[256];
        snprintf(text, sizeof text, MODEL "admin: {token_file: %s}\n", file.path);
        struct wm_settings *s;
        struct wm_findings f = {0};
        assert_int_equal(parse(text, &s, &f), cases[i].good ? WM_OK : WM_EINVAL);
        const char *got = f.text.data ? f.text.data : "";
        if (!strstr(got, cases[i].want) || (!*cases[i].want && *got) || strstr(got, SECRET) ||
            strstr(got, "short-secret"))
            fail_msg("case %zu gave: %s", i, got);
        if (cases[i].good)
            assert_string_equal(s->admin_token, cases[i].len < 16 ? "short-secret" : SECRET);
        wm_settings_free(s);
        wm_findings_free(&f);
        scratch_remove(&file);
    }
}

static void what_is_not_a_regular_file_is_refused_without_waiting(void **state)
{
    (void)state;
    struct scratch file = scratch_file("", 0, 0600);
    unlink(file.path);
    assert_int_equal(mkfifo(file.path, 0600), 0);
    char text[256];
    snprintf(text, sizeof text, MODEL "admin: {token_file: %s}\n", file.path);
    struct wm_settings *s;
    struct wm_findings f = {0};
    assert_int_equal(parse(text, &s, &f), WM_EINVAL);
    assert_non_null(strstr(f.text.data, "is not a regular file"));
    wm_findings_free(&f);
    scratch_remove(&file);
}

static void secrets_come_from_the_environment_and_a_missing_variable_is_named(void **state)
{
    (void)state;
    static const char text[] =
        MODEL "channels:\n  - name: w\n    platform: whatsapp\n    account: 1\n"
              "    app_secret: ['${WM_TEST_SECRET}', fedcba9876543210]\n"
              "    verify_token: ${WM_TEST_SECRET}\n    access_token: ${WM_TEST_SECRET}\n";
    struct wm_settings *s;
    struct wm_findings f = {0};
    unsetenv("WM_TEST_SECRET");
    assert_int_equal(parse(text, &s, &f), WM_EINVAL);
    assert_int_equal(f.errors, 3);
    assert_non_null(
        strstr(f.text.data, "f:6: error: app_secret: the environment has no variable WM_TEST_SECRET"));
    wm_findings_free(&f);

    setenv("WM_TEST_SECRET", SECRET, 1);
    assert_int_equal(parse(text, &s, &f), WM_OK);
    assert_string_equal(s->channels[0].app_secrets[0], SECRET);
    assert_string_equal(s->channels[0].app_secrets[1], "fedcba9876543210");
    assert_null(s->channels[0].app_secrets[2]);
    assert_string_equal(s->channels[0].access_token, SECRET);
    assert_string_equal(s->channels[0].account, "1");
    wm_settings_free(s);
    wm_findings_free(&f);
    unsetenv("WM_TEST_SECRET");
}

static void more_secrets_than_places_are_refused(void **state)
{
    (void)state;
    struct wm_settings *s;
    struct wm_findings f = {0};
    struct wm_buffer text = WM_BUFFER(4096);
    wm_buffer_puts(&text,
                   MODEL "channels:\n  - name: w\n    platform: whatsapp\n    account: 1\n"
                         "    verify_token: " SECRET "\n    access_token: " SECRET "\n    app_secret: [");
    for (int i = 0; i <= WM_SETTINGS_SECRETS; i++)
        wm_buffer_puts(&text, SECRET ", ");
    wm_buffer_puts(&text, "]\n");
    assert_int_equal(parse(text.data, &s, &f), WM_EINVAL);
    assert_non_null(strstr(f.text.data, "f:8: error: app_secret has more than 8 values"));
    wm_findings_free(&f);
    wm_buffer_free(&text);
}

static void a_secret_in_the_file_and_in_a_file_of_its_own_is_refused(void **state)
{
    (void)state;
    struct scratch file = scratch_file(SECRET, 16, 0600);
    char text[512];
    snprintf(text, sizeof text,
             MODEL "channels:\n  - name: w\n    platform: whatsapp\n" META "    access_token_file: %s\n",
             file.path);
    struct wm_settings *s;
    struct wm_findings f = {0};
    assert_int_equal(parse(text, &s, &f), WM_EINVAL);
    assert_string_equal(
        f.text.data,
        "f:9: error: access_token_file gives a second value; give it once: in the file itself or "
        "by its _file key\n");
    wm_findings_free(&f);
    scratch_remove(&file);
}

static void a_settings_file_that_others_may_read_and_that_holds_a_secret_is_warned_of(void **state)
{
    (void)state;
    static const char text[] = MODEL "channels:\n  - name: w\n    platform: whatsapp\n" META;
    struct wm_settings *s = NULL;
    struct wm_findings f = {0};
    assert_int_equal(wm_settings_parse("f", ".", 0644, text, strlen(text), find_whatsapp, &s, &f), WM_OK);
    assert_int_equal(f.warnings, 1);
    assert_non_null(strstr(f.text.data, "f:5: warning: this file holds a secret and has mode 0644"));
    wm_settings_free(s);
    wm_findings_free(&f);
}

/* --- what is dangerous, but taken --------------------------------------------------------------------------------- */

static void the_dangerous_is_taken_with_a_warning(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {MODEL "listen: 0.0.0.0:80\n", "f:2: warning: listens on 0.0.0.0 without TLS; fine behind a proxy"},
        {MODEL "channels:\n  - name: w\n    platform: whatsapp\n    graph_url: "
               "http://127.0.0.1.evil.example/v1\n" META,
         "f:5: warning: graph_url sends the access token to 127.0.0.1.evil.example in the clear"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_settings *s;
        struct wm_findings f = {0};
        assert_int_equal(parse(cases[i].text, &s, &f), WM_OK);
        if (f.warnings != 1 || strncmp(f.text.data, cases[i].want, strlen(cases[i].want)) != 0)
            fail_msg("got: %s", f.text.data ? f.text.data : "(nothing)");
        wm_settings_free(s);
        wm_findings_free(&f);
    }
}

/* --- what is taken ------------------------------------------------------------------------------------------------ */

static void a_bots_model_is_its_own_as_far_as_it_says(void **state)
{
    (void)state;
    struct wm_settings *s;
    struct wm_findings f = {0};
    const struct wm_settings_model *m;
    /* the top level's own model is not there, and no bot asks for it */
    assert_int_equal(
        parse("model: {path: none.gguf, backend: cpu, context: 1024, threads: 3, chat_format: llama3}\n"
              "bots:\n"
              "  - {name: own, model: {path: CMakeLists.txt, context: 2048}}\n"
              "  - {name: seer, model: {path: CMakeLists.txt, projector: CMakeLists.txt}}\n",
              &s, &f),
        WM_OK);
    assert_int_equal(f.errors + f.warnings, 0);
    m = &s->bots[0].model;
    assert_non_null(strstr(m->path, "CMakeLists.txt"));
    assert_int_equal(m->context, 2048);
    assert_int_equal(m->threads, 3);
    assert_string_equal(m->backend, "cpu");
    assert_string_equal(m->chat_format, "auto"); /* llama3 was said of another model */
    assert_null(m->projector);
    assert_non_null(strstr(s->bots[1].model.projector, "CMakeLists.txt"));
    wm_settings_free(s);
    wm_findings_free(&f);

    assert_int_equal(parse("model: {path: CMakeLists.txt, projector: CMakeLists.txt, chat_format: llama4}\n"
                           "bots: [{name: a}, {name: b, model: {threads: 7}}]\n",
                           &s, &f),
                     WM_OK);
    for (int i = 0; i < 2; i++) {
        m = &s->bots[i].model;
        assert_string_equal(m->path, s->model.path);
        assert_string_equal(m->projector, s->model.projector);
        assert_string_equal(m->chat_format, "llama4");
        assert_int_equal(m->threads, i == 0 ? s->model.threads : 7);
    }
    wm_settings_free(s);
    wm_findings_free(&f);
}

static void an_empty_file_gives_the_defaults(void **state)
{
    (void)state;
    static const char *const texts[] = {MODEL, MODEL "channels:\nbots:\nkv: ~\n",
                                        MODEL "bots: []\nchannels: []\n"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct wm_settings *s;
        struct wm_findings f = {0};
        assert_int_equal(parse(texts[i], &s, &f), WM_OK);
        assert_int_equal(f.errors + f.warnings, 0);
        assert_string_equal(s->data, "./data");
        assert_string_equal(s->listen.address, "127.0.0.1");
        assert_int_equal(s->listen.port, 8080);
        assert_int_equal(s->admin.port, 8081);
        assert_string_equal(s->model.backend, "auto");
        assert_int_equal(s->model.context, 8192);
        assert_true(s->model.threads >= 1);
        assert_int_equal(s->kv.device, 2LL << 30);
        assert_int_equal(s->delivery.unknown_wait_ms, 60000);
        assert_int_equal(s->media.max_bytes, 16 << 20);
        assert_string_equal(s->bots[0].model.path, s->model.path);
        assert_string_equal(s->log.level, "info");
        assert_int_equal(s->n_bots, 1);
        assert_string_equal(s->bots[0].name, "default");
        assert_int_equal(s->bots[0].max_reply_tokens, 512);
        assert_int_equal(s->n_channels, 0);
        wm_settings_free(s);
        wm_findings_free(&f);
    }
}

static void a_whole_file_arrives_as_it_was_written(void **state)
{
    (void)state;
    struct scratch knowledge = scratch_file("Open 9 to 5.\n", 13, 0644);
    char text[2048];
    snprintf(
        text, sizeof text,
        "data: /var/lib/wingman\nlisten: '[::1]:0'\nadmin: {listen: 127.0.0.1:0}\n" MODEL
        "kv: {device: 64MiB, host: 0, disk: 1TiB}\ndelivery: {unknown_wait: 5m}\nlog: {level: debug, format: "
        "json}\n"
        "bots:\n  - name: support\n    system: |\n      You help.\n    knowledge: [%s]\n    temperature: "
        "0.25\n"
        "    top_k: 40\n    seed: 7\n  - name: other\n"
        "channels:\n  - name: w\n    platform: whatsapp\n    graph_url: http://[::1]:9/v25.0/\n"
        "    settle: {quiet: 300ms, at_most: 2s}\n" META
        "  - name: w2\n    platform: whatsapp\n    bot: other\n    origins: ['https://shop.example']\n" META,
        knowledge.path);
    struct wm_settings *s;
    struct wm_findings f = {0};
    if (parse(text, &s, &f) != WM_OK || f.warnings)
        fail_msg("%s", f.text.data);
    assert_string_equal(s->data, "/var/lib/wingman");
    assert_string_equal(s->listen.address, "::1");
    assert_int_equal(s->kv.device, 64 << 20);
    assert_int_equal(s->kv.host, 0);
    assert_int_equal(s->kv.disk, 1LL << 40);
    assert_int_equal(s->delivery.unknown_wait_ms, 300000);
    assert_int_equal(s->n_bots, 2);
    assert_string_equal(s->bots[0].system, "You help.\n\n\n# f\n\nOpen 9 to 5.\n");
    assert_null(s->bots[1].system);
    CHECK_NEAR(s->bots[0].temperature, 0.25, 0);
    assert_int_equal(s->bots[0].top_k, 40);
    assert_int_equal(s->n_channels, 2);
    assert_string_equal(s->channels[0].bot, "support"); /* the first bot */
    assert_string_equal(s->channels[1].bot, "other");
    assert_string_equal(s->channels[0].graph_url, "http://[::1]:9/v25.0");
    assert_string_equal(s->channels[1].graph_url, "https://graph.facebook.com/v25.0");
    assert_int_equal(s->channels[0].settle_quiet_ms, 300);
    assert_int_equal(s->channels[0].settle_at_most_ms, 2000);
    assert_int_equal(s->channels[1].settle_quiet_ms, 1200);
    assert_string_equal(s->channels[1].origins[0], "https://shop.example");
    wm_settings_free(s);
    wm_findings_free(&f);
    scratch_remove(&knowledge);
}

static void knowledge_is_taken_up_to_its_ceiling_and_refused_past_it(void **state)
{
    (void)state;
    size_t size = WM_SETTINGS_SYSTEM_BYTES - strlen("# f\n\n");
    char *bytes = malloc(size + 1);
    memset(bytes, 'a', size + 1);
    for (size_t extra = 0; extra <= 1; extra++) {
        struct scratch file = scratch_file(bytes, size + extra, 0644);
        char text[256];
        snprintf(text, sizeof text, MODEL "bots: [{name: a, knowledge: [%s]}]\n", file.path);
        struct wm_settings *s;
        struct wm_findings f = {0};
        assert_int_equal(parse(text, &s, &f), extra ? WM_EINVAL : WM_OK);
        if (extra)
            assert_non_null(strstr(f.text.data, "makes the system prompt longer than 1048576 bytes"));
        else
            assert_int_equal(strlen(s->bots[0].system), WM_SETTINGS_SYSTEM_BYTES);
        wm_settings_free(s);
        wm_findings_free(&f);
        scratch_remove(&file);
    }
    free(bytes);
}

static void knowledge_that_is_not_text_is_refused(void **state)
{
    (void)state;
    struct scratch file = scratch_file("\xFF\xFE", 2, 0644);
    char text[256];
    snprintf(text, sizeof text, MODEL "bots: [{name: a, knowledge: [%s]}]\n", file.path);
    struct wm_settings *s;
    struct wm_findings f = {0};
    assert_int_equal(parse(text, &s, &f), WM_EINVAL);
    assert_non_null(strstr(f.text.data, "is not UTF-8 text"));
    wm_findings_free(&f);
    scratch_remove(&file);
}

static void the_printed_keys_are_a_valid_file_that_changes_nothing(void **state)
{
    (void)state;
    struct wm_buffer text = WM_BUFFER(64 << 10);
    assert_int_equal(wm_settings_describe(&text), WM_OK);
    struct wm_settings *s;
    struct wm_findings f = {0};
    parse(text.data, &s, &f); /* the default model may be missing here; nothing else may be said */
    if (f.errors > 1 || f.warnings || (f.errors == 1 && !strstr(f.text.data, "there is no model at")))
        fail_msg("%s", f.text.data);
    wm_settings_free(s);
    wm_findings_free(&f);
    wm_buffer_free(&text);
}

static void paths_count_from_the_settings_files_folder(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *path, *want;
    } cases[] = {{".", "a", "a"},
                 {"/etc/wm", "a/b", "/etc/wm/a/b"},
                 {"/", "a", "/a"},
                 {"/etc", "./a", "/etc/a"},
                 {"x", "/a", "/a"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *got = wm_file_path(cases[i].folder, cases[i].path);
        assert_string_equal(got, cases[i].want);
        free(got);
    }
}

static void a_missing_or_too_large_file_is_a_finding(void **state)
{
    (void)state;
    struct wm_settings *s = NULL;
    struct wm_findings f = {0};
    assert_int_equal(wm_settings_load("none.yaml", NULL, &s, &f), WM_EINVAL);
    assert_string_equal(
        f.text.data, "none.yaml: error: the settings cannot be read: No such file or directory; name a YAML "
                     "file with -c\n");
    wm_findings_free(&f);

    size_t size = WM_SETTINGS_BYTES;
    char *bytes = malloc(size + 1);
    memset(bytes, '#', size + 1);
    for (size_t extra = 0; extra <= 1; extra++) {
        struct scratch file = scratch_file(bytes, size + extra, 0600);
        wm_settings_load(file.path, NULL, &s, &f);
        assert_true(!!(f.text.data && strstr(f.text.data, "is larger than 1048576 bytes")) == (extra == 1));
        wm_settings_free(s);
        s = NULL;
        wm_findings_free(&f);
        scratch_remove(&file);
    }
    free(bytes);
}

static void distances_count_edits(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int want;
    } cases[] = {{"", "", 0},
                 {"a", "", 1},
                 {"", "abc", 3},
                 {"listen", "listen", 0},
                 {"lisetn", "listen", 1},
                 {"kitten", "sitting", 3},
                 {"bot", "bots", 1}};
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(wm_value_distance(cases[i].a, cases[i].b), cases[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_is_one_finding_with_its_line),
        cmocka_unit_test(a_whatsapp_channel_without_its_secrets_names_each_missing_key),
        cmocka_unit_test(all_findings_come_at_once_and_in_the_order_of_the_file),
        cmocka_unit_test(a_flood_of_mistakes_is_cut_and_counted),
        cmocka_unit_test(more_values_than_a_settings_file_has_are_refused),
        cmocka_unit_test(more_bots_than_places_are_refused_at_the_first_too_many),
        cmocka_unit_test(a_name_has_at_most_64_characters),
        cmocka_unit_test(control_characters_of_the_file_do_not_reach_the_terminal),
        cmocka_unit_test(a_secret_file_is_judged_by_what_it_holds_and_never_quoted),
        cmocka_unit_test(what_is_not_a_regular_file_is_refused_without_waiting),
        cmocka_unit_test(secrets_come_from_the_environment_and_a_missing_variable_is_named),
        cmocka_unit_test(more_secrets_than_places_are_refused),
        cmocka_unit_test(a_secret_in_the_file_and_in_a_file_of_its_own_is_refused),
        cmocka_unit_test(a_settings_file_that_others_may_read_and_that_holds_a_secret_is_warned_of),
        cmocka_unit_test(the_dangerous_is_taken_with_a_warning),
        cmocka_unit_test(a_bots_model_is_its_own_as_far_as_it_says),
        cmocka_unit_test(an_empty_file_gives_the_defaults),
        cmocka_unit_test(a_whole_file_arrives_as_it_was_written),
        cmocka_unit_test(knowledge_is_taken_up_to_its_ceiling_and_refused_past_it),
        cmocka_unit_test(knowledge_that_is_not_text_is_refused),
        cmocka_unit_test(the_printed_keys_are_a_valid_file_that_changes_nothing),
        cmocka_unit_test(paths_count_from_the_settings_files_folder),
        cmocka_unit_test(a_missing_or_too_large_file_is_a_finding),
        cmocka_unit_test(distances_count_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* chat_test.c -- conversations as tokens, against the models' own templates and Meta's code. */
#include "tests/engine/golden.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/chat.h"
#include "engine/chat_check.h"
#include "engine/prompt_json.h"
#include "engine/tool_calls.h"

enum { MAX_MESSAGES = 64, MAX_PARTS = 16, TILE_TOKENS = 144 };

/* A format with the tokenizer and the golden conversations that go with it. */
static struct source {
    const char *golden, *path, *format;
    struct wm_model_file *file;
    struct wm_tokenizer *tokenizer;
    struct wm_chat *chat; /* NULL: not here */
} sources[] = {
    {"chat/chatml.json", NULL, "chatml", NULL, NULL, NULL}, /* the small model */
    {"chat/llama4.json", "../shared/data/llama4/tokenizer.model", "llama4", NULL, NULL, NULL},
};

static struct wm_chat *chat; /* of the small model, or NULL */

static struct wm_buffer read_file(const char *path)
{
    struct wm_buffer bytes = WM_BUFFER(64u << 20);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    for (size_t n = 1; n > 0; bytes.len += n) {
        assert_int_equal(wm_buffer_reserve(&bytes, 1 << 20), WM_OK);
        n = fread(bytes.data + bytes.len, 1, 1 << 20, f);
    }
    fclose(f);
    return bytes;
}

static int open_sources(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    sources[0].path = small_model();
    for (size_t i = 0; i < COUNT(sources); i++) {
        struct source *s = &sources[i];
        enum wm_status st;
        if (!s->path || access(s->path, R_OK) != 0)
            continue;
        if (strstr(s->path, ".model")) {
            struct wm_buffer bytes = read_file(s->path);
            st = wm_tokenizer_parse(s->path, bytes.data, bytes.len, &s->tokenizer, &err);
            wm_buffer_free(&bytes);
        } else {
            st = wm_model_file_open(s->path, &s->file, &err);
            if (st == WM_OK)
                st = wm_tokenizer_new(s->file, &s->tokenizer, &err);
        }
        if (st == WM_OK)
            st = wm_chat_new(s->file, &(struct wm_chat_options){.tile_tokens = TILE_TOKENS}, s->tokenizer,
                             &s->chat, &err);
        if (st != WM_OK)
            fail_msg("%s", err.text);
    }
    chat = sources[0].chat;
    return 0;
}

static int close_sources(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sources); i++) {
        wm_chat_free(sources[i].chat);
        wm_tokenizer_free(sources[i].tokenizer);
        wm_model_file_close(sources[i].file);
    }
    return 0;
}

#define CHAT_OR_SKIP()                                                                                       \
    if (!chat)                                                                                               \
    SKIP("no small model: WM_MODEL and build/models/ are empty")

/* --- golden conversations --------------------------------------------------------------------------------- */

/* A message with what it points to. */
struct message {
    struct wm_chat_message m;
    char text[4096];
    struct wm_chat_picture parts[MAX_PARTS];
};

static struct message messages[MAX_MESSAGES];
static struct wm_picture pictures[MAX_PARTS];

/* Parts of a content: texts and pictures; `grids` gives the pictures' rows and columns, from *picture on. */
static void read_parts(const json_t *content, const json_t *grids, size_t *picture, struct message *out)
{
    size_t i;
    json_t *part;
    json_array_foreach(content, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        struct wm_chat_picture *p = &out->parts[out->m.n_pictures];
        assert_true(out->m.n_pictures < MAX_PARTS && *picture < MAX_PARTS);
        p->at = out->m.len;
        p->picture = NULL;
        if (text) {
            size_t n = json_string_length(text);
            assert_true(out->m.len + n < sizeof out->text);
            memcpy(out->text + out->m.len, json_string_value(text), n);
            out->m.len += n;
        } else {
            const json_t *grid = json_array_get(grids, *picture);
            pictures[*picture].rows = (int32_t)json_integer_value(json_array_get(grid, 0));
            pictures[*picture].cols = (int32_t)json_integer_value(json_array_get(grid, 1));
            p->picture = &pictures[(*picture)++];
        }
        out->m.n_pictures++; /* a text begins with a joint */
    }
    out->m.text = out->text;
    out->m.pictures = out->parts;
}

static size_t read_messages(const json_t *conversation)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    const json_t *list = json_object_get(conversation, "messages");
    size_t i, picture = 0;
    json_t *m;
    json_array_foreach(list, i, m)
    {
        const json_t *content = json_object_get(m, "content");
        const char *stop = json_string_value(json_object_get(m, "stop"));
        struct message *out = &messages[i];
        assert_true(i < MAX_MESSAGES);
        memset(out, 0, sizeof *out);
        for (size_t r = 0; r < COUNT(roles); r++)
            if (strcmp(json_string_value(json_object_get(m, "role")), roles[r]) == 0)
                out->m.role = (enum wm_role)r;
        out->m.calls = stop && strcmp(stop, "eom") == 0;
        out->m.text = json_string_value(content);
        out->m.len = json_string_length(content);
        read_parts(content, json_object_get(conversation, "grids_rows_cols"), &picture, out);
        if (json_is_string(content))
            out->m.text = json_string_value(content);
    }
    return json_array_size(list);
}

static void render(const struct wm_chat *c, size_t from, size_t n, bool first, bool open_reply,
                   struct wm_tokens *out)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_chat_message list[MAX_MESSAGES];
    for (size_t i = 0; i < n; i++)
        list[i] = messages[from + i].m;
    if (wm_chat_render(c, list, n, first, open_reply, out, &err) != WM_OK)
        fail_msg("%s", err.text);
}

/* [[id, count], ...] as a list of ids. */
static json_t *run_lengths(const json_t *runs)
{
    json_t *ids = json_array(), *run;
    size_t i;
    json_array_foreach(runs, i, run)
    {
        for (json_int_t n = json_integer_value(json_array_get(run, 1)); n > 0; n--)
            json_array_append(ids, json_array_get(run, 0));
    }
    return ids;
}

static void chats_give_the_ids_of_the_models_own_code(void **state)
{
    (void)state;
    struct wm_tokens ids = {0}, pieces = {0};
    size_t done = 0;
    for (size_t s = 0; s < COUNT(sources); s++) {
        json_t *golden = sources[s].chat ? golden_json(sources[s].golden) : NULL, *c;
        size_t i;
        json_array_foreach(json_object_get(golden, "chats"), i, c)
        {
            const char *name = json_string_value(json_object_get(c, "name"));
            json_t *want = json_object_get(c, "ids") ? json_incref(json_object_get(c, "ids"))
                                                     : run_lengths(json_object_get(c, "ids_run_length"));
            size_t n = read_messages(c);
            ids.n = pieces.n = 0;
            render(sources[s].chat, 0, n, true, true, &ids);
            check_ids(name, &ids, want);
            for (size_t m = 0; m < n; m++)
                render(sources[s].chat, m, 1, m == 0, m == n - 1, &pieces);
            check_ids(name, &pieces, want); /* piece by piece it is the same */
            json_decref(want);
            done++;
        }
        json_decref(golden);
    }
    wm_tokens_free(&ids);
    wm_tokens_free(&pieces);
    if (done == 0)
        SKIP("no ../shared/golden/chat/, or no tokenizer for it");
}

static void each_format_is_recognised(void **state)
{
    (void)state;
    size_t here = 0;
    for (size_t i = 0; i < COUNT(sources); i++)
        if (sources[i].chat) {
            assert_string_equal(wm_chat_format(sources[i].chat), sources[i].format);
            here++;
        }
    if (here == 0)
        SKIP("no small model, no ../shared/data/");
}

static void a_closed_reply_reads_like_a_rendered_one(void **state)
{
    (void)state;
    CHAT_OR_SKIP();
    struct wm_chat_message user = {WM_ROLE_USER, "Hi", 2}, reply = {WM_ROLE_ASSISTANT, "Hello", 5};
    for (size_t i = 0; i < COUNT(sources); i++) {
        struct wm_error err = WM_ERROR_INIT;
        struct wm_tokens rendered = {0}, closed = {0};
        const struct wm_chat *c = sources[i].chat;
        if (!c)
            continue;
        assert_int_equal(
            wm_chat_render(c, (struct wm_chat_message[]){user, reply}, 2, true, false, &rendered, &err),
            WM_OK);
        assert_int_equal(wm_chat_render(c, &user, 1, true, true, &closed, &err), WM_OK);
        assert_int_equal(wm_tokenizer_encode(sources[i].tokenizer, "Hello", 5, &closed, &err), WM_OK);
        assert_int_equal(wm_chat_close_reply(c, &closed, &err), WM_OK);
        assert_int_equal(rendered.n, closed.n);
        assert_memory_equal(rendered.ids, closed.ids, closed.n * sizeof *closed.ids);
        wm_tokens_free(&rendered);
        wm_tokens_free(&closed);
    }
}

static void a_list_at_its_ceiling_stays_as_it_was(void **state)
{
    (void)state;
    CHAT_OR_SKIP();
    struct wm_error err = WM_ERROR_INIT;
    struct wm_tokens ids = {.max = 8};
    struct wm_chat_message user = {WM_ROLE_USER, "Tell me a long story.", 21};
    assert_int_equal(wm_tokens_add(&ids, (int32_t[]){7, 7}, 2), WM_OK);
    assert_int_equal(wm_chat_render(chat, &user, 1, true, true, &ids, &err), WM_ELIMIT);
    assert_int_equal(ids.n, 2);
    wm_tokens_free(&ids);
}

/* --- in small: a tokenizer of a handful of tokens --------------------------------------------------------- */

#define SPECIAL(id, name) "{\"id\":" #id ",\"content\":\"<|" name "|>\",\"special\":true}"
#define SMALL(specials)                                                                                      \
    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{\"a\":0,\"s\":1,\"\\u010a\":2},"      \
    "\"merges\":[]},"                                                                                        \
    "\"added_tokens\":[" specials "]}"
#define LLAMA4_TEXT                                                                                          \
    SPECIAL(10, "begin_of_text")                                                                             \
    "," SPECIAL(11, "header_start") "," SPECIAL(12, "header_end") "," SPECIAL(13, "eot")
#define LLAMA4_EYES                                                                                          \
    "," SPECIAL(14, "image_start") "," SPECIAL(15, "image_end") "," SPECIAL(16, "image") "," SPECIAL(        \
        17, "tile_x_separator") "," SPECIAL(18, "tile_y_separator") "," SPECIAL(19, "patch")
#define LLAMA3                                                                                               \
    SPECIAL(10, "begin_of_text")                                                                             \
    "," SPECIAL(11, "start_header_id") "," SPECIAL(12, "end_header_id") "," SPECIAL(13, "eot_id")
#define CHATML SPECIAL(11, "im_start") "," SPECIAL(13, "im_end")

/* A chat on a small tokenizer; `st` is what wm_chat_new said. */
struct small {
    struct wm_tokenizer *tokenizer;
    struct wm_chat *chat;
    struct wm_error err;
    enum wm_status st;
};

static struct small small_chat(const char *json, const char *format, int32_t tile_tokens)
{
    struct small s = {0};
    struct wm_chat_options options = {.format = format, .tile_tokens = tile_tokens};
    if (wm_tokenizer_parse("small", json, strlen(json), &s.tokenizer, &s.err) != WM_OK)
        fail_msg("%s", s.err.text);
    s.st = wm_chat_new(NULL, &options, s.tokenizer, &s.chat, &s.err);
    return s;
}

static void free_small(struct small *s)
{
    wm_chat_free(s->chat);
    wm_tokenizer_free(s->tokenizer);
}

static const struct {
    const char *tokenizer, *asked, *format; /* format NULL: refused with these words: */
    const char *says;
    enum wm_status st;
} choices[] = {
    {SMALL(LLAMA4_TEXT), NULL, "llama4", NULL, WM_OK},
    {SMALL(LLAMA3), "auto", "llama3", NULL, WM_OK},
    {SMALL(CHATML), NULL, "chatml", NULL, WM_OK},
    {SMALL(LLAMA4_TEXT "," SPECIAL(20, "im_start") "," SPECIAL(21, "im_end")), "chatml", "chatml", NULL,
     WM_OK},
    {SMALL(""), NULL, NULL, "model.chat_format", WM_EUNSUPPORTED},
    {SMALL(CHATML), "alpaca", NULL, "there is no chat format 'alpaca'", WM_EUNSUPPORTED},
    {SMALL(CHATML), "llama4", NULL, "<|header_start|>", WM_EFORMAT},
};

static void the_vocabulary_or_the_setting_chooses_the_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(choices); i++) {
        struct small s = small_chat(choices[i].tokenizer, choices[i].asked, 0);
        assert_int_equal(s.st, choices[i].st);
        if (choices[i].format)
            assert_string_equal(wm_chat_format(s.chat), choices[i].format);
        else if (!strstr(s.err.text, choices[i].says))
            fail_msg("choice %zu: '%s'", i, s.err.text);
        free_small(&s);
    }
}

static void check_small(const struct small *s, const struct wm_chat_message *m, const int32_t *want, size_t n)
{
    struct wm_tokens ids = {0};
    struct wm_error err = WM_ERROR_INIT;
    if (wm_chat_render(s->chat, m, 1, true, false, &ids, &err) != WM_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ids.n, n);
    assert_memory_equal(ids.ids, want, n * sizeof *want);
    wm_tokens_free(&ids);
}

static void a_picture_is_a_block_of_slots_and_separators(void **state)
{
    (void)state;
    struct small s = small_chat(SMALL(LLAMA4_TEXT LLAMA4_EYES), NULL, 2);
    struct wm_picture one = {.rows = 1, .cols = 1}, grid = {.rows = 2, .cols = 2};
    struct wm_chat_picture before = {0, &one}, within = {1, &grid};
    check_small(&s, &(struct wm_chat_message){WM_ROLE_USER, "aa", 2, &before, 1},
                (int32_t[]){10, 11, 1, 12, 2, 2, 14, 16, 19, 19, 15, 0, 0, 13},
                14); /* "s" of "user" has a token */
    check_small(&s, &(struct wm_chat_message){WM_ROLE_USER, "as", 2, &within, 1},
                (int32_t[]){10, 11, 1,  12, 2,  2,  0,  14, 19, 19, 17, 19, 19,
                            18, 19, 19, 17, 19, 19, 18, 16, 19, 19, 15, 1,  13},
                26);
    assert_int_equal(wm_chat_picture_slots(s.chat, &one), 2);
    assert_int_equal(wm_chat_picture_slots(s.chat, &grid), 10);
    assert_int_equal(wm_chat_patch(s.chat), 19);
    free_small(&s);
}

static const struct {
    const char *tokenizer;
    int32_t tile_tokens;
    struct wm_picture picture;
    enum wm_role role;
    size_t at;
    const char *says;
    enum wm_status st;
} unseen[] = {
    {SMALL(LLAMA4_TEXT LLAMA4_EYES),
     0,
     {.rows = 1, .cols = 1},
     WM_ROLE_USER,
     0,
     "does not see",
     WM_EUNSUPPORTED},
    {SMALL(LLAMA4_TEXT), 2, {.rows = 1, .cols = 1}, WM_ROLE_USER, 0, "<|image_start|>", WM_EUNSUPPORTED},
    {SMALL(CHATML), 2, {.rows = 1, .cols = 1}, WM_ROLE_USER, 0, "lacks the token", WM_EUNSUPPORTED},
    {SMALL(LLAMA4_TEXT LLAMA4_EYES), 2, {.rows = 0, .cols = 1}, WM_ROLE_USER, 0, "0 x 1 tiles", WM_EINVAL},
    {SMALL(LLAMA4_TEXT LLAMA4_EYES), 2, {.rows = 13, .cols = 5}, WM_ROLE_USER, 0, "13 x 5", WM_EINVAL},
    {SMALL(LLAMA4_TEXT LLAMA4_EYES), 2, {.rows = 1 << 30, .cols = 4}, WM_ROLE_USER, 0, "1 to 64", WM_EINVAL},
    {SMALL(LLAMA4_TEXT LLAMA4_EYES),
     2,
     {.rows = 1, .cols = 1},
     WM_ROLE_SYSTEM,
     0,
     "only a user's",
     WM_EINVAL},
    {SMALL(LLAMA4_TEXT LLAMA4_EYES),
     2,
     {.rows = 1, .cols = 1},
     WM_ROLE_USER,
     2,
     "byte 2 of a text of 1",
     WM_EINVAL},
};

static void a_picture_that_cannot_be_shown_is_one_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(unseen); i++) {
        struct small s = small_chat(unseen[i].tokenizer, NULL, unseen[i].tile_tokens);
        struct wm_chat_picture p = {unseen[i].at, &unseen[i].picture};
        struct wm_tokens ids = {0};
        enum wm_status st = wm_chat_render(s.chat, &(struct wm_chat_message){unseen[i].role, "a", 1, &p, 1},
                                           1, true, true, &ids, &s.err);
        if (st != unseen[i].st || !strstr(s.err.text, unseen[i].says) || ids.n != 0)
            fail_msg("case %zu: %d '%s'", i, st, s.err.text);
        wm_tokens_free(&ids);
        free_small(&s);
    }
}

/* --- the model's own template ----------------------------------------------------------------------------- */

#define HEADER(role)  "'<|header_start|>' + " role " + '<|header_end|>\\n\\n'"
#define MESSAGES(end) "{% for m in messages %}{{ " HEADER("m.role") " + m.content + '" end "' }}{% endfor %}"
#define OPEN          "{% if add_generation_prompt %}{{ " HEADER("'assistant'") " }}{% endif %}"

static const struct {
    const char *template, *says; /* NULL: they agree */
} templates[] = {
    {"{{ bos_token }}" MESSAGES("<|eot|>") OPEN, NULL},
    {MESSAGES("<|eot|>") OPEN,
     "write \"a question\" differently: at token 0 the template has \"<|header_start|>"},
    {"{{ bos_token }}" MESSAGES("<|eot|>"), "the template has nothing more, the format \"<|header_start|>"},
    {"{{ bos_token }}" MESSAGES("<|eot|>\\n") OPEN, "the template has \"\\n"},
    {"{{ bos_token }}{% if messages[0].role == 'system' %}{% set messages = messages[1:] %}{% endif "
     "%}" MESSAGES("<|eot|>") OPEN,
     "\"a system message\""},
    {"{% if messages|length > 2 %}{{ raise_exception('long') }}{% endif %}{{ bos_token }}" MESSAGES("<|eot|>")
         OPEN,
     "could not be run on \"two turns\""},
    {"{% include 'x' %}", "is not compared: its chat template: line 1"},
};

static void a_template_that_differs_is_told_of(void **state)
{
    (void)state;
    struct small s = small_chat(SMALL(LLAMA4_TEXT), NULL, 0);
    for (size_t i = 0; i < COUNT(templates); i++) {
        struct wm_buffer report = WM_BUFFER(4096);
        assert_int_equal(wm_chat_check(s.chat, s.tokenizer, "small", templates[i].template,
                                       strlen(templates[i].template), &report),
                         WM_OK);
        if (templates[i].says ? !report.data || !strstr(report.data, templates[i].says) : report.len != 0)
            fail_msg("template %zu: '%s'", i, report.data ? report.data : "");
        wm_buffer_free(&report);
    }
    free_small(&s);
}

static void the_small_models_template_agrees(void **state)
{
    (void)state;
    CHAT_OR_SKIP();
    assert_null(wm_chat_warning(chat));
}

/* --- prompts as JSON -------------------------------------------------------------------------------------- */

static enum wm_status look(void *arg, const char *path, struct wm_picture *out, struct wm_error *err)
{
    (void)arg;
    if (strcmp(path, "missing.png") == 0)
        return wm_fail(err, WM_ENOENT, "missing.png: no such file");
    *out = (struct wm_picture){.rows = 1, .cols = path[0] == 'w' ? 2 : 1};
    return WM_OK;
}

static const struct {
    const char *prompt;
    size_t n_pictures, n_tokens; /* of a good one */
    const char *says;            /* of a refused one */
} prompts[] = {
    {"{\"ids\":[0,1,19],\"images\":[\"a.png\"]}", 1, 3, NULL},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_"
     "url\",\"image_url\":{"
     "\"url\":\"w.png\"}},{\"type\":\"text\",\"text\":\"a\"}]}]}",
     1, 29, NULL},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"file://"
     "a.png\"}]},{\"role\":"
     "\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"w.png\"}}]}]}",
     2, 38, NULL},
    {"{\"messages\":[{\"role\":\"tool\",\"content\":\"a\"},{\"role\":\"developer\",\"content\":\"\"}]}", 0,
     23, NULL},
    {"{\"ids\":[0,20]}", 0, 0, "item 1"},
    {"{\"ids\":[0],\"images\":[7]}", 0, 0, "item 0"},
    {"{\"ids\":[0],\"images\":[\"missing.png\"]}", 0, 0, "missing.png"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"audio\"}]}]}", 0, 0, "message 0"},
    {"{\"messages\":[{\"role\":\"king\",\"content\":\"a\"}]}", 0, 0, "message 0"},
    {"{\"messages\":[{\"role\":\"user\"}]}", 0, 0, "message 0"},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":{}}", 0, 0, "\"tools\""},
    {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{}]}]}", 0, 0, "call 0"},
    {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"a\",\"arguments\":\"[]"
     "\"}}]}]}",
     0, 0, "call 0"},
    {"{\"message\":1}", 0, 0, "\"ids\""},
};

static void a_prompt_names_its_pictures_by_path(void **state)
{
    (void)state;
    struct small s = small_chat(SMALL(LLAMA4_TEXT LLAMA4_EYES), NULL, 2);
    struct wm_prompt_reader reader = {
        .tokenizer = s.tokenizer, .chat = s.chat, .chat_error = &s.err, .look = look};
    for (size_t i = 0; i < COUNT(prompts); i++) {
        struct wm_error err = WM_ERROR_INIT;
        struct wm_prompt p = {0};
        json_t *json = json_loads(prompts[i].prompt, 0, NULL);
        assert_non_null(json);
        enum wm_status st = wm_prompt_from_json(&reader, json, &p, &err);
        if (prompts[i].says
                ? st == WM_OK || !strstr(err.text, prompts[i].says)
                : st != WM_OK || p.n_pictures != prompts[i].n_pictures || p.tokens.n != prompts[i].n_tokens)
            fail_msg("prompt %zu: %zu pictures, %zu tokens, '%s'", i, p.n_pictures, p.tokens.n, err.text);
        wm_prompt_free(&p);
        json_decref(json);
    }
    free_small(&s);
}

static void read_prompt(const struct wm_prompt_reader *reader, const char *text, struct wm_prompt *out)
{
    struct wm_error err = WM_ERROR_INIT;
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    if (wm_prompt_from_json(reader, json, out, &err) != WM_OK)
        fail_msg("%s", err.text);
    json_decref(json);
}

/* Tools stand before the first user's text, and are told once; calls are the assistant's text. */
static void tools_and_calls_become_texts(void **state)
{
    (void)state;
    static const char with_tools[] =
        "{\"tools\":[\"sa\"],\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
        "\"content\":\"a\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\","
        "\"function\":"
        "{\"name\":\"sas\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\",\"content\":\"aa\"},"
        "{\"role\":\"user\",\"content\":\"s\"}]}";
    struct small s = small_chat(SMALL(LLAMA4_TEXT), NULL, 0);
    struct wm_prompt_reader reader = {.tokenizer = s.tokenizer, .chat = s.chat, .chat_error = &s.err};
    struct wm_prompt got = {0}, want = {0};
    struct wm_buffer told = WM_BUFFER(4096);
    json_t *tools = json_loads("[\"sa\"]", 0, NULL), *expanded, *text;
    assert_int_equal(wm_tools_text(tools, &told, &s.err), WM_OK);
    assert_int_equal(wm_buffer_puts(&told, "a"), WM_OK);
    text = json_stringn(told.data, told.len);
    expanded = json_pack("{s:[{s:s,s:s},{s:s,s:o},{s:s,s:s},{s:s,s:s},{s:s,s:s}]}", "messages", "role",
                         "system", "content", "Environment: ipython\ns", "role", "user", "content", text,
                         "role", "assistant", "content", "{\"name\": \"sas\", \"parameters\": {\"a\": 1}}",
                         "role", "tool", "content", "aa", "role", "user", "content", "s");
    char *dumped = json_dumps(expanded, 0);
    read_prompt(&reader, with_tools, &got);
    read_prompt(&reader, dumped, &want);
    assert_int_equal(got.tokens.n, want.tokens.n);
    assert_memory_equal(got.tokens.ids, want.tokens.ids, want.tokens.n * sizeof *want.tokens.ids);
    free(dumped);
    json_decref(expanded);
    json_decref(tools);
    wm_buffer_free(&told);
    wm_prompt_free(&got);
    wm_prompt_free(&want);
    free_small(&s);
}

static void without_eyes_a_prompt_with_pictures_is_refused(void **state)
{
    (void)state;
    struct small s = small_chat(SMALL(LLAMA4_TEXT), NULL, 0);
    struct wm_prompt_reader reader = {.tokenizer = s.tokenizer, .chat = s.chat, .chat_error = &s.err};
    struct wm_error err = WM_ERROR_INIT;
    struct wm_prompt p = {0};
    json_t *json = json_loads(prompts[0].prompt, 0, NULL);
    json_object_set_new(json, "ids", json_loads("[0]", 0, NULL));
    assert_int_equal(wm_prompt_from_json(&reader, json, &p, &err), WM_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "does not see"));
    wm_prompt_free(&p);
    json_decref(json);
    free_small(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chats_give_the_ids_of_the_models_own_code),
        cmocka_unit_test(each_format_is_recognised),
        cmocka_unit_test(a_closed_reply_reads_like_a_rendered_one),
        cmocka_unit_test(a_list_at_its_ceiling_stays_as_it_was),
        cmocka_unit_test(the_vocabulary_or_the_setting_chooses_the_format),
        cmocka_unit_test(a_picture_is_a_block_of_slots_and_separators),
        cmocka_unit_test(a_picture_that_cannot_be_shown_is_one_sentence),
        cmocka_unit_test(a_template_that_differs_is_told_of),
        cmocka_unit_test(the_small_models_template_agrees),
        cmocka_unit_test(a_prompt_names_its_pictures_by_path),
        cmocka_unit_test(tools_and_calls_become_texts),
        cmocka_unit_test(without_eyes_a_prompt_with_pictures_is_refused),
    };
    return cmocka_run_group_tests(tests, open_sources, close_sources);
}

/* chat_check.c -- see chat_check.h.
 *
 * WHY     A format is recognised by one word in a template, and a model whose conversations are written a little
 *         otherwise than in its training answers a little worse, without any error. So the template is run on
 *         conversations that every template of the format must write alike, and a difference is told when the model
 *         is loaded.
 *
 * HOW     A template makes one text; its control tokens are found in it by their spelling, which only this file ever
 *         does, on conversations that are constants. What lies between is tokenized as always.
 *
 *         The conversations leave out where templates may differ without harm: white space at the ends of a text
 *         (some trim it), tools, pictures, and dates (a template that adds today's differs, and is told of).
 */
#include "engine/chat_check.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine/template.h"
#include "kernels/base/utf8.h"

enum { MAX_MESSAGES = 5, MAX_TEXT = 1 << 16, SHOWN = 24 };

static const struct {
    const char *name;
    const char *texts[MAX_MESSAGES]; /* up to NULL */
    bool system; /* the first is a system message; then a user's and the model's take turns */
} conversations[] = {
    {"a question", {"Hello!"}, false},
    {"two turns", {"Hi", "Hello! How can I help?", "Tell me a joke."}, false},
    {"three turns", {"One", "Two", "Three", "Four", "Five"}, false},
    {"a system message", {"You are a helpful assistant.", "What is 2 + 2?"}, true},
    {"a system message and two turns", {"Answer briefly.", "Hi", "Hello!", "And you?"}, true},
    {"several lines", {"First line\nsecond line\n\n- a\n- b"}, false},
    {"several lines from the model", {"A list?", "1. one\n2. two\n\nDone.", "Thanks"}, false},
    {"other scripts",
     {"Gr\xc3\xbc\xc3\x9f"
      "e \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80"},
     false},
    {"code", {"Explain `x[i] += 1;` and {\"a\": [1, 2]} <b>please</b>"}, false},
    {"quotes", {"It's \"quoted\" \\ and 'single'", "I'm fine", "don't"}, false},
};

static enum wm_role role_of(size_t conversation, size_t message)
{
    size_t turn = message - conversations[conversation].system;
    return conversations[conversation].system && message == 0 ? WM_ROLE_SYSTEM
           : turn % 2 == 0                                    ? WM_ROLE_USER
                                                              : WM_ROLE_ASSISTANT;
}

static size_t size_of(size_t conversation)
{
    size_t n = 0;
    while (n < MAX_MESSAGES && conversations[conversation].texts[n])
        n++;
    return n;
}

/* --- theirs ----------------------------------------------------------------------------------------------- */

static json_t *variables_of(size_t conversation, const char *bos, const char *eos)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    json_t *messages = json_array();
    for (size_t i = 0; i < size_of(conversation); i++)
        json_array_append_new(messages, json_pack("{s:s,s:s}", "role", roles[role_of(conversation, i)],
                                                  "content", conversations[conversation].texts[i]));
    return json_pack("{s:o,s:b,s:s,s:s}", "messages", messages, "add_generation_prompt", 1, "bos_token", bos,
                     "eos_token", eos);
}

/* Tokens of a text in which control tokens are spelled. */
static enum wm_status encode_marked(const struct wm_tokenizer *t, const char *text, size_t len,
                                    struct wm_tokens *out)
{
    enum wm_status st = WM_OK;
    size_t from = 0, at = 0;
    while (at <= len && st == WM_OK) {
        size_t n = 0;
        int32_t control = at < len ? wm_tokenizer_control_at(t, text + at, len - at, &n) : -1;
        if (control >= 0 || at == len) {
            st = wm_tokenizer_encode(t, text + from, at - from, out, NULL);
            from = at + n;
        }
        if (control >= 0 && st == WM_OK)
            st = wm_tokens_add(out, &control, 1);
        at += n ? n : 1;
    }
    return st;
}

/* --- the two beside each other ---------------------------------------------------------------------------- */

/* What the tokens from `at` on spell, cut, for a sentence. */
static enum wm_status show(const struct wm_tokenizer *t, const struct wm_tokens *ids, size_t at,
                           struct wm_buffer *report)
{
    struct wm_buffer text = WM_BUFFER(4096);
    enum wm_status st = WM_OK;
    for (; at < ids->n && text.len < SHOWN && st == WM_OK; at++) {
        size_t len;
        const char *bytes = wm_tokenizer_spelling(t, ids->ids[at], &len);
        st = wm_utf8_sanitize(&text, bytes, len);
    }
    json_t *quoted = json_stringn(text.data ? text.data : "", text.len); /* escapes line ends */
    char *dumped = quoted ? json_dumps(quoted, JSON_ENCODE_ANY) : NULL;
    st = dumped ? wm_buffer_puts(report, text.len ? dumped : "nothing more") : WM_ENOMEM;
    free(dumped);
    json_decref(quoted);
    wm_buffer_free(&text);
    return st;
}

static enum wm_status tell_difference(const struct wm_chat *c, const struct wm_tokenizer *t, const char *name,
                                      size_t conversation, const struct wm_tokens *ours,
                                      const struct wm_tokens *theirs, struct wm_buffer *report)
{
    size_t at = 0;
    while (at < ours->n && at < theirs->n && ours->ids[at] == theirs->ids[at])
        at++;
    if (at == ours->n && at == theirs->n)
        return WM_OK;
    enum wm_status st = wm_buffer_printf(
        report,
        "%s: its chat template and the format %s write \"%s\" differently: at token %zu the template has ",
        name, wm_chat_format(c), conversations[conversation].name, at);
    if (st == WM_OK)
        st = show(t, theirs, at, report);
    if (st == WM_OK)
        st = wm_buffer_puts(report, ", the format ");
    return st == WM_OK ? show(t, ours, at, report) : st;
}

static enum wm_status compare(const struct wm_chat *c, const struct wm_tokenizer *t, const char *name,
                              const struct wm_template *template, size_t conversation,
                              struct wm_buffer *report)
{
    static const struct {
        const char *bos, *eos;
    } names[] = {{"<|begin_of_text|>", "<|eot|>"},
                 {"<|begin_of_text|>", "<|eot_id|>"},
                 {"<|im_start|>", "<|im_end|>"}};
    struct wm_chat_message list[MAX_MESSAGES] = {0};
    struct wm_tokens ours = {0}, theirs = {0};
    struct wm_buffer text = WM_BUFFER(MAX_TEXT);
    struct wm_error err = WM_ERROR_INIT;
    size_t n = size_of(conversation), k = 0;
    for (size_t i = 0; i < n; i++)
        list[i] = (struct wm_chat_message){.role = role_of(conversation, i),
                                           .text = conversations[conversation].texts[i],
                                           .len = strlen(conversations[conversation].texts[i])};
    while (k + 1 < sizeof names / sizeof *names &&
           (wm_tokenizer_control(t, names[k].bos) < 0 || wm_tokenizer_control(t, names[k].eos) < 0))
        k++;
    json_t *variables = variables_of(conversation, names[k].bos, names[k].eos);
    enum wm_status st = variables ? wm_template_render(template, variables, 0, &text, &err) : WM_ENOMEM;
    if (st != WM_OK && st != WM_ENOMEM) {
        st = wm_buffer_printf(report,
                              "%s: its chat template could not be run on \"%s\", and is not compared: %s",
                              name, conversations[conversation].name, err.text);
        goto done;
    }
    if (st == WM_OK)
        st = encode_marked(t, text.data ? text.data : "", text.len, &theirs);
    if (st == WM_OK)
        st = wm_chat_render(c, list, n, true, true, &ours, &err);
    if (st == WM_OK)
        st = tell_difference(c, t, name, conversation, &ours, &theirs, report);
done:
    json_decref(variables);
    wm_buffer_free(&text);
    wm_tokens_free(&ours);
    wm_tokens_free(&theirs);
    return st;
}

enum wm_status wm_chat_check(const struct wm_chat *c, const struct wm_tokenizer *tokenizer, const char *name,
                             const char *template, size_t len, struct wm_buffer *report)
{
    struct wm_template *t = NULL;
    struct wm_error err = WM_ERROR_INIT;
    size_t before = report->len;
    enum wm_status st = wm_template_new("its chat template", template, len, &t, &err);
    if (st != WM_OK && st != WM_ENOMEM)
        return wm_buffer_printf(report, "%s: its chat template is not compared: %s", name, err.text);
    for (size_t i = 0;
         i < sizeof conversations / sizeof *conversations && st == WM_OK && report->len == before; i++)
        st = compare(c, tokenizer, name, t, i, report);
    wm_template_free(t);
    return st == WM_ELIMIT ? WM_OK : st; /* a sentence that was too long stays cut */
}

/* chat.c -- see chat.h. One row of `formats` for each way of writing conversations down.
 *
 * HOW     A message is: begin, role, text, end, separator. The role, what follows it and the person's text are plain text
 *         tokenized together, as the models were trained ("user\n" + text: a line end at the start of the text joins
 *         the one before it). begin and end are control tokens, so a piece never merges across messages, and
 *         rendering a list equals rendering its messages one by one.
 *
 *           chatml   <|im_start|>user\nHello<|im_end|>\n
 *
 *         The default system message is the one that the file's own template spells out, if it does.
 */
#include "engine/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct format {
    const char *name;
    const char *mark;        /* the template holds this text */
    const char *begin, *end; /* control tokens around a message */
    const char *after_role;  /* plain text between the role and the message */
    const char *separator;   /* plain text behind `end` */
    const char *roles[3];    /* by enum wm_role */
};

static const struct format formats[] = {
    {"chatml", "<|im_start|>", "<|im_start|>", "<|im_end|>", "\n", "\n", {"system", "user", "assistant"}},
};

enum { MAX_DEFAULT_SYSTEM = 4096 };

struct wm_chat {
    const struct format *format;
    const struct wm_tokenizer *tokenizer;
    int32_t begin, end;
    char *default_system; /* NULL: none */
    size_t default_len;
};

/* The default system message lies in the template as a literal: begin, "system", what follows, text, end. */
static enum wm_status find_default_system(struct wm_chat *c, const char *template, size_t len)
{
    char head[64], head_escaped[64]; /* the line end in a literal may be written as \n */
    int n = snprintf(head, sizeof head, "%s%s\n", c->format->begin, c->format->roles[WM_ROLE_SYSTEM]);
    int n_escaped = snprintf(head_escaped, sizeof head_escaped, "%s%s\\n", c->format->begin,
                             c->format->roles[WM_ROLE_SYSTEM]);
    const char *at = memmem(template, len, head, (size_t)n);
    if (!at) {
        at = memmem(template, len, head_escaped, (size_t)n_escaped);
        n = n_escaped;
    }
    if (!at)
        return WM_OK;
    const char *text = at + n, *limit = template + len;
    const char *end = memmem(text, (size_t)(limit - text), c->format->end, strlen(c->format->end));
    if (!end || end == text || end - text > MAX_DEFAULT_SYSTEM)
        return WM_OK;
    for (const char *s = text; s < end; s++)
        if (strchr("'\"{}\\", *s) || *s == '\0') /* part of the program, not a literal */
            return WM_OK;
    c->default_len = (size_t)(end - text);
    c->default_system = strndup(text, c->default_len);
    return c->default_system ? WM_OK : WM_ENOMEM;
}

static const struct format *recognise(const struct wm_meta *template)
{
    if (!template || template->kind != WM_META_STRING)
        return NULL;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (memmem(template->string.bytes, template->string.len, formats[i].mark, strlen(formats[i].mark)))
            return &formats[i];
    return NULL;
}

enum wm_status wm_chat_new(const struct wm_model_file *file, struct wm_tokenizer *tokenizer,
                           struct wm_chat **out, struct wm_error *err)
{
    const struct wm_meta *template = wm_model_file_meta(file, "tokenizer.chat_template");
    const struct format *format = recognise(template);
    if (!format)
        return wm_fail(
            err, WM_EUNSUPPORTED,
            "%s: key tokenizer.chat_template is %s; this build writes chats as chatml: use an instruct model "
            "with that format",
            wm_model_file_name(file), template ? "not a format it knows" : "missing");
    int32_t begin = wm_tokenizer_control(tokenizer, format->begin),
            end = wm_tokenizer_control(tokenizer, format->end);
    if (begin < 0 || end < 0)
        return wm_fail(err, WM_EFORMAT,
                       "%s: the chat format %s needs the control tokens %s and %s, the vocabulary lacks one",
                       wm_model_file_name(file), format->name, format->begin, format->end);
    struct wm_chat *c = calloc(1, sizeof *c);
    if (!c)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for its chat format", wm_model_file_name(file));
    *c = (struct wm_chat){.format = format, .tokenizer = tokenizer, .begin = begin, .end = end};
    enum wm_status st = find_default_system(c, template->string.bytes, template->string.len);
    if (st != WM_OK) {
        wm_chat_free(c);
        return wm_fail(err, st, "%s: no memory for its chat format", wm_model_file_name(file));
    }
    wm_tokenizer_add_stop(tokenizer, end);
    *out = c;
    return WM_OK;
}

void wm_chat_free(struct wm_chat *c)
{
    if (!c)
        return;
    free(c->default_system);
    free(c);
}

const char *wm_chat_format(const struct wm_chat *c)
{
    return c->format->name;
}

/* begin, role, what follows it, text: a message without its end. */
static enum wm_status open_message(const struct wm_chat *c, enum wm_role role, const char *text, size_t len,
                                   struct wm_tokens *out, struct wm_error *err)
{
    struct wm_buffer plain = WM_BUFFER((size_t)WM_TOKENS_MAX);
    enum wm_status st = wm_buffer_printf(&plain, "%s%s", c->format->roles[role], c->format->after_role);
    if (st == WM_OK)
        st = wm_buffer_add(&plain, text, len);
    if (st == WM_OK)
        st = wm_tokens_add(out, &c->begin, 1);
    if (st == WM_OK)
        st = wm_tokenizer_encode(c->tokenizer, plain.data, plain.len, out, err);
    wm_buffer_free(&plain);
    return st;
}

static enum wm_status close_message(const struct wm_chat *c, struct wm_tokens *out, struct wm_error *err)
{
    enum wm_status st = wm_tokens_add(out, &c->end, 1);
    if (st == WM_OK)
        st = wm_tokenizer_encode(c->tokenizer, c->format->separator, strlen(c->format->separator), out, err);
    return st;
}

static enum wm_status whole_message(const struct wm_chat *c, enum wm_role role, const char *text, size_t len,
                                    struct wm_tokens *out, struct wm_error *err)
{
    enum wm_status st = open_message(c, role, text, len, out, err);
    return st == WM_OK ? close_message(c, out, err) : st;
}

enum wm_status wm_chat_render(const struct wm_chat *c, const struct wm_chat_message *messages, size_t n,
                              bool first, bool open_reply, struct wm_tokens *out, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    size_t before = out->n;
    if (first && c->default_system && (n == 0 || messages[0].role != WM_ROLE_SYSTEM))
        st = whole_message(c, WM_ROLE_SYSTEM, c->default_system, c->default_len, out, err);
    for (size_t i = 0; i < n && st == WM_OK; i++)
        st = whole_message(c, messages[i].role, messages[i].text, messages[i].len, out, err);
    if (open_reply && st == WM_OK)
        st = open_message(c, WM_ROLE_ASSISTANT, "", 0, out, err);
    if (st == WM_OK)
        return WM_OK;
    out->n = before;
    return wm_fail(err, st, "writing %zu messages as %s: %s", n, c->format->name, wm_status_name(st));
}

enum wm_status wm_chat_close_reply(const struct wm_chat *c, struct wm_tokens *out, struct wm_error *err)
{
    size_t before = out->n;
    enum wm_status st = close_message(c, out, err);
    if (st == WM_OK)
        return WM_OK;
    out->n = before;
    return wm_fail(err, st, "closing a reply: %s", wm_status_name(st));
}

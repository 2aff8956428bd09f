/* chat.c -- see chat.h. One row of `formats` for each way of writing conversations down.
 *
 * HOW     A message is: begin, role, what follows it, content, end. begin and end are control tokens, so a piece
 *         never merges across messages, and rendering a list equals rendering its messages one by one.
 *
 *           chatml   <|im_start|>user\nHello<|im_end|>\n
 *           llama3   <|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>
 *           llama4   <|header_start|>user<|header_end|>\n\nHello<|eot|>
 *
 *         In chatml the role, the line end and the content are one text, as the models were trained: a line end at
 *         the start of the content joins the one before it. Where a control token ends the header, the empty line
 *         behind it and the content are tokenized apart, as Meta does (source: Meta's chat_format.py).
 *
 *         A picture of one tile is   image_start image P.. image_end; of rows x cols tiles it is
 *           image_start  (P.. x_separator P.. x_separator P.. y_separator) per row  image P.. image_end
 *         where P.. are the slots of a tile and the last tile is the global one (source: Meta's _encode_image).
 *
 *         The default system message is the one that the file's own template spells out, if it does.
 *
 * LIMITS  A text and its header as wm_tokenizer_encode takes them; a grid of 64 tiles.
 */
#include "engine/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/chat_check.h"
#include "engine/chat_template.h"

enum { ROLES = 4, MAX_DEFAULT_SYSTEM = 4096, MAX_GRID = 64, MAX_WARNING = 8192 };

/* Control tokens that a format places. */
enum mark {
    FIRST,      /* before everything */
    BEGIN,      /* before the role */
    HEADER_END, /* behind the role */
    END,        /* behind a message */
    END_CALLS,  /* behind calls of tools and their answers */
    IMAGE_START,
    IMAGE_END,
    IMAGE, /* before the slots of the global tile, or of the only one */
    TILE_X,
    TILE_Y,
    PATCH,
    MARKS
};

struct format {
    const char *name;
    const char *sign;         /* the template holds this text */
    const char *marks[MARKS]; /* NULL: this format has none */
    const char *after_role;   /* plain text between the role and the content */
    const char *separator;    /* plain text behind the end */
    const char *roles[ROLES]; /* by enum wm_role */
};

static const struct format formats[] = {
    {.name = "llama4",
     .sign = "<|header_start|>",
     .marks = {[FIRST] = "<|begin_of_text|>",
               [BEGIN] = "<|header_start|>",
               [HEADER_END] = "<|header_end|>",
               [END] = "<|eot|>",
               [END_CALLS] = "<|eom|>",
               [IMAGE_START] = "<|image_start|>",
               [IMAGE_END] = "<|image_end|>",
               [IMAGE] = "<|image|>",
               [TILE_X] = "<|tile_x_separator|>",
               [TILE_Y] = "<|tile_y_separator|>",
               [PATCH] = "<|patch|>"},
     .after_role = "\n\n",
     .separator = "",
     .roles = {"system", "user", "assistant", "ipython"}},
    {.name = "llama3",
     .sign = "<|start_header_id|>",
     .marks = {[FIRST] = "<|begin_of_text|>",
               [BEGIN] = "<|start_header_id|>",
               [HEADER_END] = "<|end_header_id|>",
               [END] = "<|eot_id|>"},
     .after_role = "\n\n",
     .separator = "",
     .roles = {"system", "user", "assistant", "ipython"}},
    {.name = "chatml",
     .sign = "<|im_start|>",
     .marks = {[BEGIN] = "<|im_start|>", [END] = "<|im_end|>"},
     .after_role = "\n",
     .separator = "\n",
     .roles = {"system", "user", "assistant", "tool"}},
};

static const char format_names[] = "llama4, llama3, chatml";

struct wm_chat {
    const struct format *format;
    const struct wm_tokenizer *tokenizer;
    int32_t ids[MARKS]; /* -1: the format has none, or the vocabulary */
    int32_t tile_tokens;
    char *default_system; /* NULL: none */
    size_t default_len;
    struct wm_buffer warning;
};

/* --- which format ----------------------------------------------------------------------------------------- */

/* The header of a system message as a template may spell it, with `line` for a line end. */
static int spell_header(const struct format *f, const char *line, char *out, size_t room)
{
    int n = snprintf(out, room, "%s%s%s", f->marks[BEGIN], f->roles[WM_ROLE_SYSTEM],
                     f->marks[HEADER_END] ? f->marks[HEADER_END] : "");
    for (size_t i = 0; i < strlen(f->after_role); i++)
        n += snprintf(out + n, room - (size_t)n, "%s", line);
    return n;
}

/* The default system message lies in the template as a literal: header, text, end. */
static enum wm_status find_default_system(struct wm_chat *c, const char *template, size_t len)
{
    static const char *const lines[] = {"\n", "\\n"};
    const char *text = NULL, *limit = template + len;
    for (size_t i = 0; i < sizeof lines / sizeof *lines && !text; i++) {
        char header[96];
        int n = spell_header(c->format, lines[i], header, sizeof header);
        text = memmem(template, len, header, (size_t)n);
        text = text ? text + n : NULL;
    }
    const char *mark = c->format->marks[END];
    const char *end = text ? memmem(text, (size_t)(limit - text), mark, strlen(mark)) : NULL;
    if (!end || end == text || end - text > MAX_DEFAULT_SYSTEM)
        return WM_OK;
    for (const char *s = text; s < end; s++)
        if (strchr("'\"{}\\", *s) || *s == '\0') /* part of the program, not a literal */
            return WM_OK;
    c->default_len = (size_t)(end - text);
    c->default_system = strndup(text, c->default_len);
    return c->default_system ? WM_OK : WM_ENOMEM;
}

/* Does the vocabulary have what a message of this format cannot be written without? */
static bool fits(const struct format *f, const struct wm_tokenizer *t)
{
    for (int m = FIRST; m <= END; m++)
        if (f->marks[m] && wm_tokenizer_control(t, f->marks[m]) < 0)
            return false;
    return true;
}

static enum wm_status choose(const char *name, const char *asked, const char *template, size_t len,
                             const struct wm_tokenizer *t, const struct format **out, struct wm_error *err)
{
    bool forced = asked && strcmp(asked, "auto") != 0;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const struct format *f = &formats[i];
        if (forced     ? strcmp(f->name, asked) != 0
            : template ? !memmem(template, len, f->sign, strlen(f->sign))
                       : !fits(f, t))
            continue;
        if (!fits(f, t))
            return wm_fail(
                err, WM_EFORMAT,
                "%s: the chat format %s needs control tokens (%s, %s ...) that the vocabulary lacks", name,
                f->name, f->marks[BEGIN], f->marks[END]);
        *out = f;
        return WM_OK;
    }
    if (forced)
        return wm_fail(err, WM_EUNSUPPORTED, "there is no chat format '%s'; this build has %s", asked,
                       format_names);
    return wm_fail(
        err, WM_EUNSUPPORTED,
        "%s: %s; this build writes chats as %s: use an instruct model with one of these formats, or name "
        "one in the setting model.chat_format",
        name,
        template ? "the chat template is of none of the formats it knows"
                 : "there is no chat template, and the vocabulary has no control tokens of a format it knows",
        format_names);
}

enum wm_status wm_chat_new(const struct wm_model_file *file, const struct wm_chat_options *options,
                           struct wm_tokenizer *tokenizer, struct wm_chat **out, struct wm_error *err)
{
    const char *name = file ? wm_model_file_name(file) : "the tokenizer";
    char *template = NULL;
    size_t len;
    struct wm_chat *c = calloc(1, sizeof *c);
    enum wm_status st = c ? WM_OK : wm_fail(err, WM_ENOMEM, "%s: no memory for its chat format", name);
    if (st == WM_OK)
        st = wm_chat_template_find(file, &template, &len, err);
    if (st == WM_OK)
        st = choose(name, options->format, template, len, tokenizer, &c->format, err);
    if (st != WM_OK)
        goto free_chat;
    c->tokenizer = tokenizer;
    c->tile_tokens = options->tile_tokens;
    for (int m = 0; m < MARKS; m++)
        c->ids[m] = c->format->marks[m] ? wm_tokenizer_control(tokenizer, c->format->marks[m]) : -1;
    if (template && find_default_system(c, template, len) != WM_OK) {
        st = wm_fail(err, WM_ENOMEM, "%s: no memory for its chat format", name);
        goto free_chat;
    }
    c->warning = WM_BUFFER(MAX_WARNING);
    if (template && wm_chat_check(c, tokenizer, name, template, len, &c->warning) != WM_OK) {
        st = wm_fail(err, WM_ENOMEM, "%s: no memory to run its chat template", name);
        goto free_chat;
    }
    wm_tokenizer_add_stop(tokenizer, c->ids[END]);
    wm_tokenizer_add_stop(tokenizer, c->ids[END_CALLS]);
    *out = c;
    free(template);
    return WM_OK;

free_chat:
    wm_chat_free(c);
    free(template);
    return st;
}

void wm_chat_free(struct wm_chat *c)
{
    if (!c)
        return;
    free(c->default_system);
    wm_buffer_free(&c->warning);
    free(c);
}

const char *wm_chat_format(const struct wm_chat *c)
{
    return c->format->name;
}

const char *wm_chat_warning(const struct wm_chat *c)
{
    return c->warning.len ? c->warning.data : NULL;
}

int32_t wm_chat_patch(const struct wm_chat *c)
{
    return c->ids[PATCH];
}

/* --- pictures --------------------------------------------------------------------------------------------- */

static int32_t tiles_of(const struct wm_picture *p)
{
    int32_t grid = p->rows * p->cols;
    return grid > 1 ? grid + 1 : grid;
}

int32_t wm_chat_picture_slots(const struct wm_chat *c, const struct wm_picture *picture)
{
    return tiles_of(picture) * c->tile_tokens;
}

static enum wm_status add(const struct wm_chat *c, enum mark mark, struct wm_tokens *out)
{
    return c->ids[mark] < 0 ? WM_OK : wm_tokens_add(out, &c->ids[mark], 1);
}

static enum wm_status add_tile(const struct wm_chat *c, struct wm_tokens *out)
{
    enum wm_status st = WM_OK;
    for (int32_t i = 0; i < c->tile_tokens && st == WM_OK; i++)
        st = add(c, PATCH, out);
    return st;
}

static enum wm_status add_picture(const struct wm_chat *c, const struct wm_picture *p, struct wm_tokens *out,
                                  struct wm_error *err)
{
    if (c->tile_tokens < 1)
        return wm_fail(err, WM_EUNSUPPORTED, "a message has a picture, and this model does not see pictures");
    for (int m = IMAGE_START; m < MARKS; m++)
        if (c->ids[m] < 0)
            return wm_fail(err, WM_EUNSUPPORTED,
                           "a message has a picture, and the vocabulary of this model lacks the token %s",
                           c->format->marks[m] ? c->format->marks[m] : "that marks one");
    if (p->rows < 1 || p->cols < 1 || p->rows > MAX_GRID || p->cols > MAX_GRID ||
        p->rows * p->cols > MAX_GRID)
        return wm_fail(err, WM_EINVAL, "a picture of %d x %d tiles: a grid has 1 to %d", p->rows, p->cols,
                       MAX_GRID);
    enum wm_status st = add(c, IMAGE_START, out);
    for (int32_t row = 0; row < p->rows && tiles_of(p) > 1; row++)
        for (int32_t col = 0; col < p->cols && st == WM_OK; col++) {
            st = add_tile(c, out);
            if (st == WM_OK)
                st = add(c, col + 1 < p->cols ? TILE_X : TILE_Y, out);
        }
    if (st == WM_OK)
        st = add(c, IMAGE, out);
    if (st == WM_OK)
        st = add_tile(c, out);
    return st == WM_OK ? add(c, IMAGE_END, out) : st;
}

/* --- messages --------------------------------------------------------------------------------------------- */

/* begin, role, what follows it. Text that the content continues is left in `text`, not yet tokenized. */
static enum wm_status add_header(const struct wm_chat *c, enum wm_role role, struct wm_buffer *text,
                                 struct wm_tokens *out, struct wm_error *err)
{
    const char *name = c->format->roles[role], *after = c->format->after_role;
    enum wm_status st = add(c, BEGIN, out);
    if (st == WM_OK && c->ids[HEADER_END] < 0)
        return wm_buffer_printf(text, "%s%s", name, after);
    if (st == WM_OK)
        st = wm_tokenizer_encode(c->tokenizer, name, strlen(name), out, err);
    if (st == WM_OK)
        st = add(c, HEADER_END, out);
    return st == WM_OK ? wm_tokenizer_encode(c->tokenizer, after, strlen(after), out, err) : st;
}

/* Texts and pictures in their order. `text` holds what the header left. */
static enum wm_status add_content(const struct wm_chat *c, const struct wm_chat_message *m,
                                  struct wm_buffer *text, struct wm_tokens *out, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    size_t at = 0;
    for (size_t i = 0; i <= m->n_pictures && st == WM_OK; i++) {
        const struct wm_chat_picture *p = i < m->n_pictures ? &m->pictures[i] : NULL;
        size_t end = p ? p->at : m->len;
        if (end < at || end > m->len)
            return wm_fail(err, WM_EINVAL, "picture %zu stands at byte %zu of a text of %zu", i, end, m->len);
        if (p && p->picture && m->role != WM_ROLE_USER)
            return wm_fail(err, WM_EINVAL, "a message of the role %s has a picture: only a user's may",
                           c->format->roles[m->role]);
        st = wm_buffer_add(text, m->text + at, end - at);
        if (st == WM_OK)
            st = wm_tokenizer_encode(c->tokenizer, text->data, text->len, out, err);
        if (st == WM_OK && p && p->picture)
            st = add_picture(c, p->picture, out, err);
        text->len = 0;
        at = end;
    }
    return st;
}

static enum wm_status add_end(const struct wm_chat *c, enum mark mark, struct wm_tokens *out,
                              struct wm_error *err)
{
    enum wm_status st = add(c, c->ids[mark] < 0 ? END : mark, out);
    if (st == WM_OK)
        st = wm_tokenizer_encode(c->tokenizer, c->format->separator, strlen(c->format->separator), out, err);
    return st;
}

static enum wm_status add_message(const struct wm_chat *c, const struct wm_chat_message *m,
                                  struct wm_tokens *out, struct wm_error *err)
{
    struct wm_buffer text = WM_BUFFER((size_t)WM_TOKENS_MAX);
    enum wm_status st = add_header(c, m->role, &text, out, err);
    if (st == WM_OK)
        st = add_content(c, m, &text, out, err);
    if (st == WM_OK)
        st = add_end(c, m->calls || m->role == WM_ROLE_TOOL ? END_CALLS : END, out, err);
    wm_buffer_free(&text);
    return st;
}

/* The header behind which the model writes. */
static enum wm_status add_open_reply(const struct wm_chat *c, struct wm_tokens *out, struct wm_error *err)
{
    struct wm_buffer text = WM_BUFFER(256);
    enum wm_status st = add_header(c, WM_ROLE_ASSISTANT, &text, out, err);
    if (st == WM_OK)
        st = wm_tokenizer_encode(c->tokenizer, text.data, text.len, out, err);
    wm_buffer_free(&text);
    return st;
}

enum wm_status wm_chat_render(const struct wm_chat *c, const struct wm_chat_message *messages, size_t n,
                              bool first, bool open_reply, struct wm_tokens *out, struct wm_error *err)
{
    struct wm_chat_message system = {
        .role = WM_ROLE_SYSTEM, .text = c->default_system, .len = c->default_len};
    size_t before = out->n;
    enum wm_status st = first ? add(c, FIRST, out) : WM_OK;
    if (st == WM_OK && first && c->default_system && (n == 0 || messages[0].role != WM_ROLE_SYSTEM))
        st = add_message(c, &system, out, err);
    for (size_t i = 0; i < n && st == WM_OK; i++)
        st = add_message(c, &messages[i], out, err);
    if (open_reply && st == WM_OK)
        st = add_open_reply(c, out, err);
    if (st == WM_OK)
        return WM_OK;
    out->n = before;
    return wm_fail(err, st, "writing %zu messages as %s: %s", n, c->format->name, wm_status_name(st));
}

enum wm_status wm_chat_close_reply(const struct wm_chat *c, struct wm_tokens *out, struct wm_error *err)
{
    size_t before = out->n;
    enum wm_status st = add_end(c, END, out, err);
    if (st == WM_OK)
        return WM_OK;
    out->n = before;
    return wm_fail(err, st, "closing a reply: %s", wm_status_name(st));
}

/* template_lex.c -- a template as words. White space around tags goes as transformers sets Jinja up: a line that
 * holds only block tags leaves no trace (trim_blocks, lstrip_blocks), and a minus at a tag takes all white space on
 * its side. */
#include <string.h>

#include "engine/template_parts.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char peek(const struct wm_words *w, size_t n)
{
    return (size_t)(w->end - w->at) > n ? w->at[n] : '\0';
}

static void skip(struct wm_words *w, size_t n)
{
    for (; n > 0 && w->at < w->end; n--)
        w->line += *w->at++ == '\n';
}

static void found(struct wm_words *w, enum wm_word_kind kind, const char *text, size_t len)
{
    w->kind = kind;
    w->text = text;
    w->len = len;
}

/* --- outside of tags -------------------------------------------------------------------------------------- */

/* The next "{{", "{%" or "{#", or the end. */
static char *next_tag(const struct wm_words *w)
{
    char *at = w->at;
    while ((at = memchr(at, '{', (size_t)(w->end - at))) && at + 1 < w->end) {
        if (at[1] == '{' || at[1] == '%' || at[1] == '#')
            return at;
        at++;
    }
    return w->end;
}

/* Where the data in front of a tag ends: white space that the tag takes is left out. */
static const char *data_end(const struct wm_words *w, const char *tag)
{
    const char *end = tag, *line = tag;
    char mark = tag + 2 < w->end ? tag[2] : '\0';
    if (tag == w->end)
        return end;
    if (mark == '-') {
        while (end > w->at && is_space(end[-1]))
            end--;
        return end;
    }
    while (line > w->at && (line[-1] == ' ' || line[-1] == '\t'))
        line--;
    bool first = line > w->at ? line[-1] == '\n' : w->line_start;
    return first && tag[1] != '{' && mark != '+' ? line : end;
}

/* Behind a tag that ended in `sign` ('-', '+' or another). */
static void leave(struct wm_words *w, char sign, bool block)
{
    w->closes = '\0';
    w->line_start = false;
    while (sign == '-' && w->at < w->end && is_space(*w->at)) {
        w->line_start = *w->at == '\n';
        skip(w, 1);
    }
    if (block && sign != '-' && sign != '+' && peek(w, 0) == '\n') {
        w->line_start = true;
        skip(w, 1);
    }
}

/* Past "{# ... #}"; false: it does not end. */
static bool skip_comment(struct wm_words *w)
{
    char *end = memmem(w->at + 2, (size_t)(w->end - w->at - 2), "#}", 2);
    if (!end)
        return false;
    char sign = end > w->at + 2 ? end[-1] : '\0';
    skip(w, (size_t)(end + 2 - w->at));
    leave(w, sign, true);
    return true;
}

static void read_data(struct wm_words *w)
{
    for (;;) {
        char *tag = next_tag(w);
        const char *data = w->at, *end = data_end(w, tag);
        skip(w, (size_t)(tag - w->at));
        if (end > data) {
            w->line_start = false; /* what the tag left in front of itself was looked at */
            found(w, WM_WORD_DATA, data, (size_t)(end - data));
            return;
        }
        if (tag == w->end) {
            found(w, WM_WORD_END, w->end, 0);
            return;
        }
        if (tag[1] == '#') {
            if (skip_comment(w))
                continue;
            found(w, WM_WORD_BAD, tag, 2);
            return;
        }
        w->closes = tag[1] == '%' ? '%' : '}';
        w->brackets = 0;
        found(w, tag[1] == '%' ? WM_WORD_BLOCK : WM_WORD_PRINT, tag, 2);
        skip(w, 2);
        if (peek(w, 0) == '-' || peek(w, 0) == '+')
            skip(w, 1);
        return;
    }
}

/* --- within a tag ----------------------------------------------------------------------------------------- */

/* "%}" or "}}", with its sign; false: not here. */
static bool read_close(struct wm_words *w)
{
    char sign = peek(w, 0);
    size_t n = (sign == '-' || sign == '+') && peek(w, 1) == w->closes && peek(w, 2) == '}' ? 1 : 0;
    bool block = w->closes == '%';
    if (peek(w, n) != w->closes || peek(w, n + 1) != '}' || (!block && w->brackets > 0))
        return false;
    found(w, block ? WM_WORD_BLOCK_END : WM_WORD_PRINT_END, w->at, n + 2);
    skip(w, n + 2);
    leave(w, n ? sign : '\0', block);
    return true;
}

/* A string, its escapes resolved in place: they only get shorter. */
static void read_string(struct wm_words *w)
{
    static const char letters[] = "abfnrtv\\'\"", means[] = "\a\b\f\n\r\t\v\\'\"";
    char quote = *w->at, *out = w->at + 1, *text = out;
    skip(w, 1);
    while (w->at < w->end && *w->at != quote) {
        char c = *w->at, *letter = NULL;
        skip(w, 1);
        if (c == '\\' && w->at < w->end) {
            letter = *w->at ? strchr(letters, *w->at) : NULL;
            c = letter ? means[letter - letters] : '\\';
            skip(w, letter ? 1 : 0);
        }
        *out++ = c;
    }
    if (w->at == w->end) {
        found(w, WM_WORD_BAD, text, 0);
        return;
    }
    skip(w, 1);
    found(w, WM_WORD_STRING, text, (size_t)(out - text));
}

static void read_number(struct wm_words *w)
{
    const char *text = w->at;
    enum wm_word_kind kind = WM_WORD_INT;
    while (is_digit(peek(w, 0)))
        skip(w, 1);
    if (peek(w, 0) == '.' && is_digit(peek(w, 1))) {
        kind = WM_WORD_REAL;
        skip(w, 1);
        while (is_digit(peek(w, 0)))
            skip(w, 1);
    }
    size_t sign = peek(w, 1) == '+' || peek(w, 1) == '-' ? 1 : 0;
    if ((peek(w, 0) == 'e' || peek(w, 0) == 'E') && is_digit(peek(w, 1 + sign))) {
        kind = WM_WORD_REAL;
        skip(w, 2 + sign);
        while (is_digit(peek(w, 0)))
            skip(w, 1);
    }
    found(w, kind, text, (size_t)(w->at - text));
}

static void read_sign(struct wm_words *w)
{
    static const char *const pairs[] = {"==", "!=", "<=", ">=", "//", "**"};
    const char *text = w->at;
    size_t n = 1;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (text[0] == pairs[i][0] && peek(w, 1) == pairs[i][1])
            n = 2;
    bool known = text[0] && strchr("+-*/%~<>=!()[]{}.,:|", text[0]);
    w->brackets += n == 1 && known && strchr("([{", text[0]) ? 1 : 0;
    w->brackets -= n == 1 && known && strchr(")]}", text[0]) ? 1 : 0;
    found(w, known ? WM_WORD_SIGN : WM_WORD_BAD, text, n);
    skip(w, n);
}

void wm_words_next(struct wm_words *w)
{
    if (!w->closes) {
        read_data(w);
        return;
    }
    while (w->at < w->end && is_space(*w->at))
        skip(w, 1);
    char c = peek(w, 0);
    if (w->at == w->end) {
        found(w, WM_WORD_BAD, w->end, 0);
    } else if (read_close(w)) {
        return;
    } else if (c == '"' || c == '\'') {
        read_string(w);
    } else if (is_digit(c)) {
        read_number(w);
    } else if (is_letter(c)) {
        size_t n = 1;
        while (is_letter(peek(w, n)) || is_digit(peek(w, n)))
            n++;
        found(w, WM_WORD_NAME, w->at, n);
        skip(w, n);
    } else {
        read_sign(w);
    }
}

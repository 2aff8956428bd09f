/* pretokenize.c -- see pretokenize.h.
 *
 * WHY     The rules are published as regular expressions with \p{L}, \p{N} and a negative lookahead. A general engine for
 *         those would be the largest parser of strangers' bytes in the program; the rules themselves are small.
 *
 * HOW     One C function per rule, its alternatives tried in the order of the expression, each by hand. What the
 *         lookahead `\s+(?!\S)` means is worth saying once: of a run of white space the last character is left
 *         for the next piece, unless the run ends the text or is a single character.
 *
 *           gpt-2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *           smollm     first every single \p{N} is cut out; then gpt-2 on what lies between
 *           llama-bpe  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *                      | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *
 * ALWAYS  The pieces of a text concatenate to the text, and each has at least one character.
 */
#include "engine/pretokenize.h"

#include <string.h>
#include <strings.h>

#include "engine/unicode.h"
#include "kernels/base/utf8.h"

/* One decoded character: `end` is the offset behind it. At the end of the text: class OTHER, end unchanged. */
struct character {
    uint32_t code;
    enum wm_char_class class;
    size_t end;
};

static struct character character_at(const char *text, size_t len, size_t at)
{
    struct character c = {.end = at};
    if (at < len) {
        c.end += wm_utf8_decode(text + at, len - at, &c.code, NULL);
        c.class = wm_char_class(c.code);
    }
    return c;
}

/* End of the run of characters of that class from `at` on, at most `most` of them. */
static size_t run_end(const char *text, size_t len, size_t at, enum wm_char_class class, size_t most)
{
    for (; at < len && most > 0; most--) {
        struct character c = character_at(text, len, at);
        if (c.class != class)
            break;
        at = c.end;
    }
    return at;
}

static size_t all_of(const char *text, size_t len, size_t at, enum wm_char_class class)
{
    return run_end(text, len, at, class, len);
}

/* 's|'t|'re|'ve|'m|'ll|'d: its length, or 0. */
static size_t contraction(const char *text, size_t len, int (*same)(const char *, const char *, size_t))
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        if (n <= len && same(text, endings[i], n) == 0)
            return n;
    }
    return 0;
}

/* \s+(?!\S)|\s+ at a white-space character. */
static size_t spaces(const char *text, size_t len)
{
    size_t last = 0, at = 0;
    for (struct character c; at < len && (c = character_at(text, len, at)).class == WM_CHAR_SPACE; at = c.end)
        last = at;
    return at == len || last == 0 ? at : last;
}

static size_t piece_gpt2(const char *text, size_t len)
{
    size_t n = contraction(text, len, strncmp);
    if (n)
        return n;
    size_t start = text[0] == ' ' && len > 1;
    struct character c = character_at(text, len, start);
    if (c.class == WM_CHAR_SPACE)
        return spaces(text, len);
    return all_of(text, len, start, c.class);
}

static size_t piece_smollm(const char *text, size_t len)
{
    struct character c = character_at(text, len, 0);
    if (c.class == WM_CHAR_NUMBER)
        return c.end;
    /* A number ends the text of the second pass. Letters and others end there by themselves; for white space it
     * decides the lookahead, and keeps a space from joining the number. */
    if (c.class == WM_CHAR_SPACE) {
        size_t run = all_of(text, len, 0, WM_CHAR_SPACE);
        if (character_at(text, len, run).class == WM_CHAR_NUMBER)
            return run;
    }
    return piece_gpt2(text, len);
}

/* \s*[\r\n]+ at a white-space character: up to the last line end of the run, or 0. */
static size_t lines(const char *text, size_t len)
{
    size_t end = 0;
    struct character c;
    for (size_t at = 0; at < len && (c = character_at(text, len, at)).class == WM_CHAR_SPACE; at = c.end)
        if (c.code == '\r' || c.code == '\n')
            end = c.end;
    return end;
}

static size_t piece_llama_bpe(const char *text, size_t len)
{
    size_t n = contraction(text, len, strncasecmp);
    if (n)
        return n;
    struct character c = character_at(text, len, 0);
    struct character second = character_at(text, len, c.end);
    bool line_end = c.code == '\r' || c.code == '\n';
    if (c.class == WM_CHAR_LETTER)
        return all_of(text, len, 0, WM_CHAR_LETTER);
    if (c.class != WM_CHAR_NUMBER && !line_end && second.class == WM_CHAR_LETTER)
        return all_of(text, len, c.end, WM_CHAR_LETTER);
    if (c.class == WM_CHAR_NUMBER)
        return run_end(text, len, 0, WM_CHAR_NUMBER, 3);
    size_t start = text[0] == ' ' && second.class == WM_CHAR_OTHER ? c.end : 0;
    if (start < len && character_at(text, len, start).class == WM_CHAR_OTHER) {
        n = all_of(text, len, start, WM_CHAR_OTHER);
        while (n < len && (text[n] == '\r' || text[n] == '\n'))
            n++;
        return n;
    }
    n = lines(text, len);
    return n ? n : spaces(text, len);
}

static const struct wm_pretokenizer rules[] = {
    {"gpt-2", false, piece_gpt2},
    {"smollm", false, piece_smollm},
    {"llama-bpe", true, piece_llama_bpe},
};

const struct wm_pretokenizer *wm_pretokenizer_find(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strlen(rules[i].name) == len && memcmp(rules[i].name, name, len) == 0)
            return &rules[i];
    return NULL;
}

const char *wm_pretokenizer_names(void)
{
    return "gpt-2, smollm, llama-bpe";
}

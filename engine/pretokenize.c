/* pretokenize.c -- see pretokenize.h.
 *
 * WHY     The rules are published as regular expressions with Unicode classes and a negative lookahead. A general
 *         engine for those would be the largest parser of strangers' bytes in the program; the rules themselves are
 *         small.
 *
 * HOW     One C function per rule, its alternatives tried in the order of the expression, each by hand.
 *
 *           gpt-2      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *           smollm     first every single \p{N} is cut out; then gpt-2 on what lies between
 *           llama-bpe  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *                      | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *           llama4     WORD|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+     where WORD is
 *                      [^\r\n\p{L}\p{N}]? U* L+ (?i:'s|'t|'re|'ve|'m|'ll|'d)?
 *                      |[^\r\n\p{L}\p{N}]? U+ L* (?i:'s|'t|'re|'ve|'m|'ll|'d)?
 *                      with U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and L = [\p{Ll}\p{Lm}\p{Lo}\p{M}]
 *
 *         Two things in them are worth saying once. `\s+(?!\S)`: of a run of white space the last character is left
 *         for the next piece, unless the run ends the text or is a single character. `U* L+`: the two classes
 *         overlap, so an expression engine takes all of U and gives back one character after another until L+ finds
 *         one; what it arrives at is the lower-case letter behind the run, or else the run's last character that is
 *         in both classes.
 *
 *         Meta's own tokenizer cuts long texts beforehand, after 400,000 characters and within a run of more than
 *         25,000 characters that are all white space or all not; so do we, with its rules (source: Meta's
 *         tokenizer.py).
 *
 * ALWAYS  (1) The pieces of a text concatenate to the text, and each has at least one character.
 *         (2) Time is linear in the text: what a piece has looked at beyond its own end is looked at once more at
 *         most.
 */
#include "engine/pretokenize.h"

#include <stdint.h>
#include <string.h>

#include "engine/unicode.h"
#include "kernels/base/utf8.h"

enum { STRETCH_WINDOW = 400000, STRETCH_RUN = 25000 }; /* characters */

/* Sets of classes. */
enum {
    OTHER = 1 << WM_CHAR_OTHER,
    UPPER = 1 << WM_CHAR_UPPER,
    LOWER = 1 << WM_CHAR_LOWER,
    CASELESS = 1 << WM_CHAR_CASELESS,
    MARK = 1 << WM_CHAR_MARK,
    NUMBER = 1 << WM_CHAR_NUMBER,
    SPACE = 1 << WM_CHAR_SPACE,
    LETTER = UPPER | LOWER | CASELESS,
    SYMBOL = OTHER | MARK, /* [^\s\p{L}\p{N}] */
    BOTH_CASES = CASELESS | MARK,
    UPPERISH = UPPER | BOTH_CASES, /* U above */
    LOWERISH = LOWER | BOTH_CASES  /* L above */
};

/* One decoded character: `end` is the offset behind it. At the end of the text it is in no class, and `end` is
 * there. */
struct character {
    uint32_t code;
    unsigned class; /* one bit */
    size_t end;
};

static struct character character_at(const char *text, size_t len, size_t at)
{
    struct character c = {.end = at};
    if (at < len) {
        c.end += wm_utf8_decode(text + at, len - at, &c.code, NULL);
        c.class = 1u << wm_char_class(c.code);
    }
    return c;
}

/* End of the run of characters of these classes from `at` on, at most `most` of them. */
static size_t run_end(const char *text, size_t len, size_t at, unsigned classes, size_t most)
{
    for (; at < len && most > 0; most--) {
        struct character c = character_at(text, len, at);
        if (!(c.class & classes))
            break;
        at = c.end;
    }
    return at;
}

static size_t all_of(const char *text, size_t len, size_t at, unsigned classes)
{
    return run_end(text, len, at, classes, len);
}

static bool ends_line(uint32_t code)
{
    return code == '\r' || code == '\n';
}

/* --- what the rules share --------------------------------------------------------------------------------- */

/* 's|'t|'re|'ve|'m|'ll|'d: its length, or 0. Without regard to case the long s is an s, as Unicode folds it. */
static size_t contraction(const char *text, size_t len, bool any_case)
{
    static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    static const char long_s[] = "\xc5\xbf";
    if (len < 2 || text[0] != '\'')
        return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]), same = 0;
        if (n > len - 1)
            continue;
        while (same < n && (text[1 + same] | (any_case ? 0x20 : 0)) == endings[i][same])
            same++;
        if (same == n)
            return 1 + n;
    }
    return any_case && len > 2 && memcmp(text + 1, long_s, 2) == 0 ? 3 : 0;
}

/* \s+(?!\S)|\s+ at a white-space character. */
static size_t spaces(const char *text, size_t len)
{
    size_t last = 0, at = 0;
    for (struct character c; (c = character_at(text, len, at)).class == SPACE; at = c.end)
        last = at;
    return at == len || last == 0 ? at : last;
}

/* \s*[\r\n]+ at a white-space character: up to the last line end of the run, or 0. */
static size_t lines(const char *text, size_t len)
{
    size_t end = 0, at = 0;
    for (struct character c; (c = character_at(text, len, at)).class == SPACE; at = c.end)
        if (ends_line(c.code))
            end = c.end;
    return end;
}

/* The alternatives behind the words: numbers, symbols with the `tail` behind them, lines, spaces. */
static size_t no_word(const char *text, size_t len, const char *tail)
{
    struct character c = character_at(text, len, 0);
    if (c.class == NUMBER)
        return run_end(text, len, 0, NUMBER, 3);
    size_t start = text[0] == ' ' ? 1 : 0;
    size_t n = all_of(text, len, start, SYMBOL);
    if (n > start) {
        while (n < len && text[n] && strchr(tail, text[n]))
            n++;
        return n;
    }
    n = lines(text, len);
    return n ? n : spaces(text, len);
}

/* --- one function for each rule --------------------------------------------------------------------------- */

static size_t piece_gpt2(const char *text, size_t len)
{
    size_t n = contraction(text, len, false);
    if (n)
        return n;
    size_t start = text[0] == ' ' && len > 1;
    struct character c = character_at(text, len, start);
    if (c.class == SPACE)
        return spaces(text, len);
    return all_of(text, len, start, c.class & LETTER ? LETTER : c.class & SYMBOL ? SYMBOL : NUMBER);
}

static size_t piece_smollm(const char *text, size_t len)
{
    struct character c = character_at(text, len, 0);
    if (c.class == NUMBER)
        return c.end;
    /* A number ends the text of the second pass. Letters and others end there by themselves; for white space it
     * decides the lookahead, and keeps a space from joining the number. */
    if (c.class == SPACE) {
        size_t run = all_of(text, len, 0, SPACE);
        if (character_at(text, len, run).class == NUMBER)
            return run;
    }
    return piece_gpt2(text, len);
}

static size_t piece_llama_bpe(const char *text, size_t len)
{
    size_t n = contraction(text, len, true);
    if (n)
        return n;
    struct character c = character_at(text, len, 0);
    if (c.class & LETTER)
        return all_of(text, len, 0, LETTER);
    if (c.class != NUMBER && !ends_line(c.code) && character_at(text, len, c.end).class & LETTER)
        return all_of(text, len, c.end, LETTER);
    return no_word(text, len, "\r\n");
}

/* U* L+ from `at` on: its end, or 0. */
static size_t lower_word(const char *text, size_t len, size_t at)
{
    size_t in_both = 0; /* end of the last character of both classes */
    struct character c;
    for (; (c = character_at(text, len, at)).class & UPPERISH; at = c.end)
        if (c.class & BOTH_CASES)
            in_both = c.end;
    return c.class == LOWER ? all_of(text, len, at, LOWERISH) : in_both;
}

/* U+ L* from `at` on: its end, or 0. */
static size_t upper_word(const char *text, size_t len, size_t at)
{
    size_t end = all_of(text, len, at, UPPERISH);
    return end > at ? all_of(text, len, end, LOWERISH) : 0;
}

static size_t piece_llama4(const char *text, size_t len)
{
    struct character c = character_at(text, len, 0);
    bool leads = !(c.class & (LETTER | NUMBER)) && !ends_line(c.code); /* may stand before a word */
    size_t n = leads ? lower_word(text, len, c.end) : 0;
    n = n ? n : lower_word(text, len, 0);
    n = n || !leads ? n : upper_word(text, len, c.end);
    n = n ? n : upper_word(text, len, 0);
    return n ? n + contraction(text + n, len - n, true) : no_word(text, len, "\r\n/");
}

/* --- the list --------------------------------------------------------------------------------------------- */

static const struct wm_pretokenizer gpt2 = {"gpt-2", false, false, piece_gpt2},
                                    smollm = {"smollm", false, false, piece_smollm},
                                    llama_bpe = {"llama-bpe", true, true, piece_llama_bpe},
                                    llama4 = {"llama4", true, true, piece_llama4};

/* The names that GGUF files use, one rule having several, and the expression in a tokenizer.json. */
static const struct {
    const char *name, *expression;
    const struct wm_pretokenizer *rule;
} rules[] = {
    {"gpt-2", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", &gpt2},
    {"smollm", NULL, &smollm},
    {"llama-bpe",
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
     "\\s+(?!\\S)|\\s+",
     &llama_bpe},
    {"llama3", NULL, &llama_bpe},
    {"llama-v3", NULL, &llama_bpe},
    {"llama4",
     "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|"
     "'ve|'m|'ll|'d)?|"
     "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|"
     "'ve|'m|'ll|'d)?|"
     "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     &llama4},
    {"gpt-4o", NULL, &llama4},
};

const struct wm_pretokenizer *wm_pretokenizer_find(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strlen(rules[i].name) == len && memcmp(rules[i].name, name, len) == 0)
            return rules[i].rule;
    return NULL;
}

const struct wm_pretokenizer *wm_pretokenizer_for(const char *expression)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].expression && strcmp(rules[i].expression, expression) == 0)
            return rules[i].rule;
    return NULL;
}

const char *wm_pretokenizer_names(void)
{
    return "gpt-2, smollm, llama-bpe, llama4";
}

/* What Python's str.isspace says: four separators are white space for it that Unicode's property leaves out. */
static bool is_python_space(const struct character *c)
{
    return c->class == SPACE || (c->code >= 0x1c && c->code <= 0x1f);
}

size_t wm_pretokenizer_stretch(const struct wm_pretokenizer *p, const char *text, size_t len, size_t *window)
{
    if (!p->in_stretches)
        return len;
    size_t at = 0, run = 0;
    bool in_space = false;
    while (at < len) {
        if (*window == STRETCH_WINDOW) {
            *window = 0;
            if (at > 0)
                return at;
        }
        struct character c = character_at(text, len, at);
        bool space = is_python_space(&c);
        run = at == 0 || space != in_space ? 1 : run + 1;
        in_space = space;
        if (run > STRETCH_RUN)
            return at;
        at = c.end;
        ++*window;
    }
    return len;
}

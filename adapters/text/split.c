/* split.c -- cuts styled text into parts that a platform takes, in its dialect.
 *
 * WHY     A reply longer than a platform's limit must become several messages that each read well alone: cut where a
 *         writer would pause, with the style that was cut closed in the one and opened again in the next.
 *
 * HOW     From the start of a part, characters are taken while they fit together with the closing markers of what is
 *         open. On the way each place to cut is noted under its rank, the last of a rank replacing the one before:
 *
 *           an empty line > a line break > the end of a sentence > a space, or the start of a URL
 *
 *         The best rank that fills at least half of the part wins; if none does, the latest of any rank; if there is
 *         none, one word fills the part, and it is cut between two characters as people see them (cluster.h).
 *
 * ALWAYS  (1) The parts in order are the text, but for white space at the cuts, and such that alone would fill a part.
 *         (2) No part passes the limit, markers included; no part shows nothing.
 *         (3) A UTF-8 sequence is never cut; a cluster only when it is longer than a whole part (10,000 accents on
 *             one letter); a URL only when it does not fit one part.
 *
 * COST    Linear, plus at most one part's length again for each part.
 */
#include "adapters/text/split.h"

#include <stdbool.h>
#include <string.h>

#include "adapters/text/cluster.h"
#include "kernels/base/utf8.h"

enum rank { SPACE, SENTENCE, LINE, PARAGRAPH, RANKS };

/* Styles that are open at a place of the text, outermost first. */
struct stack {
    enum wm_style style[WM_STYLES];
    int n;
};

/* A place to cut: the part ends at `end`, the next begins at `next`, with `open` styles. */
struct place {
    size_t end, next, units;
    struct stack open;
};

struct splitter {
    const struct wm_dialect *dialect;
    const char *text;
    size_t len, max_units;
    enum wm_measure measure;
    struct place best[RANKS]; /* end == 0: none */
    struct place forced;      /* behind the last cluster that fits */
    bool visible;             /* the part has one */
};

static size_t units_of(const struct splitter *s, const char *text, size_t len)
{
    return s->measure == WM_MEASURE_BYTES ? len : wm_utf8_utf16_len(text, len);
}

static size_t marker_units(const struct splitter *s, const char *marker)
{
    return units_of(s, marker, strlen(marker));
}

static size_t stack_units(const struct splitter *s, const struct stack *stack, const char *const *markers)
{
    size_t units = 0;
    for (int i = 0; i < stack->n; i++)
        units += marker_units(s, markers[stack->style[i]]);
    return units;
}

/* Takes the control byte at the place, which may open or close a style. */
static void take_code(const struct splitter *s, struct place *at)
{
    char c = s->text[at->end++];
    if (wm_styled_is_open(c) && at->open.n < WM_STYLES) {
        at->open.style[at->open.n] = (enum wm_style)(c - WM_STYLED_OPEN);
        at->units += marker_units(s, s->dialect->open[at->open.style[at->open.n++]]);
    } else if (wm_styled_is_close(c) && at->open.n > 0) {
        at->units += marker_units(s, s->dialect->close[at->open.style[--at->open.n]]);
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

static bool in_block(const struct stack *open)
{
    return open->n > 0 && open->style[open->n - 1] == WM_STYLE_BLOCK;
}

static void note(struct splitter *s, enum rank rank, struct place at, size_t next)
{
    at.next = next;
    s->best[rank] = at;
}

/* A run of white space at the place: how good is it to cut there, and how much of it goes? */
static size_t note_space(struct splitter *s, const struct place *at, bool after_sentence)
{
    size_t run = 0, newlines = 0;
    while (at->end + run < s->len && is_space(s->text[at->end + run]))
        newlines += s->text[at->end + run++] == '\n';
    enum rank rank = newlines > 1 ? PARAGRAPH : newlines ? LINE : after_sentence ? SENTENCE : SPACE;
    size_t gone = run;
    if (in_block(&at->open)) { /* indentation is content: only the line break goes */
        const char *line = memchr(s->text + at->end, '\n', run);
        gone = line ? (size_t)(line - s->text) - at->end + 1 : run;
    }
    if (s->forced.end == at->end) /* otherwise something opened here, and would be cut off empty */
        note(s, rank, *at, at->end + gone);
    return run;
}

static bool starts_url(const struct splitter *s, size_t at)
{
    const char *p = s->text + at;
    size_t left = s->len - at;
    return (left > 8 && memcmp(p, "https://", 8) == 0) || (left > 7 && memcmp(p, "http://", 7) == 0);
}

/* What ends a sentence, with or without a space behind it (as in Chinese), and what may stand between. */
enum sentence { INSIDE, ENDED, ENDED_WITHOUT_SPACE };

static enum sentence sentence_after(enum sentence before, uint32_t code)
{
    switch (code) {
    case '.':
    case '!':
    case '?':
    case 0x2026: /* ellipsis */
        return ENDED;
    case 0x3002: /* ideographic full stop, full-width ! and ? */
    case 0xFF01:
    case 0xFF1F:
        return ENDED_WITHOUT_SPACE;
    case ')':
    case ']':
    case '"':
    case '\'':
    case 0x2019: /* closing quotes and brackets */
    case 0x201D:
    case 0xBB:
    case 0x300D:
    case 0xFF09:
        return before;
    default:
        return INSIDE;
    }
}

/* One thing of the text: a code, white space, nothing, or a cluster. */
struct piece {
    size_t bytes, units;
    uint32_t code; /* its first code point */
    bool space, is_code;
};

static struct piece piece_at(const struct splitter *s, size_t at)
{
    struct piece p = {.bytes = 1, .units = 1};
    char c = s->text[at];
    p.space = is_space(c);
    p.is_code = wm_styled_is_open(c) || wm_styled_is_close(c) || c == WM_STYLED_NOTHING;
    wm_utf8_decode(s->text + at, s->len - at, &p.code, NULL);
    if (!p.space && !p.is_code) {
        p.bytes = wm_cluster_len(s->text + at, s->len - at);
        p.units = units_of(s, s->text + at, p.bytes);
    }
    return p;
}

static bool fits(const struct splitter *s, const struct place *at, size_t units)
{
    return at->units + units + stack_units(s, &at->open, s->dialect->close) <= s->max_units;
}

static void set_forced(struct splitter *s, const struct place *at)
{
    s->forced = *at;
    s->forced.next = at->end;
}

/* A close behind the last cluster belongs to it, and costs what was reckoned for it. */
static void pass_code(struct splitter *s, struct place *at)
{
    bool behind = s->forced.end == at->end && !wm_styled_is_open(s->text[at->end]);
    take_code(s, at);
    if (behind)
        set_forced(s, at);
}

/* A cluster that is longer than a part, or than what white space left of it: as many of its code points as fit. */
static void cut_cluster(struct splitter *s, struct place at)
{
    for (;;) {
        uint32_t code;
        size_t n = wm_utf8_decode(s->text + at.end, s->len - at.end, &code, NULL);
        size_t units = units_of(s, s->text + at.end, n);
        if (!fits(s, &at, units))
            break;
        at.end += n;
        at.units += units;
        s->visible = true;
    }
    set_forced(s, &at);
}

/* White space that is longer than a part: it goes, and the part before it has nothing to show. */
static void skip_space(struct splitter *s, struct place at)
{
    while (at.end < s->len && is_space(s->text[at.end]))
        at.end++;
    set_forced(s, &at);
}

/* Walks from the start of a part until no more fits; false: all the rest fits. */
static bool walk_part(struct splitter *s, struct place at)
{
    enum sentence sentence = INSIDE;
    bool spaced = true, in_url = false;
    memset(s->best, 0, sizeof s->best);
    s->visible = false;
    s->forced = (struct place){0};
    while (at.end < s->len) {
        struct piece p = piece_at(s, at.end);
        if (p.is_code) {
            pass_code(s, &at);
            continue;
        }
        if (p.space) {
            if (s->visible)
                p.bytes = p.units = note_space(s, &at, sentence != INSIDE);
            in_url = false;
            sentence = INSIDE;
        } else {
            bool url = !in_url && starts_url(s, at.end);
            bool next_sentence =
                sentence == ENDED_WITHOUT_SPACE && sentence_after(sentence, p.code) == INSIDE;
            if (!spaced &&
                (url || next_sentence)) /* behind the last cluster, so that no style opens for nothing */
                note(s, next_sentence ? SENTENCE : SPACE, s->forced, s->forced.end);
            in_url |= url;
            sentence = in_url ? INSIDE : sentence_after(sentence, p.code);
        }
        if (!fits(s, &at, p.units)) {
            if (!s->visible && p.space)
                skip_space(s, at);
            else if (!s->visible)
                cut_cluster(s, at);
            return true;
        }
        at.end += p.bytes;
        at.units += p.units;
        spaced = p.space;
        if (!p.space) {
            s->visible = true;
            set_forced(s, &at);
        }
    }
    return false;
}

static struct place choose(const struct splitter *s)
{
    const struct place *latest = NULL;
    for (int rank = RANKS - 1; rank >= 0; rank--) {
        const struct place *p = &s->best[rank];
        if (p->end == 0)
            continue;
        if (p->units >= s->max_units / 2)
            return *p;
        if (!latest || p->end > latest->end)
            latest = p;
    }
    return latest ? *latest : s->forced;
}

/* Writes text[from..to) in the dialect, with the styles of `open` opened before and what is open closed behind. */
static void write_part(const struct splitter *s, struct stack open, size_t from, size_t to,
                       struct wm_buffer *out)
{
    struct place at = {.end = from, .open = open};
    for (int i = 0; i < open.n; i++)
        wm_buffer_puts(out, s->dialect->open[open.style[i]]);
    while (at.end < to) {
        struct stack before = at.open;
        if ((unsigned char)s->text[at.end] >= ' ' || is_space(s->text[at.end])) {
            wm_buffer_add(out, s->text + at.end++, 1);
            continue;
        }
        take_code(s, &at);
        if (at.open.n > before.n)
            wm_buffer_puts(out, s->dialect->open[at.open.style[before.n]]);
        else if (at.open.n < before.n)
            wm_buffer_puts(out, s->dialect->close[before.style[at.open.n]]);
    }
    for (int i = at.open.n; i-- > 0;)
        wm_buffer_puts(out, s->dialect->close[at.open.style[i]]);
}

static enum wm_status emit(const struct splitter *s, struct stack open, size_t from, size_t to,
                           enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                           struct wm_error *err)
{
    struct wm_buffer out = WM_BUFFER(to - from + s->max_units);
    write_part(s, open, from, to, &out);
    enum wm_status st =
        out.failed ? wm_fail(err, WM_ENOMEM, "no memory to split a reply") : part(arg, out.data, out.len);
    wm_buffer_free(&out);
    return st;
}

enum wm_status wm_split(const struct wm_dialect *dialect, const char *styled, size_t len,
                        enum wm_measure measure, size_t max_units,
                        enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                        struct wm_error *err)
{
    if (max_units < WM_SPLIT_UNITS_MIN)
        return wm_fail(err, WM_EINVAL, "a message limit of %zu units is too small, it must be at least %d",
                       max_units, WM_SPLIT_UNITS_MIN);
    while (len && is_space(styled[len - 1]))
        len--;
    struct splitter s = {
        .dialect = dialect, .text = styled, .len = len, .max_units = max_units, .measure = measure};
    struct stack open = {.n = 0};
    enum wm_status st = WM_OK;
    for (size_t from = 0; from < len && st == WM_OK;) {
        const struct place start = {
            .end = from, .units = stack_units(&s, &open, dialect->open), .open = open};
        const struct place rest = {.end = len, .next = len};
        struct place cut = walk_part(&s, start) ? choose(&s) : rest;
        if (s.visible)
            st = emit(&s, open, from, cut.end, part, arg, err);
        open = cut.open;
        from = cut.next;
    }
    return st;
}

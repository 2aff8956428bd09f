/* styled.c -- writes styled text.
 *
 * WHY     Chat clients are picky: a marker must touch its word from inside, must not touch one from outside (they show
 *         the asterisks of foo*bar*baz), and does not span lines. Markdown promises none of this.
 *
 * HOW     Styles are wanted at once and opened late: only when a visible character is to be written are the open ones
 *         brought in line with the wanted ones. Closing happens before the white space that was held back, opening
 *         behind it; a newline in it closes and opens all. Whether a word follows a closing marker is known at that
 *         moment too, and a pair that a word touches from outside is taken back: the text stays, the style goes.
 *
 * ALWAYS  (1) Opens and closes pair up, properly nested.
 *         (2) The character behind an open and the one before a close are visible, and on one line (blocks of code
 *             aside).
 *         (3) Every byte of text is in the output, in order; only control bytes and spaces at the end of a line go.
 */
#include "adapters/text/styled.h"

#include <string.h>

#include "adapters/text/cluster.h"
#include "kernels/base/utf8.h"

void wm_styler_push(struct wm_styler *s, enum wm_style style)
{
    if (s->depth[style]++ > 0)
        return;
    s->want[s->n_want].style = style;
    s->want[s->n_want++].push = s->pushes++;
}

/* Pushes and pops come from a tree, so the outermost of a style is on top when it goes. */
void wm_styler_pop(struct wm_styler *s, enum wm_style style)
{
    if (--s->depth[style] == 0)
        s->n_want--;
}

static void put_byte(struct wm_styler *s, int byte)
{
    wm_buffer_add(s->out, &(char){(char)byte}, 1);
}

/* `next`: the code point to be written, 0 at the end. */
static void close_top(struct wm_styler *s, uint32_t next)
{
    bool touches = s->gap.len == 0 && wm_cluster_is_word(next);
    s->n_have--;
    if ((touches || s->have[s->n_have].glued) && !s->out->failed)
        s->out->data[s->have[s->n_have].at] = WM_STYLED_NOTHING;
    else
        put_byte(s, WM_STYLED_CLOSE + (int)s->have[s->n_have].style);
}

static void write_gap(struct wm_styler *s)
{
    if (s->gap.len) {
        wm_buffer_add(s->out, s->gap.data, s->gap.len);
        s->last = ' ';
    }
    wm_buffer_consume(&s->gap, s->gap.len);
}

static void sync(struct wm_styler *s, uint32_t next)
{
    bool new_line = s->gap.len && memchr(s->gap.data, '\n', s->gap.len);
    int keep = 0;
    while (!new_line && keep < s->n_have && keep < s->n_want && s->have[keep].push == s->want[keep].push)
        keep++;
    while (s->n_have > keep)
        close_top(s, next);
    write_gap(s);
    for (; s->n_have < s->n_want; s->n_have++) {
        s->have[s->n_have] = s->want[s->n_have];
        s->have[s->n_have].at = s->out->len;
        s->have[s->n_have].glued = wm_cluster_is_word(s->last);
        put_byte(s, WM_STYLED_OPEN + (int)s->want[s->n_have].style);
    }
}

void wm_styler_text(struct wm_styler *s, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        char c = text[i];
        uint32_t code;
        size_t n = wm_utf8_decode(text + i, len - i, &code, NULL);
        if (c == ' ' || c == '\t' || c == '\n') {
            while (c == '\n' && s->gap.len && s->gap.data[s->gap.len - 1] != '\n')
                s->gap.len--; /* nobody sees the end of a line */
            wm_buffer_add(&s->gap, &c, 1);
        } else if ((unsigned char)c >= ' ') {
            sync(s, code);
            wm_buffer_add(s->out, text + i, n);
            s->last = code;
        }
        i += n;
    }
}

void wm_styler_code(struct wm_styler *s, const char *text, size_t len)
{
    while (len && text[len - 1] == '\n')
        len--;
    if (len == 0)
        return;
    while (s->n_have)
        close_top(s, 0);
    write_gap(s);
    bool fenced_inside =
        memmem(text, len, "```", 3); /* its own fence would end ours: better no marker than a wrong one */
    if (!fenced_inside)
        put_byte(s, WM_STYLED_OPEN + WM_STYLE_BLOCK);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= ' ' || text[i] == '\n' || text[i] == '\t')
            wm_buffer_add(s->out, text + i, 1);
    if (!fenced_inside)
        put_byte(s, WM_STYLED_CLOSE + WM_STYLE_BLOCK);
    s->last = ' ';
}

bool wm_styler_end(struct wm_styler *s)
{
    while (s->n_have)
        close_top(s, 0);
    bool ok = !s->out->failed && !s->gap.failed;
    wm_buffer_free(&s->gap);
    return ok;
}

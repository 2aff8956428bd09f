/* styled.h -- styled text: what stands between Markdown and a platform's dialect.
 *
 * UTF-8 in which single control bytes open and close styles. Text itself never holds them (they are dropped on the way
 * in), so that a cutter knows what is open without reading markers that may as well be a person's asterisks.
 * Essay: styled.c. One thread at a time.
 */
#ifndef WM_TEXT_STYLED_H
#define WM_TEXT_STYLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buffer.h"

enum wm_style {
    WM_STYLE_QUOTE, /* of a line: opens again on each */
    WM_STYLE_BOLD,
    WM_STYLE_ITALIC,
    WM_STYLE_STRIKE,
    WM_STYLE_CODE,
    WM_STYLE_BLOCK, /* lines of code, kept as they are */
    WM_STYLES
};

enum {
    WM_STYLED_OPEN = 0x0E,                        /* + style */
    WM_STYLED_CLOSE = WM_STYLED_OPEN + WM_STYLES, /* + style */
    WM_STYLED_NOTHING = 0x1F                      /* stands where a byte was taken out; printed as nothing */
};

/* How a platform writes styles. "" where it has none. */
struct wm_dialect {
    const char *open[WM_STYLES], *close[WM_STYLES];
};

static inline bool wm_styled_is_open(char c)
{
    return c >= WM_STYLED_OPEN && c < WM_STYLED_CLOSE;
}

static inline bool wm_styled_is_close(char c)
{
    return c >= WM_STYLED_CLOSE && c < WM_STYLED_CLOSE + WM_STYLES;
}

struct wm_styler_level {
    enum wm_style style;
    unsigned push; /* which push it is of: two neighbours of one style stay two */
    size_t at;     /* once open: where in the output */
    bool glued;    /* once open: a word stood right before */
};

/* Writes styled text. */
struct wm_styler {
    struct wm_buffer *out;
    struct wm_buffer gap; /* white space seen and not yet written */
    struct wm_styler_level want[WM_STYLES], have[WM_STYLES];
    int n_want, n_have;
    unsigned pushes;
    int depth[WM_STYLES];
    uint32_t last; /* code point written last; 0: none */
};

#define WM_STYLER(out_) ((struct wm_styler){.out = (out_), .gap = WM_BUFFER((out_)->max)})

/* Styles of the text to come. They nest; a style within itself counts once. */
void wm_styler_push(struct wm_styler *s, enum wm_style style);
void wm_styler_pop(struct wm_styler *s, enum wm_style style);

/* Text; its white space is kept, except at the end of lines. */
void wm_styler_text(struct wm_styler *s, const char *text, size_t len);

/* A block of code on lines of its own; newlines at its end are dropped. */
void wm_styler_code(struct wm_styler *s, const char *text, size_t len);

/* Closes what is open; frees. False when memory or the buffer's ceiling ran out on the way. */
bool wm_styler_end(struct wm_styler *s);

#endif

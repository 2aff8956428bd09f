/* markdown.c -- a model's Markdown becomes styled text.
 *
 * WHY     Models write Markdown; chat clients know a handful of styles and show the rest as it stands. What a person
 *         reads must lose its decoration, never its content.
 *
 * HOW     cmark (CommonMark's own parser) gives the tree, strike.c adds what it lacks, and one walk writes it:
 *
 *           heading           a bold line                 list       "- item", "1. item", two spaces for each level
 *           [text](url)       text (url)                  quote      quoted lines
 *           ![alt](url)       Image: alt (url)            table      left as the text that it is
 *           fenced code       a block, no language        HTML       left as the text that it is
 *
 *         Lines and gaps between blocks stay as the author set them: a line break is a line break, and blocks are apart
 *         by an empty line exactly where the source had one.
 *         Where the tree shows nothing but paragraphs of plain text, the source itself is the answer, to the byte.
 *
 * ALWAYS  (1) No content is lost. Link reference definitions would vanish from the tree: they are kept from being read
 *             as such (a control byte before "[label]:", dropped at the end), so they and their uses stay text.
 *         (2) No recursion: cmark's iterator walks, whatever the depth.
 */
#include "adapters/text/markdown.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmark.h>

#include "adapters/text/strike.h"
#include "adapters/text/styled.h"
#include "kernels/base/utf8.h"

enum { LABEL_MAX = 1000 /* CommonMark: 999 characters */, INDENT_MAX = 8 /* levels */ };

/* --- the source ---------------------------------------------------------------------------------------------- */

/* Is this '[' the start of "[label]:"? */
static bool starts_definition(const char *at, const char *end)
{
    const char *stop = end - at > LABEL_MAX ? at + LABEL_MAX : end;
    for (const char *p = at + 1; p < stop && *p != '['; p++) {
        if (*p == '\\' && p + 1 < stop)
            p++;
        else if (*p == ']')
            return p + 1 < end && p[1] == ':';
    }
    return false;
}

/* UTF-8, newlines as \n, no control characters but the guard of definitions. */
static enum wm_status clean(const char *text, size_t len, struct wm_buffer *out)
{
    struct wm_buffer valid = WM_BUFFER(3 * len + 1); /* U+FFFD has three bytes */
    enum wm_status st = wm_utf8_sanitize(&valid, text, len);
    const char *end = valid.data ? valid.data + valid.len : NULL;
    for (const char *p = valid.data; st == WM_OK && p < end; p++) {
        bool crlf = *p == '\r' && p + 1 < end && p[1] == '\n';
        char c = *p == '\r' ? '\n' : *p;
        if (crlf || ((unsigned char)c < ' ' && c != '\n' && c != '\t'))
            continue;
        if (c == '[' && starts_definition(p, end))
            wm_buffer_add(out, &(char){WM_STYLED_NOTHING}, 1);
        st = wm_buffer_add(out, &c, 1);
    }
    wm_buffer_free(&valid);
    return out->failed ? WM_ENOMEM : st;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* True when the tree is paragraphs of text and these texts, white space aside, are the source. */
static bool is_plain(cmark_node *document, const char *source)
{
    bool plain = true;
    cmark_iter *walk = cmark_iter_new(document);
    while (plain && walk && cmark_iter_next(walk) != CMARK_EVENT_DONE) {
        cmark_node *node = cmark_iter_get_node(walk);
        switch (cmark_node_get_type(node)) {
        case CMARK_NODE_DOCUMENT:
        case CMARK_NODE_PARAGRAPH:
        case CMARK_NODE_SOFTBREAK:
        case CMARK_NODE_LINEBREAK:
            break;
        case CMARK_NODE_TEXT:
            for (const char *c = cmark_node_get_literal(node); plain && *c; c++) {
                while (!is_space(*c) && is_space(*source))
                    source++;
                if (!is_space(*c))
                    plain = *source++ == *c; /* at its end the source holds NUL, which no text does */
            }
            break;
        default:
            plain = false;
        }
    }
    cmark_iter_free(walk);
    while (is_space(*source))
        source++;
    return plain && walk && *source == '\0';
}

/* --- the walk ------------------------------------------------------------------------------------------------ */

struct walk {
    struct wm_styler styler;
    const char *line_at; /* start of line number `line` of the source; moves forward only */
    int line;
    bool blank;   /* the line before it holds nothing but white space and quote marks */
    bool begun;   /* something has been written */
    bool in_item; /* an item's mark was just written: its first block goes on the same line */
    int depth;    /* of lists */
};

static void put(struct walk *w, const char *text)
{
    wm_styler_text(&w->styler, text, strlen(text));
}

static void go_to_line(struct walk *w, int line)
{
    while (w->line < line && *w->line_at) {
        size_t n = strcspn(w->line_at, "\n");
        w->blank = strspn(w->line_at, " \t>") >= n;
        w->line_at += n + (w->line_at[n] == '\n');
        w->line++;
    }
}

/* Ends the line before a block, and leaves an empty one where the source has one. */
static void begin_block(struct walk *w, cmark_node *node)
{
    go_to_line(w, cmark_node_get_start_line(node));
    if (w->begun && !w->in_item)
        put(w, w->blank ? "\n\n" : "\n");
    w->begun = true;
    w->in_item = false;
}

static void begin_item(struct walk *w, cmark_node *item)
{
    cmark_node *list = cmark_node_parent(item);
    char mark[32] = "- ";
    begin_block(w, item);
    if (cmark_node_get_list_type(list) == CMARK_ORDERED_LIST) {
        intptr_t seen = (intptr_t)cmark_node_get_user_data(list); /* items before this one */
        cmark_node_set_user_data(list, (void *)(seen + 1));
        snprintf(mark, sizeof mark, "%lld%s ", (long long)cmark_node_get_list_start(list) + seen,
                 cmark_node_get_list_delim(list) == CMARK_PAREN_DELIM ? ")" : ".");
    }
    for (int i = 1; i < w->depth && i < INDENT_MAX; i++)
        put(w, "  ");
    put(w, mark);
    w->in_item = true;
}

/* The text of a link without its styles, when it is short enough to be its own URL. */
static bool shows_its_url(cmark_node *link, const char *url)
{
    cmark_node *only = cmark_node_first_child(link);
    if (!only || cmark_node_next(only) || cmark_node_get_type(only) != CMARK_NODE_TEXT)
        return false;
    const char *text = cmark_node_get_literal(only);
    return strcmp(text, url) == 0 || (strncmp(url, "mailto:", 7) == 0 && strcmp(text, url + 7) == 0);
}

static void end_link(struct walk *w, cmark_node *link)
{
    const char *url = cmark_node_get_url(link);
    if (!url || !*url || shows_its_url(link, url))
        return;
    bool has_text = cmark_node_first_child(link) != NULL;
    put(w, has_text ? " (" : "");
    put(w, url);
    put(w, has_text ? ")" : "");
}

/* Literals of HTML end with their newline. */
static void put_lines(struct walk *w, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    while (len && text[len - 1] == '\n')
        len--;
    wm_styler_text(&w->styler, text, len);
}

static void put_code_block(struct walk *w, cmark_node *node)
{
    const char *code = cmark_node_get_literal(node);
    if (code[strspn(code, "\n")] == '\0')
        return;
    if (w->in_item)
        put(w, "\n"); /* a fence wants a line of its own */
    begin_block(w, node);
    wm_styler_code(&w->styler, code, strlen(code));
}

static void put_code(struct walk *w, const char *text)
{
    if (strchr(text, '`')) { /* its own marks would end ours */
        put(w, text);
        return;
    }
    wm_styler_push(&w->styler, WM_STYLE_CODE);
    put(w, text);
    wm_styler_pop(&w->styler, WM_STYLE_CODE);
}

static void set_style(struct walk *w, bool enter, enum wm_style style)
{
    if (enter)
        wm_styler_push(&w->styler, style);
    else
        wm_styler_pop(&w->styler, style);
}

static void visit(struct walk *w, cmark_node *node, bool enter)
{
    switch (cmark_node_get_type(node)) {
    case CMARK_NODE_BLOCK_QUOTE:
        set_style(w, enter, WM_STYLE_QUOTE);
        break;
    case CMARK_NODE_LIST:
        w->depth += enter ? 1 : -1;
        break;
    case CMARK_NODE_ITEM:
        if (enter)
            begin_item(w, node);
        else
            w->in_item = false;
        break;
    case CMARK_NODE_PARAGRAPH:
        if (enter)
            begin_block(w, node);
        break;
    case CMARK_NODE_HEADING:
        if (enter)
            begin_block(w, node);
        set_style(w, enter, WM_STYLE_BOLD);
        break;
    case CMARK_NODE_CODE_BLOCK:
        put_code_block(w, node);
        break;
    case CMARK_NODE_HTML_BLOCK:
        begin_block(w, node);
        put_lines(w, cmark_node_get_literal(node));
        break;
    case CMARK_NODE_THEMATIC_BREAK:
        begin_block(w, node);
        put(w, "---");
        break;
    case CMARK_NODE_TEXT:
    case CMARK_NODE_HTML_INLINE:
        put(w, cmark_node_get_literal(node));
        break;
    case CMARK_NODE_CODE:
        put_code(w, cmark_node_get_literal(node));
        break;
    case CMARK_NODE_SOFTBREAK:
    case CMARK_NODE_LINEBREAK:
        put(w, "\n");
        break;
    case CMARK_NODE_EMPH:
        set_style(w, enter, WM_STYLE_ITALIC);
        break;
    case CMARK_NODE_STRONG:
        set_style(w, enter, WM_STYLE_BOLD);
        break;
    case CMARK_NODE_CUSTOM_INLINE:
        set_style(w, enter, WM_STYLE_STRIKE);
        break;
    case CMARK_NODE_LINK:
        if (!enter)
            end_link(w, node);
        break;
    case CMARK_NODE_IMAGE:
        if (enter)
            put(w, "Image: ");
        else
            end_link(w, node);
        break;
    default:
        break;
    }
}

static enum wm_status walk_tree(cmark_node *document, const char *source, struct wm_buffer *styled)
{
    struct walk w = {.styler = WM_STYLER(styled), .line_at = source, .line = 1};
    cmark_iter *iter = cmark_iter_new(document);
    for (cmark_event_type event; iter && (event = cmark_iter_next(iter)) != CMARK_EVENT_DONE;)
        visit(&w, cmark_iter_get_node(iter), event == CMARK_EVENT_ENTER);
    cmark_iter_free(iter);
    return wm_styler_end(&w.styler) && iter ? WM_OK : WM_ENOMEM;
}

enum wm_status wm_markdown_style(const char *markdown, size_t len, struct wm_buffer *styled,
                                 struct wm_error *err)
{
    struct wm_buffer source = WM_BUFFER(4 * len + 1);
    cmark_node *document = NULL;
    enum wm_status st = clean(markdown, len, &source);
    if (st != WM_OK || source.len == 0)
        goto done;
    if (source.len <= WM_MARKDOWN_MAX) {
        document = cmark_parse_document(source.data, source.len, CMARK_OPT_DEFAULT);
        if (!document) {
            st = WM_ENOMEM;
            goto done;
        }
        wm_strike_mark(document);
    }
    if (!document || is_plain(document, source.data))
        st = wm_buffer_add(styled, source.data, source.len);
    else
        st = walk_tree(document, source.data, styled);
done:
    if (document)
        cmark_node_free(document);
    wm_buffer_free(&source);
    return st == WM_OK ? WM_OK : wm_fail(err, st, "no room to convert a reply of %zu bytes", len);
}

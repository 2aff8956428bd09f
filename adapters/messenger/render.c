/* render.c -- a model's Markdown as plain text: neither platform has a dialect (what a client makes of asterisks is not
 * documented), so styles leave no marks, and a quotation keeps its sign.
 */
#include "adapters/messenger/channel.h"
#include "adapters/text/markdown.h"
#include "adapters/text/split.h"

/* Meta: "less than 2000 characters" on Messenger, 1,000 bytes "or less" and "less than" on Instagram. */
enum { MESSENGER_UNITS = 1999, INSTAGRAM_BYTES = 999 };

static const struct wm_dialect plain = {
    .open = {[WM_STYLE_QUOTE] = "> ",
             [WM_STYLE_BOLD] = "",
             [WM_STYLE_ITALIC] = "",
             [WM_STYLE_STRIKE] = "",
             [WM_STYLE_CODE] = "",
             [WM_STYLE_BLOCK] = ""},
    .close = {"", "", "", "", "", ""},
};

static enum wm_status render(const char *markdown, size_t len, enum wm_measure measure, size_t max_units,
                             enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                             struct wm_error *err)
{
    struct wm_buffer styled = WM_BUFFER(8 * len + 1024);
    enum wm_status st = wm_markdown_style(markdown, len, &styled, err);
    if (st == WM_OK)
        st = wm_split(&plain, styled.data ? styled.data : "", styled.len, measure, max_units, part, arg, err);
    wm_buffer_free(&styled);
    return st;
}

enum wm_status wm_messenger_render(struct wm_channel *c, const char *markdown, size_t len,
                                   enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                                   struct wm_error *err)
{
    (void)c;
    return render(markdown, len, WM_MEASURE_UTF16, MESSENGER_UNITS, part, arg, err);
}

enum wm_status wm_instagram_render(struct wm_channel *c, const char *markdown, size_t len,
                                   enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                                   struct wm_error *err)
{
    (void)c;
    return render(markdown, len, WM_MEASURE_BYTES, INSTAGRAM_BYTES, part, arg, err);
}

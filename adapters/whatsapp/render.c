/* render.c -- a model's Markdown as WhatsApp messages. */
#include "adapters/text/markdown.h"
#include "adapters/text/split.h"
#include "adapters/whatsapp/channel.h"

enum { TEXT_UNITS = 4096 }; /* Meta says "characters"; UTF-16 units are the safe reading */

static const struct wm_dialect dialect = {
    .open = {[WM_STYLE_QUOTE] = "> ",
             [WM_STYLE_BOLD] = "*",
             [WM_STYLE_ITALIC] = "_",
             [WM_STYLE_STRIKE] = "~",
             [WM_STYLE_CODE] = "`",
             [WM_STYLE_BLOCK] = "```\n"},
    .close = {[WM_STYLE_QUOTE] = "",
              [WM_STYLE_BOLD] = "*",
              [WM_STYLE_ITALIC] = "_",
              [WM_STYLE_STRIKE] = "~",
              [WM_STYLE_CODE] = "`",
              [WM_STYLE_BLOCK] = "\n```"},
};

enum wm_status wm_whatsapp_render(struct wm_channel *c, const char *markdown, size_t len,
                                  enum wm_status (*part)(void *arg, const char *text, size_t len), void *arg,
                                  struct wm_error *err)
{
    (void)c;
    struct wm_buffer styled = WM_BUFFER(8 * len + 1024);
    enum wm_status st = wm_markdown_style(markdown, len, &styled, err);
    if (st == WM_OK)
        st = wm_split(&dialect, styled.data ? styled.data : "", styled.len, WM_MEASURE_UTF16, TEXT_UNITS,
                      part, arg, err);
    wm_buffer_free(&styled);
    return st;
}

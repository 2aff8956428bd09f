/* markdown.c -- fuzzes what a model may write. First byte: the limit of a part. Every part is whole and within its
 * limit, and what people see in all parts is what they would see in one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/text/markdown.h"
#include "adapters/text/split.h"
#include "kernels/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_INPUT = 64 << 10, NO_LIMIT = 1 << 22 };

static const struct wm_dialect dialect = {
    .open = {"> ", "*", "_", "~", "`", "```\n"},
    .close = {"", "*", "_", "~", "`", "\n```"},
};

struct seen {
    struct wm_buffer visible; /* without white space and the characters of markers */
    size_t limit;
};

static enum wm_status look(void *arg, const char *text, size_t len)
{
    struct seen *seen = arg;
    if (len == 0 || !wm_utf8_valid(text, len) || wm_utf8_utf16_len(text, len) > seen->limit ||
        strchr(" \t\n", text[len - 1]))
        abort();
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' && text[i] != '\n' && text[i] != '\t')
            abort();
        if (!strchr(" \t\n*_~`>", text[i]))
            wm_buffer_add(&seen->visible, text + i, 1);
    }
    return WM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > MAX_INPUT)
        return 0;
    struct wm_buffer styled = WM_BUFFER(8 * size + 1024);
    struct seen parts = {WM_BUFFER(NO_LIMIT), WM_SPLIT_UNITS_MIN + data[0]},
                whole = {WM_BUFFER(NO_LIMIT), NO_LIMIT};
    if (wm_markdown_style((const char *)data + 1, size - 1, &styled, NULL) != WM_OK)
        abort();
    const char *text = styled.data ? styled.data : "";
    if (wm_split(&dialect, text, styled.len, WM_MEASURE_UTF16, parts.limit, look, &parts, NULL) != WM_OK ||
        wm_split(&dialect, text, styled.len, WM_MEASURE_UTF16, whole.limit, look, &whole, NULL) != WM_OK)
        abort();
    if (parts.visible.len != whole.visible.len ||
        (parts.visible.len && memcmp(parts.visible.data, whole.visible.data, parts.visible.len) != 0))
        abort();
    wm_buffer_free(&styled);
    wm_buffer_free(&parts.visible);
    wm_buffer_free(&whole.visible);
    return 0;
}

/* tool_calls.c -- any answer of a model: calls or text, never a crash; what was read is written and reads the same
 * again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tool_calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_tool_calls calls, again = {0};
    struct wm_buffer text = WM_BUFFER(16u << 20);
    if (wm_tool_calls_parse((const char *)data, size, &calls, &err) != WM_OK)
        return 0;
    if (calls.n && (wm_tool_calls_text(calls.calls, calls.n, &text, &err) != WM_OK ||
                    wm_tool_calls_parse(text.data, text.len, &again, &err) != WM_OK))
        abort();
    if (text.len <= WM_TOOL_TEXT_MAX && again.n != calls.n)
        abort();
    for (size_t i = 0; i < again.n; i++)
        if (strcmp(calls.calls[i].name, again.calls[i].name) != 0 ||
            strcmp(calls.calls[i].arguments, again.calls[i].arguments) != 0)
            abort();
    wm_tool_calls_free(&calls);
    wm_tool_calls_free(&again);
    wm_buffer_free(&text);
    return 0;
}

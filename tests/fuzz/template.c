/* template.c -- any bytes as a chat template: a sentence, or a text; it ends, and within its limits. */
#include <stdint.h>
#include <stdlib.h>

#include "engine/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char variables[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\" s "
        "\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},"
        "{\"role\":\"assistant\",\"content\":\"b\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
        "\"arguments\":{\"x\":1.5}}}]}],"
        "\"tools\":[{\"name\":\"f\"}],\"bos_token\":\"<b>\",\"n\":7,\"none\":null,\"yes\":true,\"l\":[3,1,2],"
        "\"s\":\" a b\"}";
    static json_t *given;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_template *t = NULL;
    struct wm_buffer out = WM_BUFFER(1 << 16);
    if (!given && !(given = json_loads(variables, 0, NULL)))
        abort();
    enum wm_status st = wm_template_new("fuzz", (const char *)data, size, &t, &err);
    if (st == WM_OK)
        st = wm_template_render(t, given, 1750000000, &out, &err);
    if ((st != WM_OK) != (err.text[0] != '\0') || out.len > out.max)
        abort();
    wm_template_free(t);
    wm_buffer_free(&out);
    return 0;
}

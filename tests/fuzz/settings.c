/* settings.c -- any bytes as a settings file: findings or settings, never a crash; every finding is one clean line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/settings_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wm_settings *s = NULL;
    struct wm_findings f = {0};
    if (size > 64 * 1024)
        return 0;
    enum wm_status st = wm_settings_parse("f", "/nowhere", 0600, (const char *)data, size, NULL, &s, &f);
    if ((st == WM_OK) != (s != NULL) || (st == WM_OK) != (f.errors == 0))
        abort();
    for (size_t i = 0; i < f.text.len; i++)
        if ((unsigned char)f.text.data[i] < 0x20 && f.text.data[i] != '\n')
            abort();
    wm_settings_free(s);
    wm_findings_free(&f);
    return 0;
}

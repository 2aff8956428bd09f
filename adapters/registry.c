/* registry.c -- see registry.h. */
#include "adapters/registry.h"

#include <string.h>

#define WM_ADAPTERS(X) X(whatsapp) X(messenger) X(instagram)

#define X(id) extern const struct wm_adapter wm_adapter_##id;
WM_ADAPTERS(X)
#undef X

#define X(id) &wm_adapter_##id,
const struct wm_adapter *const wm_adapters[] = {WM_ADAPTERS(X) NULL};
#undef X

const struct wm_adapter *wm_adapter_find(const char *platform)
{
    for (int i = 0; wm_adapters[i]; i++)
        if (strcmp(wm_adapters[i]->platform, platform) == 0)
            return wm_adapters[i];
    return NULL;
}

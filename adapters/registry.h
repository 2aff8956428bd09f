/* registry.h -- every platform that we speak, in one greppable list (registry.c). */
#ifndef WM_ADAPTERS_REGISTRY_H
#define WM_ADAPTERS_REGISTRY_H

#include "sessions/channel.h"

/* NULL at the end. */
extern const struct wm_adapter *const wm_adapters[];

/* The adapter for that platform name, or NULL. */
const struct wm_adapter *wm_adapter_find(const char *platform);

#endif

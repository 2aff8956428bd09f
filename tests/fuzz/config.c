/* config.c -- config.json and preprocessor_config.json from strangers, and the sums that follow from what they say. */
#include <stddef.h>
#include <stdint.h>

#include "engine/arch_parts.h"
#include "engine/parts.h"
#include "engine/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wm_arch arch;
    struct wm_parameters p;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_arch_from_config("fuzz", (const char *)data, size, &arch, &err) == WM_OK) {
        wm_plan_parameters(&arch, &p);
        struct wm_plan_kv kv = wm_plan_kv(&arch, 2);
        for (const struct wm_weight_format *w = wm_weight_formats; w->name; w++)
            (void)wm_plan_speed(&arch, w, &kv, wm_gpus, 8, 64, arch.context - 1);
    }
    arch.vision = (struct wm_vision_arch){.layers = 1, .image = 336};
    (void)wm_arch_from_preprocessor("fuzz", (const char *)data, size, &arch, &err);
    return 0;
}

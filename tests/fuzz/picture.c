/* picture.c -- pictures from strangers, from the first byte to tiles. Built once for each format: what differs is the corpus. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wm_vision_arch v = {.layers = 1, .image = 28, .patch = 14, .max_tiles = 4};
    static float patches[28 * 28 * 3];
    struct wm_tiles t;
    struct wm_error err = WM_ERROR_INIT;
    enum wm_status st = wm_tiles_read(&v, "fuzz", data, size, &t, &err);
    if (st != err.code || (st == WM_OK) != (t.pixels != NULL) || (st != WM_OK && !err.text[0]))
        abort();
    for (int32_t i = 0; i < t.n; i++)
        wm_tile_patches(&v, &t, i, patches);
    wm_tiles_free(&t);
    return 0;
}

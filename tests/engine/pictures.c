/* pictures.c -- see pictures.h. */
#include "tests/engine/pictures.h"

#include <stdlib.h>
#include <string.h>

const struct wm_vision_arch tower_of_56 = {.layers = 1, .image = 56, .patch = 14, .max_tiles = 16},
                            tower_of_336 = {.layers = 1, .image = 336, .patch = 14, .max_tiles = 16};

uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

uint8_t *bytes_of(const char *path, size_t *len)
{
    enum { MOST = 1 << 20 };
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s cannot be read", path);
    uint8_t *bytes = malloc(MOST + 1);
    assert_non_null(bytes);
    *len = fread(bytes, 1, MOST + 1, f);
    fclose(f);
    assert_true(*len > 0 && *len <= MOST);
    return bytes;
}

enum wm_status read_tiles(const struct wm_vision_arch *v, const void *bytes, size_t len, struct wm_tiles *out,
                          struct wm_error *err)
{
    void *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    *err = (struct wm_error)WM_ERROR_INIT;
    enum wm_status st = wm_tiles_read(v, "photo", copy, len, out, err);
    free(copy);
    if (st != WM_OK && (out->pixels || err->code != st || strncmp(err->text, "photo", 5) != 0))
        fail_msg("status %d, code %d, sentence '%s'", st, err->code, err->text);
    return st;
}

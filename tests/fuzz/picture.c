/* picture.c -- pictures from strangers, from the first byte to tiles. Built once for each format: what differs is the corpus.
 *
 * A PNG's chunks carry checksums, and a fuzzer that changes a byte would never come past them: after each change they are
 * made good again. Large pictures take long and show little, so most changes keep the sizes in a header below 256.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max)
    __attribute__((weak)); /* libFuzzer's; a replay has none */

static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* Length (4 bytes), name (4), data, checksum of name and data (4). */
static void mend_png(uint8_t *data, size_t size)
{
    enum { SIGNATURE = 8, AROUND = 12 };
    for (size_t at = SIGNATURE; at + AROUND <= size;) {
        size_t len =
            (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 | data[at + 3];
        if (len > size - at - AROUND)
            return;
        uint32_t crc = crc32_of(data + at + 4, len + 4);
        for (size_t i = 0; i < 4; i++)
            data[at + 8 + len + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += AROUND + len;
    }
}

/* Height and width lie behind the marker's length and the depth. */
static void shrink_jpeg(uint8_t *data, size_t size)
{
    for (size_t at = 0; at + 9 <= size; at++)
        if (data[at] == 0xFF && (data[at + 1] == 0xC0 || data[at + 1] == 0xC2))
            data[at + 5] = data[at + 7] = 0;
}

static void shrink_png(uint8_t *data, size_t size)
{
    if (size >= 24)
        data[16] = data[17] = data[18] = data[20] = data[21] = data[22] = 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max);
    bool png = size > 8 && memcmp(data, "\x89PNG", 4) == 0, small = seed % 64 != 0;
    if (small)
        (png ? shrink_png : shrink_jpeg)(data, size);
    if (png)
        mend_png(data, size);
    return size;
}

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

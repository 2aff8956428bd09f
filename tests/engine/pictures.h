/* pictures.h -- what the tests of pictures share. */
#ifndef WM_TESTS_ENGINE_PICTURES_H
#define WM_TESTS_ENGINE_PICTURES_H

#include "tests/check.h"

#include "engine/picture.h"

/* At most 16 tiles of 56 pixels, as the golden models have; of 336, as Llama 4 has. */
extern const struct wm_vision_arch tower_of_56, tower_of_336;

/* As zlib's. */
uint32_t crc32_of(const uint8_t *bytes, size_t len);

/* A file's bytes, at least one and at most 1 MiB; the caller frees. Fails the test when it cannot be read. */
uint8_t *bytes_of(const char *path, size_t *len);

/* wm_tiles_read of a copy of exactly that size, so that ASan sees one byte too far. A refusal that leaves something behind, or
 * has no sentence that begins with the picture's name, fails the test. */
enum wm_status read_tiles(const struct wm_vision_arch *v, const void *bytes, size_t len, struct wm_tiles *out,
                          struct wm_error *err);

#endif

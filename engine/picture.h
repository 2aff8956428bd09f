/* picture.h -- a picture as people send it, turned into the square tiles that a vision tower sees. Design and limits:
 * picture.c.
 *
 * Any thread; decoding takes up to some hundred milliseconds: not for a thread that others wait for.
 */
#ifndef WM_ENGINE_PICTURE_H
#define WM_ENGINE_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/arch.h"
#include "engine/engine.h"
#include "kernels/base/error.h"

enum {
    WM_PICTURE_MAX_BYTES = 32 << 20,  /* of the file */
    WM_PICTURE_MAX_SIDE = 16384,      /* pixels, as the file's header says */
    WM_PICTURE_MAX_PIXELS = 50000000, /* width x height */
    WM_PICTURE_MAX_MEMORY = 512 << 20 /* bytes while it is decoded; plain JPEG and PNG take 3 a pixel */
};

/* Tiles of image x image pixels, RGB, planar: tiles[((t * 3 + channel) * image + y) * image + x]. The global
 * tile (the whole picture, squeezed) is the last and there only when rows * cols > 1. */
struct wm_tiles {
    int32_t width, height; /* of the picture, upright */
    int32_t rows, cols, n, image;
    uint8_t *pixels;
    uint8_t hash[WM_PICTURE_HASH]; /* SHA-256 of the file's bytes */
};

/* Decodes JPEG, PNG or WebP (of an animation the first frame), turns it as its EXIF says, lays alpha over
 * white, and cuts it up. WM_EFORMAT: damaged, or no picture that we know; WM_ELIMIT: past a limit, found
 * before memory is taken. `name` is for the sentences. */
enum wm_status wm_tiles_read(const struct wm_vision_arch *v, const char *name, const void *bytes, size_t len,
                             struct wm_tiles *out, struct wm_error *err);
void wm_tiles_free(struct wm_tiles *t); /* empties it; a zeroed one is fine */

/* The grid for a picture of width x height pixels, upright. */
void wm_tiles_grid(const struct wm_vision_arch *v, int32_t width, int32_t height, int32_t *rows,
                   int32_t *cols);

/* What the tower gets for pixel value `byte`: normalised and rounded as the reference does (bfloat16). */
float wm_tile_value(uint8_t byte);

/* Pixels to patches: out[p, :] for p in [0, (image / patch)^2), each 3 * patch * patch values, channel by channel. */
void wm_tile_patches(const struct wm_vision_arch *v, const struct wm_tiles *t, int32_t tile, float *out);

#endif

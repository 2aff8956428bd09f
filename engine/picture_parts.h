/* picture_parts.h -- what the parts of picture.c hand to each other: decoders fill struct wm_pixels, an
 * upright view of it is resized row by row, the rows are cut into tiles.
 */
#ifndef WM_ENGINE_PICTURE_PARTS_H
#define WM_ENGINE_PICTURE_PARTS_H

#include "engine/picture.h"

/* A decoded picture as its file stores it: rows from the top, 3 bytes a pixel (R, G, B), no padding. */
struct wm_pixels {
    int32_t width, height;
    int orientation; /* EXIF: 1 to 8, how to hold it upright */
    uint8_t *rgb;    /* malloc'd; wm_tiles_read frees it, also after a failure */
};

/* Checks the sizes that a header claims and, only then, takes memory for `channels` (3 or 4) bytes a pixel,
 * zeroed. WM_ELIMIT, WM_EFORMAT for no pixels at all, WM_ENOMEM. */
enum wm_status wm_pixels_new(const char *name, uint64_t width, uint64_t height, int channels,
                             struct wm_pixels *out, struct wm_error *err);

/* Lays `n` pixels R, G, B, A over white, in place: afterwards they are n pixels R, G, B at the same address. */
void wm_pixels_over_white(uint8_t *pixels, size_t n);

/* The decoders. On failure `out->rgb` may be set. WM_EFORMAT, WM_ELIMIT, WM_EUNSUPPORTED, WM_ENOMEM with a
 * sentence that begins with `name`. */
enum wm_status wm_jpeg_read(const char *name, const uint8_t *bytes, size_t len, struct wm_pixels *out,
                            struct wm_error *err);
enum wm_status wm_png_read(const char *name, const uint8_t *bytes, size_t len, struct wm_pixels *out,
                           struct wm_error *err);
enum wm_status wm_webp_read(const char *name, const uint8_t *bytes, size_t len, struct wm_pixels *out,
                            struct wm_error *err);

/* The orientation that an EXIF block names, with or without its "Exif\0\0" in front; 1 when it names none.
 * Never reads outside the block, whatever it holds. */
int wm_exif_orientation(const uint8_t *bytes, size_t len);

/* A picture seen upright: pixel (x, y) begins at first + x * right + y * down. */
struct wm_view {
    const uint8_t *first;
    ptrdiff_t right, down; /* bytes */
    int32_t width, height;
};

struct wm_view wm_pixels_upright(const struct wm_pixels *p);

/* Takes row y of a resized picture, rows in order from 0: 3 bytes a pixel, borrowed. */
typedef void (*wm_resized_row)(void *arg, int32_t y, const uint8_t *rgb);

/* Resizes to width x height, bit for bit as Pillow's BILINEAR does. WM_ENOMEM. */
enum wm_status wm_resize(const struct wm_view *v, int32_t width, int32_t height, wm_resized_row row,
                         void *arg, struct wm_error *err);

/* Grid, sizes, cutting: fills all of `out` but its hash; out->pixels is malloc'd, NULL on failure. */
enum wm_status wm_tiles_cut(const struct wm_vision_arch *v, const struct wm_view *picture,
                            struct wm_tiles *out, struct wm_error *err);

#endif

/* picture.c -- a picture as people send it, turned into the square tiles that a vision tower sees.
 *
 * WHY     Anybody may send anything that claims to be a picture, and what the model sees must be, to the bit,
 *         what it was trained on.
 *
 * HOW     Five steps, one file each: the first bytes choose a decoder (picture_jpeg.c, picture_png.c,
 *         picture_webp.c; what they share is in picture_parts.h); the camera's orientation is read
 *         (picture_exif.c); the pixels are looked at through an upright view of them, not turned in memory;
 *         resized row by row (picture_resize.c); cut up (picture_tiles.c).
 *
 *         Alpha is laid over white, as Meta does, whichever way a file spells it. GIF, HEIC and others are
 *         refused by name: no platform we know delivers them as pictures.
 *
 * ALWAYS  Sizes are checked where the header has been read and before memory is taken for pixels: a file of
 *         100 bytes that claims 4 G pixels costs nothing.
 *
 * LIMITS  WM_PICTURE_MAX_*. While a picture is decoded it takes 3 bytes a pixel; 4 with alpha; a lossless
 *         WebP 8, a progressive JPEG 6 to 9, both bounded by WM_PICTURE_MAX_MEMORY. Its tiles take 3 * image^2 each.
 */
#include "engine/picture_parts.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

typedef enum wm_status (*reader)(const char *name, const uint8_t *bytes, size_t len, struct wm_pixels *out,
                                 struct wm_error *err);

/* What a file begins with: `magic` at byte `at`. Those without a reader are refused by their name. */
static const struct form {
    const char *name, *magic;
    size_t len, at;
    reader read;
} forms[] = {
    {"JPEG", "\xff\xd8\xff", 3, 0, wm_jpeg_read},
    {"PNG", "\x89PNG\r\n\x1a\n", 8, 0, wm_png_read},
    {"WebP", "WEBP", 4, 8, wm_webp_read},
    {"GIF", "GIF8", 4, 0, NULL},
    {"HEIC or AVIF", "ftyp", 4, 4, NULL},
    {"TIFF", "II*\0", 4, 0, NULL},
    {"TIFF", "MM\0*", 4, 0, NULL},
    {"BMP", "BM", 2, 0, NULL},
    {"PDF", "%PDF", 4, 0, NULL},
};

static const struct form *form_of(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (len >= forms[i].at + forms[i].len &&
            memcmp(bytes + forms[i].at, forms[i].magic, forms[i].len) == 0)
            return &forms[i];
    return NULL;
}

enum wm_status wm_pixels_new(const char *name, uint64_t width, uint64_t height, int channels,
                             struct wm_pixels *out, struct wm_error *err)
{
    if (width < 1 || height < 1)
        return wm_fail(err, WM_EFORMAT, "%s is a picture of %llu x %llu pixels: there is nothing to see",
                       name, (unsigned long long)width, (unsigned long long)height);
    if (width > WM_PICTURE_MAX_SIDE || height > WM_PICTURE_MAX_SIDE || width * height > WM_PICTURE_MAX_PIXELS)
        return wm_fail(err, WM_ELIMIT,
                       "%s is a picture of %llu x %llu pixels, and %d on a side and %d in all are the most: "
                       "send it smaller",
                       name, (unsigned long long)width, (unsigned long long)height, WM_PICTURE_MAX_SIDE,
                       WM_PICTURE_MAX_PIXELS);
    *out = (struct wm_pixels){.width = (int32_t)width, .height = (int32_t)height, .orientation = 1};
    out->rgb = calloc((size_t)width * (size_t)height, (size_t)channels);
    return out->rgb ? WM_OK : wm_fail(err, WM_ENOMEM, "%s: no memory to decode this picture", name);
}

/* Pillow's paste with a mask: (white * (255 - alpha) + colour * alpha) / 255, rounded. */
void wm_pixels_over_white(uint8_t *pixels, size_t n)
{
    const uint8_t *from = pixels;
    for (uint8_t *to = pixels; n > 0; n--, from += 4, to += 3)
        for (int c = 0; c < 3; c++) {
            unsigned alpha = from[3], sum = 255 * (255 - alpha) + from[c] * alpha + 128;
            to[c] = (uint8_t)((sum + (sum >> 8)) >> 8);
        }
}

/* EXIF orientations 5 to 8 swap rows and columns; after that each quartet turns the directions round in the
 * same way. */
struct wm_view wm_pixels_upright(const struct wm_pixels *p)
{
    bool swap = p->orientation > 4;
    int turn = (p->orientation - 1) % 4;
    ptrdiff_t pixel = 3, row = (ptrdiff_t)p->width * 3;
    struct wm_view v = {.first = p->rgb,
                        .right = swap ? row : pixel,
                        .down = swap ? pixel : row,
                        .width = swap ? p->height : p->width,
                        .height = swap ? p->width : p->height};
    if (turn == 1 || turn == 2) {
        v.first += (v.width - 1) * v.right;
        v.right = -v.right;
    }
    if (turn == 2 || turn == 3) {
        v.first += (v.height - 1) * v.down;
        v.down = -v.down;
    }
    return v;
}

static enum wm_status decode(const char *name, const uint8_t *bytes, size_t len, struct wm_pixels *out,
                             struct wm_error *err)
{
    if (len > WM_PICTURE_MAX_BYTES)
        return wm_fail(err, WM_ELIMIT, "%s has %zu bytes, and a picture may have %d: send it smaller", name,
                       len, WM_PICTURE_MAX_BYTES);
    const struct form *form = form_of(bytes, len);
    if (!form)
        return wm_fail(err, WM_EFORMAT, "%s is no picture that we know: send JPEG, PNG or WebP", name);
    if (!form->read)
        return wm_fail(err, WM_EFORMAT,
                       "%s is a file of kind %s, which we do not read: send JPEG, PNG or WebP", name,
                       form->name);
    return form->read(name, bytes, len, out, err);
}

enum wm_status wm_tiles_read(const struct wm_vision_arch *v, const char *name, const void *bytes, size_t len,
                             struct wm_tiles *out, struct wm_error *err)
{
    struct wm_pixels pixels = {0};
    *out = (struct wm_tiles){0};
    enum wm_status st = decode(name, bytes, len, &pixels, err);
    if (st == WM_OK) {
        struct wm_view upright = wm_pixels_upright(&pixels);
        st = wm_tiles_cut(v, &upright, out, err);
    }
    if (st == WM_OK && EVP_Digest(bytes, len, out->hash, NULL, EVP_sha256(), NULL) != 1)
        st = wm_fail(err, WM_ENOMEM, "%s: its checksum could not be computed", name);
    free(pixels.rgb);
    if (st != WM_OK)
        wm_tiles_free(out);
    return st;
}

void wm_tiles_free(struct wm_tiles *t)
{
    free(t->pixels);
    *t = (struct wm_tiles){0};
}

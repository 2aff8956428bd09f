/* picture_png.c -- PNG by libpng: every colour type, depth and interlacing.
 *
 * libpng does the unpacking: palettes and grey become colour, 1, 2 and 4 bits become 8, of 16 bits the upper
 * 8 are taken. That is what Pillow does, but for grey of 16 bits, which Pillow clips at 255: nearly white
 * pictures are of no use, so we do not. The file's gamma and colour profile are ignored, as Meta's transform
 * ignores them. All chunks but those that make pixels are passed over unread; a profile or a text that
 * inflates to gigabytes costs nothing. Where alpha comes from (a channel, one transparent colour, a palette's
 * entries) makes no difference: all of it is laid over white.
 *
 * Errors come as in picture_jpeg.c: by a jump to the one setjmp, and all that outlives the jump lies in struct reader.
 */
#include "engine/picture_parts.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

struct reader {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    const char *name;
    const uint8_t *bytes;
    size_t len, at;
    struct wm_pixels *out;
    struct wm_error *err;
};

static void stop(png_structp png, png_const_charp why)
{
    struct reader *r = png_get_error_ptr(png);
    wm_fail(r->err, WM_EFORMAT, "%s is a damaged PNG picture: %s", r->name, why);
    longjmp(r->failed, 1);
}

static void pass_over(png_structp png, png_const_charp why)
{
    (void)png;
    (void)why;
}

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
    struct reader *r = png_get_io_ptr(png);
    if (n > r->len - r->at) {
        wm_fail(r->err, WM_EFORMAT,
                "%s is a PNG picture that was cut short: it ends after %zu bytes, before its last pixel",
                r->name, r->len);
        longjmp(r->failed, 1);
    }
    memcpy(to, r->bytes + r->at, n);
    r->at += n;
}

/* Looks for the chunk eXIf, which may stand anywhere behind the signature: length (4 bytes), name, data,
 * checksum (4). */
static int orientation(const uint8_t *bytes, size_t len)
{
    enum { SIGNATURE = 8, AROUND = 12 };
    for (size_t at = SIGNATURE; len - at >= AROUND;) {
        size_t size = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 | (size_t)bytes[at + 2] << 8 |
                      bytes[at + 3];
        if (size > len - at - AROUND)
            break;
        if (memcmp(bytes + at + 4, "eXIf", 4) == 0)
            return wm_exif_orientation(bytes + at + 8, size);
        at += AROUND + size;
    }
    return 1;
}

/* The function with the setjmp: nothing it needs after a jump lies in its own frame. */
static enum wm_status decode(struct reader *r)
{
    if (setjmp(r->failed))
        return r->err->code;
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours, below, have a sentence */
    png_set_read_fn(r->png, r, read_bytes);
    png_read_info(r->png, r->info);
    png_set_expand(r->png);
    png_set_strip_16(r->png);
    png_set_gray_to_rgb(r->png);
    uint32_t width = png_get_image_width(r->png, r->info), height = png_get_image_height(r->png, r->info);
    bool alpha = (png_get_color_type(r->png, r->info) & PNG_COLOR_MASK_ALPHA) ||
                 png_get_valid(r->png, r->info, PNG_INFO_tRNS);
    int passes = png_set_interlace_handling(r->png), channels = alpha ? 4 : 3;
    if (wm_pixels_new(r->name, width, height, channels, r->out, r->err) != WM_OK)
        return r->err->code;
    png_read_update_info(r->png, r->info);
    size_t row = (size_t)width * (size_t)channels;
    if (png_get_rowbytes(r->png, r->info) != row)
        png_error(r->png, "its rows have an unknown form");
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < height; y++)
            png_read_row(r->png, r->out->rgb + y * row, NULL);
    if (alpha)
        wm_pixels_over_white(r->out->rgb, (size_t)width * height);
    r->out->orientation = orientation(r->bytes, r->len);
    return WM_OK;
}

enum wm_status wm_png_read(const char *name, const uint8_t *bytes, size_t len, struct wm_pixels *out,
                           struct wm_error *err)
{
    struct reader r = {.name = name, .bytes = bytes, .len = len, .out = out, .err = err};
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, stop, pass_over);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    enum wm_status st =
        r.info ? decode(&r) : wm_fail(err, WM_ENOMEM, "%s: no memory to decode this picture", name);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return st;
}

/* picture_jpeg.c -- JPEG by libjpeg-turbo: baseline, progressive, arithmetic; grey, colour, CMYK.
 *
 * WHY     Pictures in chats are JPEG, and these come from strangers.
 *
 * HOW     libjpeg reports errors by a function that must not return: ours keeps the sentence and jumps back
 *         to the one setjmp. What must outlive the jump lies in struct reader, which belongs to the function
 *         that called the one with the setjmp, so no register can hold an old copy of it.
 *
 *         The accurate integer DCT and "fancy" upsampling are libjpeg's defaults and those of Pillow, so
 *         pixels are the same bit for bit. libjpeg could also decode at 1/2 or 1/4 of the size, and faster:
 *         that would give other pixels.
 *
 *         Print shops and Adobe write CMYK with every value inverted. Like Pillow we take that for granted.
 *
 * ALWAYS  A file that ends before its last pixel is refused. Wrong bits inside a file that goes on to its end
 *         are not: decoders carry on behind the next marker, and a picture with a grey corner is still worth a look.
 *
 * LIMITS  Sizes: wm_pixels_new. A progressive picture is held as coefficients until its last scan has come:
 *         memory (WM_PICTURE_MAX_MEMORY) and the work of its scans (MAX_SCANNED: each may pass over the whole
 *         picture and cost its sender ten bytes) are bounded.
 */
#include "engine/picture_parts.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

enum {
    MAX_SCANNED =
        1 << 30, /* pixels in all scans together: 20 scans of the largest picture; encoders write 1 to 14 */
    MAX_SCANS = 100
};

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    const char *name;
    size_t len;
    struct wm_pixels *out;
    struct wm_error *err;
    uint8_t *cmyk; /* one row */
};

/* libjpeg calls this for what it cannot go on from. */
static void stop(j_common_ptr jpeg)
{
    struct reader *r = jpeg->client_data;
    char why[JMSG_LENGTH_MAX];
    switch (jpeg->err->msg_code) {
    case JERR_INPUT_EOF:
        wm_fail(r->err, WM_EFORMAT,
                "%s is a JPEG picture that was cut short: it ends after %zu bytes, before its last pixel",
                r->name, r->len);
        break;
    case JERR_OUT_OF_MEMORY:
        wm_fail(r->err, WM_ENOMEM, "%s: no memory to decode this picture", r->name);
        break;
    case JERR_NO_BACKING_STORE:
        wm_fail(
            r->err, WM_ELIMIT,
            "%s is a JPEG picture that takes more than %d MB to decode: send it smaller, or not progressive",
            r->name, WM_PICTURE_MAX_MEMORY >> 20);
        break;
    default:
        jpeg->err->format_message(jpeg, why);
        wm_fail(r->err, WM_EFORMAT, "%s is a damaged JPEG picture: %s", r->name, why);
    }
    longjmp(r->failed, 1);
}

/* Warnings: of wrong bits that the decoder passed over. */
static void pass_over(j_common_ptr jpeg, int level)
{
    (void)jpeg;
    (void)level;
}

/* libjpeg's own would invent an end of the picture. */
static boolean no_more_input(j_decompress_ptr jpeg)
{
    ERREXIT(jpeg, JERR_INPUT_EOF);
    return FALSE;
}

static void count_scans(j_common_ptr jpeg)
{
    struct reader *r = jpeg->client_data;
    int64_t scans = r->jpeg.input_scan_number, pixels = (int64_t)r->jpeg.image_width * r->jpeg.image_height;
    if (scans <= MAX_SCANS && scans * pixels <= MAX_SCANNED)
        return;
    wm_fail(r->err, WM_ELIMIT, "%s is a JPEG picture of %d scans or more: save it anew, not progressive",
            r->name, (int)scans);
    longjmp(r->failed, 1);
}

static int orientation(const struct jpeg_decompress_struct *jpeg)
{
    for (const struct jpeg_marker_struct *m = jpeg->marker_list; m; m = m->next)
        if (m->data_length > 6 && memcmp(m->data, "Exif\0", 6) == 0)
            return wm_exif_orientation(m->data, m->data_length);
    return 1;
}

/* x * y / 255, rounded; as Pillow does it. */
static unsigned times(unsigned x, unsigned y)
{
    unsigned product = x * y + 128;
    return (product + (product >> 8)) >> 8;
}

/* One row of inverted CMYK: 255 means no ink. */
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t n)
{
    for (; n > 0; n--, cmyk += 4, rgb += 3)
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(cmyk[3] - times(255u - cmyk[c], cmyk[3]));
}

static void read_rows(struct reader *r)
{
    size_t width = r->jpeg.output_width;
    while (r->jpeg.output_scanline < r->jpeg.output_height) {
        uint8_t *rgb = r->out->rgb + r->jpeg.output_scanline * width * 3, *row = r->cmyk ? r->cmyk : rgb;
        if (jpeg_read_scanlines(&r->jpeg, &row, 1) == 1 && r->cmyk)
            cmyk_to_rgb(r->cmyk, rgb, width);
    }
}

/* The function with the setjmp: nothing it needs after a jump lies in its own frame. */
static enum wm_status decode(struct reader *r, const uint8_t *bytes)
{
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    if (setjmp(r->failed))
        return r->err->code;
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, bytes, r->len);
    jpeg->src->fill_input_buffer = no_more_input;
    jpeg->progress = &r->progress;
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->num_components == 2 || jpeg->num_components > 4)
        return wm_fail(r->err, WM_EUNSUPPORTED, "%s is a JPEG picture of %d colour components, not 1, 3 or 4",
                       r->name, jpeg->num_components);
    if (wm_pixels_new(r->name, jpeg->image_width, jpeg->image_height, 3, r->out, r->err) != WM_OK)
        return r->err->code;
    r->out->orientation = orientation(jpeg);
    jpeg->mem->max_memory_to_use =
        WM_PICTURE_MAX_MEMORY - (long)jpeg->image_width * (long)jpeg->image_height * 3;
    jpeg->out_color_space = jpeg->num_components == 4 ? JCS_CMYK : JCS_RGB;
    if (jpeg->num_components == 4 && !(r->cmyk = malloc((size_t)jpeg->image_width * 4)))
        ERREXIT1(jpeg, JERR_OUT_OF_MEMORY, 0);
    jpeg_start_decompress(jpeg);
    read_rows(r);
    return WM_OK; /* what stands behind the last pixel, if only the end mark, is nobody's need */
}

enum wm_status wm_jpeg_read(const char *name, const uint8_t *bytes, size_t len, struct wm_pixels *out,
                            struct wm_error *err)
{
    struct reader r = {
        .name = name, .len = len, .out = out, .err = err, .progress.progress_monitor = count_scans};
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.jpeg.client_data = &r;
    r.errors.error_exit = stop;
    r.errors.emit_message = pass_over;
    enum wm_status st = decode(&r, bytes);
    jpeg_destroy_decompress(&r.jpeg);
    free(r.cmyk);
    return st;
}

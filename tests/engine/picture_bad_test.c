/* picture_bad_test.c -- pictures that are cut, broken, hostile or too large get a sentence, and no memory before it. */
#include "tests/engine/pictures.h"

#include <stdlib.h>
#include <string.h>

#include "engine/picture_parts.h"

/* Expects a refusal with these words in its sentence. */
static void refused(const char *what, const void *bytes, size_t len, enum wm_status want, const char *words)
{
    struct wm_tiles t;
    struct wm_error err;
    enum wm_status st = read_tiles(&tower_of_56, bytes, len, &t, &err);
    if (st != want || !strstr(err.text, words))
        fail_msg("%s: status %d, '%s'; not %d, '%s'", what, st, err.text, want, words);
}

/* The end mark of a PNG has 12 bytes and its data a checksum: whoever loses only those has lost no pixel. */
static void a_file_cut_before_its_last_pixel_is_refused(void **state)
{
    (void)state;
    static const char *const files[] = {
        "jpeg/baseline.jpg",      "jpeg/progressive.jpg",     "jpeg/restarts.jpg",  "jpeg/cmyk.jpg",
        "jpeg/orientation_6.jpg", "png/colour.png",           "png/interlaced.png", "png/palette_alpha.png",
        "webp/lossy.webp",        "webp/lossless_alpha.webp", "webp/animated.webp"};
    for (size_t i = 0; i < COUNT(files); i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/fuzz/%s", files[i]);
        size_t len;
        uint8_t *bytes = bytes_of(path, &len);
        for (size_t percent = 0; percent < 100; percent++)
            if (len - len * percent / 100 > 16)
                refused(path, bytes, len * percent / 100, WM_EFORMAT, "photo is ");
        free(bytes);
    }
}

static void what_is_no_picture_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *words;
        size_t len;
    } cases[] = {{"", "no picture that we know: send JPEG, PNG or WebP", 0},
                 {"hello, world", "no picture that we know", 12},
                 {"\xff\xd8", "no picture that we know", 2},
                 {"\x89PNG\r\n\x1a", "no picture that we know", 7},
                 {"RIFF\4\0\0\0WAVE", "no picture that we know", 12},
                 {"GIF89a\1\0\1\0", "GIF", 10},
                 {"\0\0\0\x18"
                  "ftypheic",
                  "HEIC", 12},
                 {"\xff\xd8\xff", "cut short", 3},
                 {"\xff\xd8\xff\xd9", "damaged", 4},
                 {"\x89PNG\r\n\x1a\n", "cut short", 8},
                 {"RIFF\4\0\0\0WEBP", "damaged", 12}};
    for (size_t i = 0; i < COUNT(cases); i++)
        refused(cases[i].words, cases[i].bytes, cases[i].len, WM_EFORMAT, cases[i].words);
}

static void a_file_of_too_many_bytes_is_refused(void **state)
{
    (void)state;
    uint8_t *bytes = calloc(1, WM_PICTURE_MAX_BYTES + 1);
    assert_non_null(bytes);
    memcpy(bytes, "\xff\xd8\xff", 3);
    refused("too many bytes", bytes, WM_PICTURE_MAX_BYTES + 1, WM_ELIMIT, "33554433 bytes");
    refused("many bytes", bytes, WM_PICTURE_MAX_BYTES, WM_EFORMAT, "photo is ");
    free(bytes);
}

static void put_be(uint8_t *to, uint32_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

/* A PNG's header is its first chunk: length, "IHDR", width, height ..., checksum. */
static void png_sizes_are_checked_before_memory_is_taken(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height;
        enum wm_status status;
        const char *words;
    } cases[] = {{0, 44, WM_EFORMAT, "damaged"},
                 {60, 0, WM_EFORMAT, "damaged"},
                 {0x80000000u, 44, WM_EFORMAT, "damaged"},
                 {60, 0xffffffffu, WM_EFORMAT, "damaged"},
                 {0x7fffffff, 1, WM_ELIMIT, "2147483647 x 1 pixels"},
                 {50000, 50000, WM_ELIMIT, "50000 x 50000 pixels"},
                 {16385, 1, WM_ELIMIT, "16384 on a side"},
                 {16384, 16384, WM_ELIMIT, "50000000 in all"},
                 {7072, 7071, WM_ELIMIT, "send it smaller"}};
    size_t len;
    uint8_t *bytes = bytes_of("tests/fuzz/png/colour.png", &len);
    for (size_t i = 0; i < COUNT(cases); i++) {
        put_be(bytes + 16, cases[i].width, 4);
        put_be(bytes + 20, cases[i].height, 4);
        put_be(bytes + 29, crc32_of(bytes + 12, 17), 4);
        refused(cases[i].words, bytes, len, cases[i].status, cases[i].words);
    }
    free(bytes);
}

/* The first marker of this kind (SOF0: 0xC0 ...); its length, its data. */
static uint8_t *marker(uint8_t *bytes, size_t len, uint8_t kind)
{
    for (size_t at = 2; at + 4 <= len && bytes[at] == 0xFF;
         at += 2 + (size_t)(bytes[at + 2] << 8 | bytes[at + 3]))
        if (bytes[at + 1] == kind)
            return bytes + at;
    fail_msg("no marker %02x", kind);
    return NULL;
}

static void jpeg_sizes_are_checked_before_memory_is_taken(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height;
        enum wm_status status;
        const char *words;
    } cases[] = {{0, 44, WM_EFORMAT, "damaged"},           {60, 0, WM_EFORMAT, "damaged"},
                 {65535, 65535, WM_EFORMAT, "damaged"},    {65500, 65500, WM_ELIMIT, "65500 x 65500 pixels"},
                 {16385, 1, WM_ELIMIT, "16384 on a side"}, {7072, 7071, WM_ELIMIT, "50000000 in all"},
                 {61, 16384, WM_EFORMAT, "cut short"}};
    size_t len;
    uint8_t *bytes = bytes_of("tests/fuzz/jpeg/baseline.jpg", &len), *frame = marker(bytes, len, 0xC0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        put_be(frame + 5, cases[i].height, 2);
        put_be(frame + 7, cases[i].width, 2);
        refused(cases[i].words, bytes, len - 2, cases[i].status, cases[i].words);
    }
    free(bytes);
}

static void webp_sizes_are_checked_before_memory_is_taken(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = bytes_of("tests/fuzz/webp/animated_inset.webp", &len);
    memcpy(bytes + 24, "\xff\xff\0\xff\x3f\0", 6); /* of the canvas, less one, in 3 bytes each */
    refused("a canvas", bytes, len, WM_ELIMIT, "65536 x 16384 pixels");
    memcpy(bytes + 24, "\xff\xff\xff\xff\xff\xff", 6); /* more than the form allows */
    refused("a canvas past the form", bytes, len, WM_EFORMAT, "damaged");
    free(bytes);
}

static void sizes_at_the_limit_are_taken_and_one_past_are_not(void **state)
{
    (void)state;
    static const struct {
        uint64_t width, height;
        enum wm_status status;
    } cases[] = {{WM_PICTURE_MAX_SIDE, 1, WM_OK},
                 {1, WM_PICTURE_MAX_SIDE, WM_OK},
                 {10000, 5000, WM_OK},
                 {10000, 5001, WM_ELIMIT},
                 {WM_PICTURE_MAX_SIDE + 1, 1, WM_ELIMIT},
                 {1ull << 32, 1ull << 32, WM_ELIMIT},
                 {UINT64_MAX, UINT64_MAX, WM_ELIMIT},
                 {0, 1, WM_EFORMAT}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_pixels p = {0};
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(wm_pixels_new("photo", cases[i].width, cases[i].height, 3, &p, &err),
                         cases[i].status);
        assert_int_equal(p.rgb != NULL, cases[i].status == WM_OK);
        free(p.rgb);
    }
}

/* 49 million pixels as coefficients of four colours: 400 MB beside the picture itself. */
static void a_progressive_jpeg_may_not_take_more_memory_than_allowed(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = bytes_of("tests/fuzz/jpeg/cmyk_progressive.jpg", &len),
            *frame = marker(bytes, len, 0xC2);
    put_be(frame + 5, 7000, 2);
    put_be(frame + 7, 7000, 2);
    refused("a large progressive picture", bytes, len, WM_ELIMIT, "512 MB");
    free(bytes);
}

/* The last scan of a progressive picture, again and again. */
static void scans_are_counted(void **state)
{
    (void)state;
    enum { TIMES = 120 };
    size_t len;
    uint8_t *bytes = bytes_of("tests/fuzz/jpeg/progressive.jpg", &len);
    size_t last = 0;
    for (size_t at = 0; at + 1 < len; at++)
        if (bytes[at] == 0xFF && bytes[at + 1] == 0xDA)
            last = at;
    size_t scan = len - 2 - last;
    uint8_t *many = malloc(len + TIMES * scan);
    assert_non_null(many);
    memcpy(many, bytes, len - 2);
    for (size_t i = 0; i < TIMES; i++)
        memcpy(many + len - 2 + i * scan, bytes + last, scan);
    memcpy(many + len - 2 + TIMES * scan, bytes + len - 2, 2);
    refused("120 scans", many, len + TIMES * scan, WM_ELIMIT, "101 scans");
    free(many);
    free(bytes);
}

/* What Pillow does too: the decoder finds the next mark and goes on. */
static void wrong_bits_inside_a_jpeg_do_not_refuse_it(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = bytes_of("tests/fuzz/jpeg/restarts.jpg", &len);
    struct wm_tiles t;
    struct wm_error err;
    memset(bytes + len - 60, 0x55, 20);
    assert_int_equal(read_tiles(&tower_of_56, bytes, len, &t, &err), WM_OK);
    wm_tiles_free(&t);
    free(bytes);
}

static void a_wrong_checksum_refuses_a_png(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = bytes_of("tests/fuzz/png/colour.png", &len);
    bytes[len / 2] ^= 1;
    refused("a flipped bit", bytes, len, WM_EFORMAT, "damaged PNG");
    free(bytes);
}

static void a_broken_exif_block_means_upright(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int want;
    } cases[] = {
        {"", 0, 1},
        {"II*\0\x08\0\0\0", 8, 1},
        {"II*\0\xff\xff\xff\xff", 8, 1},
        {"II+\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 22, 1}, /* not 42 */
        {"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 22, 6},
        {"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0", 21, 1},       /* the entry is cut */
        {"II*\0\x08\0\0\0\xff\xff\x12\1\3\0\1\0\0\0\6\0\0\0", 22, 6}, /* a count past the end */
        {"II*\0\x08\0\0\0\1\0\x12\1\4\0\1\0\0\0\6\0\0\0", 22, 1},     /* another type */
        {"II*\0\x08\0\0\0\1\0\x12\1\3\0\2\0\0\0\6\0\0\0", 22, 1},     /* two values */
        {"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\0\0\0\0", 22, 1},     /* 0 */
        {"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0", 22, 1},   /* 9 */
        {"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x08\0\0", 22, 8},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t *copy = malloc(cases[i].len ? cases[i].len : 1);
        assert_non_null(copy);
        memcpy(copy, cases[i].bytes, cases[i].len);
        if (wm_exif_orientation(copy, cases[i].len) != cases[i].want)
            fail_msg("case %zu is not %d", i, cases[i].want);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_cut_before_its_last_pixel_is_refused),
        cmocka_unit_test(what_is_no_picture_is_refused_by_name),
        cmocka_unit_test(a_file_of_too_many_bytes_is_refused),
        cmocka_unit_test(png_sizes_are_checked_before_memory_is_taken),
        cmocka_unit_test(jpeg_sizes_are_checked_before_memory_is_taken),
        cmocka_unit_test(webp_sizes_are_checked_before_memory_is_taken),
        cmocka_unit_test(sizes_at_the_limit_are_taken_and_one_past_are_not),
        cmocka_unit_test(a_progressive_jpeg_may_not_take_more_memory_than_allowed),
        cmocka_unit_test(scans_are_counted),
        cmocka_unit_test(wrong_bits_inside_a_jpeg_do_not_refuse_it),
        cmocka_unit_test(a_wrong_checksum_refuses_a_png),
        cmocka_unit_test(a_broken_exif_block_means_upright),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

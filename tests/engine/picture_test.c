/* picture_test.c -- pictures of every kind become the tiles that the models were trained on, bit for bit;
 * what is damaged or too large gets a sentence. Small pictures lie in tests/fuzz/, their tiles' checksums in
 * pictures.json (made with Pillow by pictures.py); the golden ones beside the tree.
 */
#include "tests/engine/golden.h"

#include <stdlib.h>
#include <string.h>

#include "tests/engine/pictures.h"

static void check_tiles(const char *path, const struct wm_vision_arch *v, int rows, int cols,
                        const json_t *sums)
{
    size_t len, side = (size_t)v->image;
    uint8_t *bytes = bytes_of(path, &len);
    struct wm_tiles t;
    struct wm_error err;
    if (read_tiles(v, bytes, len, &t, &err) != WM_OK)
        fail_msg("%s: %s", path, err.text);
    if (t.rows != rows || t.cols != cols || (size_t)t.n != json_array_size(sums))
        fail_msg("%s: %d x %d, %d tiles; not %d x %d, %zu tiles", path, (int)t.rows, (int)t.cols, (int)t.n,
                 rows, cols, json_array_size(sums));
    for (size_t i = 0; i < (size_t)t.n; i++)
        if (crc32_of(t.pixels + i * 3 * side * side, 3 * side * side) !=
            json_integer_value(json_array_get(sums, i)))
            fail_msg("%s: tile %zu of %dx%d has other pixels", path, i, rows, cols);
    wm_tiles_free(&t);
    free(bytes);
}

static void every_kind_of_file_gives_the_pixels_that_pillow_gives(void **state)
{
    (void)state;
    json_error_t error;
    json_t *all = json_load_file("tests/engine/pictures.json", 0, &error), *p;
    if (!all)
        fail_msg("tests/engine/pictures.json:%d: %s", error.line, error.text);
    size_t i;
    json_array_foreach(json_object_get(all, "pictures"), i, p)
        check_tiles(json_string_value(json_object_get(p, "file")), &tower_of_56,
                    (int)json_integer_value(json_object_get(p, "rows")),
                    (int)json_integer_value(json_object_get(p, "cols")), json_object_get(p, "tiles_crc32"));
    assert_true(i > 50);
    json_decref(all);
}

static void check_golden(const json_t *picture, const char *key, const struct wm_vision_arch *v)
{
    char name[128];
    const json_t *at = json_object_get(picture, key), *grid = json_object_get(at, "grid_rows_cols");
    snprintf(name, sizeof name, "images/%s", json_string_value(json_object_get(picture, "file")));
    check_tiles(golden_path(name), v, (int)json_integer_value(json_array_get(grid, 0)),
                (int)json_integer_value(json_array_get(grid, 1)), json_object_get(at, "tiles_crc32"));
}

static void tiles_of_golden_pictures_are_equal(void **state)
{
    (void)state;
    GOLDEN_OR_SKIP(golden, "images/golden.json");
    json_t *p;
    size_t i;
    json_array_foreach(json_object_get(golden, "pictures"), i, p)
    {
        check_golden(p, "at_56", &tower_of_56);
        check_golden(p, "at_336", &tower_of_336);
    }
    assert_int_equal(i, 16);
    json_decref(golden);
}

static void grids_of_380_sizes_are_equal(void **state)
{
    (void)state;
    GOLDEN_OR_SKIP(golden, "images/golden.json");
    json_t *row;
    size_t i;
    json_array_foreach(json_object_get(golden, "grid_336"), i, row)
    {
        int32_t v[4], rows, cols;
        for (size_t k = 0; k < COUNT(v); k++)
            v[k] = (int32_t)json_integer_value(json_array_get(row, k));
        wm_tiles_grid(&tower_of_336, v[0], v[1], &rows, &cols);
        if (rows != v[2] || cols != v[3])
            fail_msg("%d x %d pixels: grid %d x %d, not %d x %d", (int)v[0], (int)v[1], (int)rows, (int)cols,
                     (int)v[2], (int)v[3]);
    }
    assert_true(i >= 380);
    json_decref(golden);
}

/* source: the table of the specification, section 6.3 */
static void a_grid_wastes_as_little_as_it_can(void **state)
{
    (void)state;
    static const struct {
        int32_t width, height, rows, cols;
    } cases[] = {{100, 100, 1, 1},   {200, 100, 1, 1},   {337, 336, 1, 2},   {640, 480, 2, 2},
                 {800, 600, 2, 3},   {1024, 1024, 4, 4}, {1920, 1080, 3, 5}, {300, 800, 3, 1},
                 {5000, 300, 1, 15}, {4032, 3024, 3, 4}, {1, 1, 1, 1},       {1, 16384, 16, 1},
                 {16384, 1, 1, 16}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        int32_t rows, cols;
        wm_tiles_grid(&tower_of_336, cases[i].width, cases[i].height, &rows, &cols);
        assert_int_equal(rows, cases[i].rows);
        assert_int_equal(cols, cases[i].cols);
    }
}

static void a_tower_of_one_tile_gets_one(void **state)
{
    (void)state;
    struct wm_vision_arch one = tower_of_56;
    one.max_tiles = 1;
    int32_t rows, cols;
    wm_tiles_grid(&one, 5000, 300, &rows, &cols);
    assert_int_equal(rows * cols, 1);
}

static float bfloat16(uint32_t bits)
{
    float value;
    bits <<= 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void every_byte_has_its_golden_value(void **state)
{
    (void)state;
    GOLDEN_OR_SKIP(golden, "images/golden.json");
    const json_t *table = json_object_get(golden, "pixel_table_bf16_bits");
    assert_int_equal(json_array_size(table), 256);
    for (size_t byte = 0; byte < 256; byte++)
        CHECK_NEAR(wm_tile_value((uint8_t)byte),
                   bfloat16((uint32_t)json_integer_value(json_array_get(table, byte))), 0);
    json_decref(golden);
}

/* source: the specification, section 6.5: values where one rounding and three give different results */
static void values_are_rounded_three_times(void **state)
{
    (void)state;
    static const struct {
        uint8_t byte;
        double value;
    } cases[] = {{0, -1},          {1, -0.9921875},  {64, -0.49609375}, {127, -0.00390625},
                 {128, 0.0078125}, {200, 0.5703125}, {255, 1}};
    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_NEAR(wm_tile_value(cases[i].byte), cases[i].value, 0);
}

static void patches_go_row_by_row_and_channel_by_channel(void **state)
{
    (void)state;
    struct wm_vision_arch v = {.image = 6, .patch = 3, .max_tiles = 1};
    uint8_t pixels[2 * 3 * 6 * 6];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)i;
    struct wm_tiles t = {.rows = 1, .cols = 1, .n = 2, .image = 6, .pixels = pixels};
    float out[4][3][3][3];
    wm_tile_patches(&v, &t, 1, &out[0][0][0][0]);
    for (size_t p = 0; p < 4; p++)
        for (size_t c = 0; c < 3; c++)
            for (size_t y = 0; y < 3; y++)
                for (size_t x = 0; x < 3; x++) {
                    size_t at = ((3 + c) * 6 + p / 2 * 3 + y) * 6 + p % 2 * 3 + x;
                    CHECK_NEAR(out[p][c][y][x], wm_tile_value(pixels[at]), 0);
                }
}

static void the_hash_is_that_of_the_files_bytes(void **state)
{
    (void)state;
    size_t len;
    uint8_t *bytes = bytes_of("tests/fuzz/png/one_bit.png", &len);
    struct wm_tiles a, b;
    struct wm_error err;
    assert_int_equal(read_tiles(&tower_of_56, bytes, len, &a, &err), WM_OK);
    bytes = realloc(bytes, len + 1);
    assert_non_null(bytes);
    bytes[len] = 0; /* behind the end mark: other bytes, the same picture */
    assert_int_equal(read_tiles(&tower_of_56, bytes, len + 1, &b, &err), WM_OK);
    assert_memory_equal(a.pixels, b.pixels, (size_t)a.n * 3 * 56 * 56);
    assert_memory_not_equal(a.hash, b.hash, sizeof a.hash);
    wm_tiles_free(&a);
    wm_tiles_free(&b);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_file_gives_the_pixels_that_pillow_gives),
        cmocka_unit_test(tiles_of_golden_pictures_are_equal),
        cmocka_unit_test(grids_of_380_sizes_are_equal),
        cmocka_unit_test(a_grid_wastes_as_little_as_it_can),
        cmocka_unit_test(a_tower_of_one_tile_gets_one),
        cmocka_unit_test(every_byte_has_its_golden_value),
        cmocka_unit_test(values_are_rounded_three_times),
        cmocka_unit_test(patches_go_row_by_row_and_channel_by_channel),
        cmocka_unit_test(the_hash_is_that_of_the_files_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

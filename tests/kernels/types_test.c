/* types_test.c -- dequantised blocks have exactly the values that the formats define. */
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "kernels/types.h"

static const char GOLDEN[] = "../shared/golden/gguf/quant-blocks.safetensors";

/* A safetensors file: 8 bytes of length, a JSON header, data. */
struct golden {
    json_t *header;
    uint8_t *data;
};

static struct golden load_golden(void)
{
    struct golden g = {NULL, NULL};
    FILE *f = fopen(GOLDEN, "rb");
    if (!f)
        SKIP("no ../shared/golden/gguf/quant-blocks.safetensors");
    uint64_t header_bytes = 0;
    assert_int_equal(fread(&header_bytes, sizeof header_bytes, 1, f), 1);
    assert_in_range(header_bytes, 2, 1 << 20);
    char *header = malloc(header_bytes);
    assert_non_null(header);
    assert_int_equal(fread(header, 1, header_bytes, f), header_bytes);
    g.header = json_loadb(header, header_bytes, 0, NULL);
    assert_non_null(g.header);
    free(header);
    g.data = malloc(1 << 20);
    assert_non_null(g.data);
    assert_true(fread(g.data, 1, 1 << 20, f) > 0);
    fclose(f);
    return g;
}

static const uint8_t *tensor(const struct golden *g, const char *type, const char *what, size_t *bytes)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", type, what);
    json_t *offsets = json_object_get(json_object_get(g->header, name), "data_offsets");
    if (!offsets)
        return NULL;
    size_t first = (size_t)json_integer_value(json_array_get(offsets, 0));
    *bytes = (size_t)json_integer_value(json_array_get(offsets, 1)) - first;
    return g->data + first;
}

static void every_type_has_its_golden_values(void **state)
{
    (void)state;
    struct golden g = load_golden();
#define X(id, number, name, block, size) number,
    static const uint32_t numbers[] = {WM_TYPES(X)};
#undef X
    for (size_t i = 0; i < COUNT(numbers); i++) {
        const struct wm_type_info *info = wm_type_info(numbers[i]);
        size_t block_bytes, value_bytes;
        const uint8_t *blocks = tensor(&g, info->name, "blocks", &block_bytes);
        const uint8_t *values = tensor(&g, info->name, "values", &value_bytes);
        if (!blocks) {
            assert_true(info->type == WM_TYPE_F32 || info->type == WM_TYPE_I4); /* see below */
            continue;
        }
        size_t count = value_bytes / sizeof(float);
        assert_int_equal(block_bytes, count / info->block * info->bytes);
        float *got = malloc(value_bytes);
        uint8_t *unaligned = malloc(block_bytes + 1);
        assert_true(got && unaligned);
        memcpy(unaligned + 1, blocks, block_bytes);
        wm_dequantize(info->type, unaligned + 1, count, got);
        for (size_t v = 0; v < count; v++)
            if (memcmp(&got[v], values + v * sizeof(float), sizeof(float)) != 0) {
                float want;
                memcpy(&want, values + v * sizeof(float), sizeof want);
                if (want == want || got[v] == got[v]) /* any NaN will do for a NaN */
                    fail_msg("%s: value %zu is %.9g, should be %.9g", info->name, v, (double)got[v],
                             (double)want);
            }
        free(unaligned);
        free(got);
    }
    json_decref(g.header);
    free(g.data);
}

/* Blocks of zeros but for a few bytes, worked out by hand from the formats' descriptions: the corners of each field. */
#define ONE(at)                                                                                              \
    {                                                                                                        \
        (at) + 1, 0x3c                                                                                       \
    }
#define TWO(at)                                                                                              \
    {                                                                                                        \
        (at) + 1, 0x40                                                                                       \
    }
static const struct {
    enum wm_type type;
    struct {
        int at;
        uint8_t byte;
    } set[9];
    int element;
    float want;
} BLOCKS[] = {
    {WM_TYPE_BF16, {{0, 0xc0}, {1, 0x3f}}, 0, 1.5f},
    {WM_TYPE_Q4_0, {ONE(0), {7, 0x7c}}, 5, 4},
    {WM_TYPE_Q4_0, {ONE(0), {7, 0x7c}}, 21, -1},
    {WM_TYPE_Q4_1, {ONE(0), TWO(2), {4, 0x31}}, 0, 3},
    {WM_TYPE_Q4_1, {ONE(0), TWO(2), {4, 0x31}}, 16, 5},
    {WM_TYPE_Q5_0, {ONE(0), {2, 0x08}, {9, 0x5a}}, 3, 10},
    {WM_TYPE_Q5_0, {ONE(0), {2, 0x08}, {9, 0x5a}}, 19, -11},
    {WM_TYPE_Q5_0, {ONE(0), {4, 0x08}, {9, 0x5a}}, 19, 5},
    {WM_TYPE_Q5_1, {ONE(0), TWO(2), {4, 0x01}, {8, 0x0f}}, 0, 33},
    {WM_TYPE_Q5_1, {ONE(0), TWO(2), {7, 0x80}, {23, 0xf0}}, 31, 33},
    {WM_TYPE_Q8_0, {ONE(0), {33, 0x80}}, 31, -128},
    {WM_TYPE_Q2_K, {ONE(80), TWO(82), {8, 0x53}, {50, 0x02}}, 130, -4},
    {WM_TYPE_Q2_K, {ONE(80), TWO(82), {3, 0x11}, {34, 0x0c}}, 50, 1},
    {WM_TYPE_Q3_K, {ONE(108), {96, 0x05}, {104, 0x02}, {32, 0x03}}, 0, -5},
    {WM_TYPE_Q3_K, {ONE(108), {96, 0x05}, {104, 0x02}, {32, 0x03}, {0, 0x01}}, 0, 15},
    {WM_TYPE_Q3_K, {ONE(108), {103, 0xf0}, {107, 0xc0}, {95, 0xc0}, {31, 0x80}}, 255, 93},
    {WM_TYPE_Q4_K, {ONE(0), TWO(2), {4, 0x3f}, {8, 0x02}, {16, 0x0f}}, 0, 941},
    {WM_TYPE_Q4_K, {ONE(0), TWO(2), {7, 0xc0}, {11, 0x40}, {15, 0x2a}, {143, 0x70}}, 255, 370},
    {WM_TYPE_Q5_K, {ONE(0), TWO(2), {7, 0xc0}, {11, 0x40}, {15, 0x2a}, {47, 0x80}, {175, 0x70}}, 255, 1298},
    {WM_TYPE_Q6_K, {ONE(208), {127, 0x50}, {191, 0x80}, {207, 0xfe}}, 255, -10},
    {WM_TYPE_IQ4_NL, {ONE(0), {6, 0x1f}}, 4, 113},
    {WM_TYPE_IQ4_NL, {ONE(0), {6, 0x1f}}, 20, -104},
    {WM_TYPE_IQ4_XS, {ONE(0), {3, 0x80}, {7, 0x90}}, 255, -1143},
    {WM_TYPE_IQ4_XS, {ONE(0), {2, 0x03}, {4, 0x0f}, {8, 0x08}}, 0, 31},
    {WM_TYPE_F8_E4M3, {{0, 0x01}}, 0, 0x1p-9f},
    {WM_TYPE_F8_E4M3, {{0, 0x87}}, 0, -7 * 0x1p-9f},
    {WM_TYPE_F8_E4M3, {{0, 0x08}}, 0, 0x1p-6f},
    {WM_TYPE_F8_E4M3, {{0, 0x3c}}, 0, 1.5f},
    {WM_TYPE_F8_E4M3, {{0, 0xfe}}, 0, -448},
};

static void blocks_worked_out_by_hand_have_their_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(BLOCKS); i++) {
        const struct wm_type_info *info = wm_type_info(BLOCKS[i].type);
        uint8_t block[256] = {0};
        float out[256];
        for (size_t j = 0; j < COUNT(BLOCKS[i].set); j++)
            block[BLOCKS[i].set[j].at] |= BLOCKS[i].set[j].byte;
        assert_true(info->bytes <= sizeof block && info->block <= COUNT(out));
        wm_dequantize(info->type, block, info->block, out);
        if (memcmp(&out[BLOCKS[i].element], &BLOCKS[i].want, sizeof *out) != 0)
            fail_msg("case %zu: element %d of a block of %s is %g, should be %g", i, BLOCKS[i].element,
                     info->name, (double)out[BLOCKS[i].element], (double)BLOCKS[i].want);
    }
    float nan[2];
    wm_dequantize(WM_TYPE_F8_E4M3, "\x7f\xff", 2, nan);
    assert_true(isnan(nan[0]) && isnan(nan[1]));
}

static void f32_is_copied_bit_for_bit(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0, 0x80000000, 1, 0x3f800000, 0x7f800000, 0x7fc00001, 0x00800000};
    float out[COUNT(bits)];
    wm_dequantize(WM_TYPE_F32, bits, COUNT(bits), out);
    assert_memory_equal(out, bits, sizeof bits);
}

static void i4_counts_from_the_lowest_nibble_of_a_word(void **state)
{
    (void)state;
    static const uint8_t word[] = {0x10, 0x32, 0x98, 0xfe}; /* 0xfe983210, little-endian */
    static const float want[] = {-8, -7, -6, -5, 0, 1, 6, 7};
    float out[COUNT(want)];
    wm_dequantize(WM_TYPE_I4, word, COUNT(want), out);
    assert_memory_equal(out, want, sizeof want);
}

static void half_floats_have_their_edges(void **state)
{
    (void)state;
    static const struct {
        uint16_t half;
        float value;
    } cases[] = {{0x0000, 0.0f},     {0x0001, 0x1p-24f},  {0x03ff, 0x1.ff8p-15f},
                 {0x0400, 0x1p-14f}, {0x3c00, 1.0f},      {0x7bff, 65504.0f},
                 {0xbc00, -1.0f},    {0x8001, -0x1p-24f}, {0x3555, 0x1.554p-2f}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        float out;
        wm_dequantize(WM_TYPE_F16, &cases[i].half, 1, &out);
        CHECK_NEAR((double)out, (double)cases[i].value, 0);
    }
    float infinity;
    wm_dequantize(WM_TYPE_F16, &(uint16_t){0x7c00}, 1, &infinity);
    assert_true(infinity > 3e38f);
}

static void an_unknown_type_is_not_found(void **state)
{
    (void)state;
    assert_null(wm_type_info(4));
    assert_null(wm_type_info(999));
    assert_null(wm_type_info(1002));
    assert_string_equal(wm_type_info(3)->name, "Q4_1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_its_golden_values),
        cmocka_unit_test(blocks_worked_out_by_hand_have_their_values),
        cmocka_unit_test(f32_is_copied_bit_for_bit),
        cmocka_unit_test(i4_counts_from_the_lowest_nibble_of_a_word),
        cmocka_unit_test(half_floats_have_their_edges),
        cmocka_unit_test(an_unknown_type_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

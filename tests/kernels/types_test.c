/* types_test.c -- dequantised blocks have exactly the values that the formats define. */
#include "tests/check.h"

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
    assert_string_equal(wm_type_info(3)->name, "Q4_1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_its_golden_values),
        cmocka_unit_test(f32_is_copied_bit_for_bit),
        cmocka_unit_test(i4_counts_from_the_lowest_nibble_of_a_word),
        cmocka_unit_test(half_floats_have_their_edges),
        cmocka_unit_test(an_unknown_type_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

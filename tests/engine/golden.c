/* golden.c -- see golden.h. Tests run in the source folder, so paths are relative to it. */
#include "tests/engine/golden.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *golden_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "../shared/golden/%s", name);
    return access(path, R_OK) == 0 ? path : NULL;
}

json_t *golden_json(const char *name)
{
    const char *path = golden_path(name);
    if (!path)
        return NULL;
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return root;
}

const char *small_model(void)
{
    const char *path = getenv("WM_MODEL");
    if (!path || !*path)
        path = "build/models/SmolLM2-135M-Instruct.Q4_1.gguf";
    return access(path, R_OK) == 0 ? path : NULL;
}

double *golden_tensor(const char *name, const char *tensor, size_t *n)
{
    const char *path = golden_path(name);
    double *values = path ? tensor_of(path, tensor, n) : NULL;
    if (!values)
        fail_msg("%s cannot be read, or has no tensor %s", name, tensor);
    return values;
}

/* One element of a type that golden files use. */
static double element_at(const uint8_t *at, size_t bytes, bool is_int)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < bytes; i++)
        bits |= (uint32_t)at[i] << (8 * i);
    if (is_int)
        return (double)(int32_t)bits;
    bits <<= 8 * (4 - bytes); /* BF16 is the upper half of F32 */
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* safetensors: u64 length of a JSON header, the header, then the data its offsets count from. */
double *tensor_of(const char *path, const char *tensor, size_t *n)
{
    FILE *f = fopen(path, "rb");
    uint64_t header_len = 0;
    if (!f || fread(&header_len, sizeof header_len, 1, f) != 1 || header_len > 1 << 20)
        fail_msg("%s cannot be read", path);
    char *header = malloc(header_len);
    assert_non_null(header);
    assert_int_equal(fread(header, 1, header_len, f), header_len);
    json_t *root = json_loadb(header, header_len, 0, NULL), *entry = json_object_get(root, tensor);
    double *values = NULL;
    if (entry) {
        const json_t *offsets = json_object_get(entry, "data_offsets");
        const char *type = json_string_value(json_object_get(entry, "dtype"));
        size_t each = strcmp(type, "BF16") == 0 ? 2 : 4;
        long begin = (long)json_integer_value(json_array_get(offsets, 0));
        size_t len = (size_t)(json_integer_value(json_array_get(offsets, 1)) - begin);
        uint8_t *bytes = malloc(len + 1);
        *n = len / each;
        values = malloc(*n * sizeof *values + 1);
        assert_true(bytes && values);
        assert_int_equal(fseek(f, (long)(8 + header_len) + begin, SEEK_SET), 0);
        assert_int_equal(fread(bytes, 1, len, f), len);
        for (size_t i = 0; i < *n; i++)
            values[i] = element_at(bytes + i * each, each, strcmp(type, "I32") == 0);
        free(bytes);
    }
    json_decref(root);
    free(header);
    fclose(f);
    return values;
}

char *bytes_of_hex(const char *hex, size_t *len)
{
    *len = strlen(hex) / 2;
    char *bytes = malloc(*len + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < *len; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (char)byte;
    }
    bytes[*len] = '\0';
    return bytes;
}

void check_ids(const char *what, const struct wm_tokens *got, const json_t *want)
{
    size_t n = json_array_size(want);
    for (size_t i = 0; i < got->n && i < n; i++)
        if (got->ids[i] != json_integer_value(json_array_get(want, i)))
            fail_msg("%s: id %zu is %d, want %lld", what, i, got->ids[i],
                     (long long)json_integer_value(json_array_get(want, i)));
    if (got->n != n)
        fail_msg("%s: %zu ids, want %zu", what, got->n, n);
}

void add_json_ids(struct wm_tokens *out, const json_t *ids)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        int32_t id = (int32_t)json_integer_value(json_array_get(ids, i));
        assert_int_equal(wm_tokens_add(out, &id, 1), WM_OK);
    }
}

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

/* safetensors: u64 length of a JSON header, the header, then the data its offsets count from. */
double *golden_tensor(const char *name, const char *tensor, size_t *n)
{
    const char *path = golden_path(name);
    FILE *f = path ? fopen(path, "rb") : NULL;
    uint64_t header_len = 0;
    if (!f || fread(&header_len, sizeof header_len, 1, f) != 1 || header_len > 1 << 20)
        fail_msg("%s cannot be read", name);
    char *header = malloc(header_len);
    assert_non_null(header);
    assert_int_equal(fread(header, 1, header_len, f), header_len);
    json_t *root = json_loadb(header, header_len, 0, NULL), *entry = json_object_get(root, tensor);
    if (!entry)
        fail_msg("%s has no tensor %s", name, tensor);
    const json_t *offsets = json_object_get(entry, "data_offsets");
    long begin = (long)json_integer_value(json_array_get(offsets, 0));
    *n = (size_t)(json_integer_value(json_array_get(offsets, 1)) - begin) / 4;
    bool is_float = strcmp(json_string_value(json_object_get(entry, "dtype")), "F32") == 0;
    double *values = malloc(*n * sizeof *values);
    assert_non_null(values);
    assert_int_equal(fseek(f, (long)(8 + header_len) + begin, SEEK_SET), 0);
    for (size_t i = 0; i < *n; i++) {
        union {
            float real;
            int32_t integer;
        } v;
        assert_int_equal(fread(&v, 4, 1, f), 1);
        values[i] = is_float ? (double)v.real : (double)v.integer;
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

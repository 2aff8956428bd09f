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

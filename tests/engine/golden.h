/* golden.h -- what the engine's tests share: the golden vectors beside the tree, and the small model. */
#ifndef WM_TESTS_ENGINE_GOLDEN_H
#define WM_TESTS_ENGINE_GOLDEN_H

#include "tests/check.h"

#include <jansson.h>

#include "engine/model_file.h"
#include "engine/tokens.h"

/* ../shared/golden/NAME parsed; NULL when it is not there. The caller decrefs. */
json_t *golden_json(const char *name);

/* The path of ../shared/golden/NAME, in a buffer that the next call overwrites; NULL when it is not there. */
const char *golden_path(const char *name);

/* The small model's path (WM_MODEL, or build/models/...); NULL when it is not there. */
const char *small_model(void);

#define GOLDEN_OR_SKIP(json, name)                                                                           \
    json_t *json = golden_json(name);                                                                        \
    if (!json)                                                                                               \
    SKIP("no ../shared/golden/" name)

#define SMALL_MODEL_OR_SKIP(path)                                                                            \
    const char *path = small_model();                                                                        \
    if (!path)                                                                                               \
    SKIP("no small model: WM_MODEL and build/models/ are empty")

/* A tensor of ../shared/golden/NAME (safetensors, F32 or I32): its values as doubles, `*n` of them. The caller frees.
 * Fails the test when the file or the tensor is not there. */
double *golden_tensor(const char *name, const char *tensor, size_t *n);

/* The same of any safetensors file, also BF16; NULL when it has no such tensor. */
double *tensor_of(const char *path, const char *tensor, size_t *n);

/* Bytes of a string of hexadecimal digits; the caller frees. */
char *bytes_of_hex(const char *hex, size_t *len);

/* Fails the test unless `got` holds the ids of the JSON array `want`. */
void check_ids(const char *what, const struct wm_tokens *got, const json_t *want);

/* Appends the ids of a JSON array. */
void add_json_ids(struct wm_tokens *out, const json_t *ids);

#endif

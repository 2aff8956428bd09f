/* model_file.h -- a model as it lies on disk: metadata by key, tensors by name.
 *
 * The file is mapped, never copied; everything handed out is borrowed and lives until wm_model_file_close. Each kind of
 * container has a reader (gguf.c) that checks every byte before it believes it; what comes out of here is inside
 * the mapping. A file that is cut short by somebody *while* it is mapped kills the process (SIGBUS), as with any
 * mapping: replace model files by rename, never in place.
 *
 * Any thread, once opened: nothing changes afterwards.
 */
#ifndef WM_ENGINE_MODEL_FILE_H
#define WM_ENGINE_MODEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"
#include "kernels/ops.h"

enum { WM_TENSOR_DIMS = 4 };

enum wm_meta_kind { WM_META_INT, WM_META_FLOAT, WM_META_BOOL, WM_META_STRING, WM_META_ARRAY };

/* One metadata value. Unsigned 64-bit values past INT64_MAX are kept as WM_META_FLOAT. */
struct wm_meta {
    const char *key; /* printable ASCII, NUL-terminated */
    enum wm_meta_kind kind;
    union {
        int64_t integer; /* WM_META_BOOL too: 0 or 1 */
        double real;
        struct {
            const char *bytes; /* not NUL-terminated, any bytes */
            size_t len;
        } string;
        struct {
            enum wm_meta_kind of; /* never WM_META_ARRAY */
            uint32_t element;     /* the container's own element type */
            uint64_t count;
            const uint8_t *data, *end;
        } array;
    };
};

struct wm_tensor {
    const char *name; /* printable ASCII, NUL-terminated */
    uint32_t type;    /* GGUF's number; wm_type_info may not know it */
    int n_dims;
    int64_t dims[WM_TENSOR_DIMS]; /* dims[0] is a row's length; those past n_dims are 1 */
    const void *data;
    uint64_t bytes; /* 0 when the type is unknown */
};

struct wm_model_file;

/* WM_ENOENT, WM_EIO; WM_EFORMAT with what is wrong at which byte. */
enum wm_status wm_model_file_open(const char *path, struct wm_model_file **out, struct wm_error *err);

/* As open, from memory that the caller keeps until close. `name` is for the sentences. */
enum wm_status wm_model_file_parse(const char *name, const void *bytes, size_t len,
                                   struct wm_model_file **out, struct wm_error *err);
void wm_model_file_close(struct wm_model_file *f); /* NULL is fine */

const char *wm_model_file_name(const struct wm_model_file *f); /* as given to open */
const char *wm_model_file_form(const struct wm_model_file *f); /* "GGUF 3" */
uint64_t wm_model_file_bytes(const struct wm_model_file *f);

/* --- metadata ------------------------------------------------------------------------------------------------ */

size_t wm_model_file_metas(const struct wm_model_file *f);
const struct wm_meta *wm_model_file_meta_at(const struct wm_model_file *f,
                                            size_t i); /* in the order of the keys */
const struct wm_meta *wm_model_file_meta(const struct wm_model_file *f,
                                         const char *key); /* NULL: not there */

/* The value of `key`, which must be of that kind and within [min, max]; `fallback` when it is absent, or, when
 * `fallback` lies outside the range, a sentence that the key is missing. */
enum wm_status wm_model_file_int(const struct wm_model_file *f, const char *key, int64_t min, int64_t max,
                                 int64_t fallback, int64_t *out, struct wm_error *err);
enum wm_status wm_model_file_float(const struct wm_model_file *f, const char *key, double min, double max,
                                   double fallback, double *out, struct wm_error *err);

/* Walks an array of strings: `at` starts as array.data; false at the end. */
bool wm_meta_next_string(const struct wm_meta *meta, const uint8_t **at, const char **bytes, size_t *len);

/* Element i of an array of integers or bools, i < count. */
int64_t wm_meta_array_int(const struct wm_meta *meta, uint64_t i);

/* --- tensors ------------------------------------------------------------------------------------------------- */

size_t wm_model_file_tensors(const struct wm_model_file *f);
const struct wm_tensor *wm_model_file_tensor_at(const struct wm_model_file *f,
                                                size_t i); /* in the order of names */
const struct wm_tensor *wm_model_file_tensor(const struct wm_model_file *f,
                                             const char *name); /* NULL: not there */

/* The tensor of that name as rows x cols; it must exist with exactly that shape and a type that this build reads. */
enum wm_status wm_model_file_matrix(const struct wm_model_file *f, const char *name, int64_t rows,
                                    int64_t cols, struct wm_matrix *out, struct wm_error *err);

/* A vector of `n` elements, converted to float into `out`. */
enum wm_status wm_model_file_vector(const struct wm_model_file *f, const char *name, int64_t n, float *out,
                                    struct wm_error *err);

#endif

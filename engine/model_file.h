/* model_file.h -- a model as it lies on disk: metadata by key, tensors by name, documents by name.
 *
 * A model is one GGUF file, the parts of a split GGUF, or a Hugging Face folder (safetensors beside
 * config.json). Its files are mapped, never copied; everything handed out is borrowed and lives until
 * wm_model_file_close. Opening reads the heads of the files and nothing else: weights come from disk when
 * they are first used. Each kind of container has a reader (gguf.c, safetensors.c) that checks every byte
 * before it believes it; what comes out of here is inside a mapping. A file that is cut short by somebody
 * *while* it is mapped kills the process (SIGBUS), as with any mapping: replace model files by rename, never in place.
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

/* Types of tensors that are no weights themselves, beside those of kernels/types.h: id, number (GGUF's where
 * it has one), name in safetensors, bytes of an element. */
#define WM_PLAIN_TYPES(X)                                                                                    \
    X(I8, 24, "I8", 1)                                                                                       \
    X(I16, 25, "I16", 2)                                                                                     \
    X(I32, 26, "I32", 4)                                                                                     \
    X(I64, 27, "I64", 8)                                                                                     \
    X(F64, 28, "F64", 8)                                                                                     \
    X(U8, 2000, "U8", 1)                                                                                     \
    X(U16, 2001, "U16", 2)                                                                                   \
    X(U32, 2002, "U32", 4)                                                                                   \
    X(U64, 2003, "U64", 8)                                                                                   \
    X(BOOL, 2004, "BOOL", 1)                                                                                 \
    X(F8_E5M2, 2005, "F8_E5M2", 1)                                                                           \
    X(F8_E8M0, 2006, "F8_E8M0", 1)

enum wm_plain_type {
#define X(id, number, name, bytes) WM_PLAIN_##id = number,
    WM_PLAIN_TYPES(X)
#undef X
};

struct wm_tensor {
    const char *name; /* printable ASCII, NUL-terminated */
    const char *file; /* the file that holds it */
    bool mapped;      /* data lies in a read-only mapping of that file */
    uint32_t type;    /* GGUF's number, or one of ours; wm_type_info may not know it */
    int n_dims;
    int64_t dims[WM_TENSOR_DIMS]; /* dims[0] is a row's length; those past n_dims are 1 */
    const void *data;
    uint64_t bytes; /* 0 when the type is unknown */
};

/* One file of a model that lies in memory. */
struct wm_model_member {
    const char *name; /* within the folder */
    const void *bytes;
    size_t len;
};

struct wm_model_file;

/* `path` is a GGUF file, any part of a split one, a safetensors file, or a folder. WM_ENOENT, WM_EIO;
 * WM_EFORMAT with what is wrong in which file. */
enum wm_status wm_model_file_open(const char *path, struct wm_model_file **out, struct wm_error *err);

/* As open of one file, from memory that the caller keeps until close. `name` is for the sentences. */
enum wm_status wm_model_file_parse(const char *name, const void *bytes, size_t len,
                                   struct wm_model_file **out, struct wm_error *err);
/* As open of a folder. */
enum wm_status wm_model_file_parse_folder(const char *name, const struct wm_model_member *members,
                                          size_t count, struct wm_model_file **out, struct wm_error *err);
void wm_model_file_close(struct wm_model_file *f); /* NULL is fine */

const char *wm_model_file_name(const struct wm_model_file *f); /* as given to open */
const char *wm_model_file_form(const struct wm_model_file *f); /* "GGUF 3", "safetensors, 50 files" */
bool wm_model_file_is_gguf(const struct wm_model_file *f);     /* else it is safetensors */
uint64_t wm_model_file_bytes(const struct wm_model_file *f);   /* of all files that hold tensors */

/* The text that lies beside the weights of a folder: config.json, generation_config.json,
 * preprocessor_config.json, tokenizer.json, tokenizer_config.json, tokenizer.model, special_tokens_map.json,
 * chat_template.jinja, chat_template.json. Any bytes, not NUL-terminated. False: there is none (a GGUF has none). */
bool wm_model_file_document(const struct wm_model_file *f, const char *name, const char **bytes, size_t *len);

/* --- metadata ------------------------------------------------------------------------------------------- */

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

enum wm_status wm_model_file_bool(const struct wm_model_file *f, const char *key, bool fallback, bool *out,
                                  struct wm_error *err);
/* The value must be a string; *bytes is NULL when the key is absent. */
enum wm_status wm_model_file_text(const struct wm_model_file *f, const char *key, const char **bytes,
                                  size_t *len, struct wm_error *err);

/* Walks an array of strings: `at` starts as array.data; false at the end. */
bool wm_meta_next_string(const struct wm_meta *meta, const uint8_t **at, const char **bytes, size_t *len);

/* Element i of an array of integers or bools, i < count. */
int64_t wm_meta_array_int(const struct wm_meta *meta, uint64_t i);

/* Element i of an array of numbers of any kind, i < count. */
double wm_meta_array_float(const struct wm_meta *meta, uint64_t i);

/* --- tensors -------------------------------------------------------------------------------------------- */

/* "BF16", "I32"; NULL for a number that we do not know. */
const char *wm_tensor_type_name(uint32_t type);

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

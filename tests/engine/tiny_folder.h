/* tiny_folder.h -- Hugging Face folders made on the spot: a writer of safetensors, and a small Llama 4 in every way its experts come. */
#ifndef WM_TESTS_ENGINE_TINY_FOLDER_H
#define WM_TESTS_ENGINE_TINY_FOLDER_H

#include "tests/check.h"

#include "engine/model_file.h"
#include "kernels/base/buffer.h"

/* --- the writer ------------------------------------------------------------------------------------------------------- */

enum { TINY_MAX_TENSORS = 128 };

struct tiny_tensors {
    struct {
        char name[96];
        const char *dtype;
        int n;
        int64_t shape[4]; /* as the file writes it: rows first */
    } t[TINY_MAX_TENSORS];
    size_t n;
};

void tiny_add(struct tiny_tensors *list, const char *dtype, const char *name, int n, int64_t a, int64_t b,
              int64_t c);
void tiny_drop(struct tiny_tensors *list, const char *name);

/* A whole file; byte i of the data is 0x30 + i % 7 of each tensor: small finite numbers in every type. The caller frees. */
struct wm_buffer tiny_safetensors(const struct tiny_tensors *list);

/* A file of that header, cut or padded as the text has it, and `data` bytes behind. */
struct wm_buffer tiny_header(const char *header, size_t data);

/* --- the model ---------------------------------------------------------------------------------------------------------- */

/* How the routed experts come. */
enum tiny_experts { TINY_FUSED, TINY_FUSED_FP8, TINY_SINGLE, TINY_SINGLE_FP8, TINY_SINGLE_INT4 };

enum {
    TINY4_VOCABULARY = 32,
    TINY4_WIDTH = 16,
    TINY4_HEADS = 4,
    TINY4_KV_HEADS = 2,
    TINY4_HEAD_DIM = 4,
    TINY4_DENSE = 24,
    TINY4_EXPERTS = 2,
    TINY4_EXPERT = 8,
    TINY4_LAYERS = 2 /* the second has experts */
};

extern const char tiny4_config[];
void tiny4_tensors(struct tiny_tensors *list, enum tiny_experts experts);

/* Opens a folder of that config and one file of those tensors. `file` must stay until the model is closed. */
enum wm_status tiny4_open(const char *config, const struct wm_buffer *file, struct wm_model_file **out,
                          struct wm_error *err);

#endif

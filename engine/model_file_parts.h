/* model_file_parts.h -- what a container's reader fills in; only model_file.c and the readers include it. */
#ifndef WM_ENGINE_MODEL_FILE_PARTS_H
#define WM_ENGINE_MODEL_FILE_PARTS_H

#include "engine/model_file.h"

struct wm_model_file {
    char *name;
    char form[16];
    const uint8_t *bytes;
    size_t len;
    bool mapped;
    struct wm_meta *metas; /* sorted by key; keys are owned */
    size_t n_metas;
    struct wm_tensor *tensors; /* sorted by name; names are owned */
    size_t n_tensors;
};

/* Reads the container at f->bytes into metas and tensors (any order; n_* counts those whose name is set). On failure the caller
 * frees what is there. */
enum wm_status wm_gguf_read(struct wm_model_file *f, struct wm_error *err);

/* Size in bytes of one element of GGUF value type `type`; 0 for strings, arrays and unknown types. */
size_t wm_gguf_scalar_bytes(uint32_t type);
int64_t wm_gguf_scalar_int(uint32_t type, const uint8_t *at);

/* Steps over one GGUF string at *at, which the reader has already checked. */
void wm_gguf_step_string(const uint8_t **at, const char **bytes, size_t *len);

#endif

/* program.h -- forward programs: one architecture each, written over the operations of kernels/ops.h.
 *
 * A program knows what a layer is made of and nothing of files' bytes, conversations, or the machine it runs on. It is
 * driven by one thread at a time.
 */
#ifndef WM_ENGINE_PROGRAM_H
#define WM_ENGINE_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "engine/model_file.h"
#include "kernels/base/error.h"
#include "kernels/ops.h"

/* What the rest of the engine wants to know of a model. */
struct wm_model_shape {
    int32_t vocabulary;
    int32_t context; /* positions it was trained for */
    int32_t layers, width, heads, kv_heads, head_dim, hidden;
    double rms_eps, rope_base;
    double rope_linear; /* positions are divided by this */
};

struct wm_forward; /* a loaded program: weights and activations */

/* One run over a ragged batch. */
struct wm_run {
    const struct wm_batch *batch;
    const int32_t *ids; /* [batch->rows] */
    struct wm_kv *kv;
    const int32_t *want;   /* the rows whose logits are asked for, */
    int32_t n_want;        /* 0 to max_rows of them */
    struct wm_act *logits; /* [>= n_want, vocabulary]; row i belongs to want[i]. Unused when n_want is 0 */
};

struct wm_program {
    const char *architecture; /* general.architecture */

    /* Reads the sizes and checks that every tensor is there, has its shape and a type we read, and that there is none
     * the program would leave out. Reads no weights. */
    enum wm_status (*shape)(const struct wm_model_file *f, struct wm_model_shape *out, struct wm_error *err);

    /* Packs the weights; `file` must outlive the result. `progress` (may be NULL) gets 0..100. */
    enum wm_status (*load)(const struct wm_model_file *f, const struct wm_model_shape *shape,
                           const struct wm_ops *ops, struct wm_backend *be, int32_t max_rows,
                           void (*progress)(void *arg, int percent), void *arg, struct wm_forward **out,
                           struct wm_error *err);
    void (*free)(struct wm_forward *p); /* NULL is fine */

    enum wm_status (*run)(struct wm_forward *p, const struct wm_run *run, struct wm_error *err);
    size_t (*weight_bytes)(const struct wm_forward *p); /* packed, beyond the mapping */
    struct wm_kv_shape (*kv_shape)(const struct wm_model_shape *shape, int32_t blocks);
};

/* The program for the file's architecture; WM_EUNSUPPORTED names those there are. */
enum wm_status wm_program_find(const struct wm_model_file *f, const struct wm_program **out,
                               struct wm_error *err);

#endif

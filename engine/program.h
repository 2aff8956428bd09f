/* program.h -- the forward program: what the decoders of the Llama families are made of, over the operations
 * of kernels/ops.h. Design: program.c (the run), program_load.c (the weights).
 *
 * A program knows what a layer is made of and nothing of files' bytes, conversations, or the machine it runs
 * on. It is driven by one thread at a time.
 */
#ifndef WM_ENGINE_PROGRAM_H
#define WM_ENGINE_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "engine/arch.h"
#include "engine/parts.h"
#include "kernels/base/error.h"
#include "kernels/ops.h"

struct wm_program; /* a loaded model: weights and activations */

/* The layer groups of the KV cache, and the tables of a span. A group without layers has no pool and its
 * tables are not looked at. */
enum {
    WM_GROUP_GLOBAL, /* layers that see the whole history */
    WM_GROUP_LOCAL   /* layers that see the current chunk only */
};

static inline int wm_layer_group(const struct wm_arch *arch, int32_t layer)
{
    return arch->chunk > 0 && arch->rope[layer] ? WM_GROUP_LOCAL : WM_GROUP_GLOBAL;
}

/* The shape of a group's pool of `blocks` blocks; its `layers` is 0 when the model has none of that group. */
struct wm_kv_shape wm_program_kv_shape(const struct wm_arch *arch, int group, int32_t blocks);

/* Rows of a run whose embeddings come from a picture, not from the table: [row, row + rows) of the batch take
 * from[from_row ...], which is as wide as the model. Their ids are looked up all the same: any valid one will
 * do. */
struct wm_graft {
    const struct wm_act *from;
    int32_t from_row, row, rows;
};

/* Adds one row to the `n` grafts of a list, which has room for one more: the last one grows where it can. */
void wm_graft_add(struct wm_graft *grafts, int32_t *n, const struct wm_act *from, int32_t from_row,
                  int32_t row);

/* One run over a ragged batch. */
struct wm_run {
    const struct wm_batch *batch;
    const int32_t *ids; /* [batch->rows], each within the vocabulary */
    const struct wm_graft *grafts;
    int32_t n_grafts;
    struct wm_kv *kv[WM_KV_GROUPS]; /* NULL for a group without layers */
    const int32_t *want;            /* the rows whose logits are asked for, */
    int32_t n_want;                 /* 0 to max_rows of them */
    struct wm_act *logits; /* [>= n_want, vocabulary]; row i belongs to want[i]. Unused when n_want is 0 */
};

/* Packs the weights (those of experts when they are first needed); the files and `parts->arch` must outlive
 * the result. `progress` (may be NULL) gets 0..100. WM_EFORMAT, WM_EUNSUPPORTED: as wm_part_matrix. */
enum wm_status wm_program_load(const struct wm_parts *parts, const struct wm_ops *ops, struct wm_backend *be,
                               int32_t max_rows, void (*progress)(void *arg, int percent), void *arg,
                               struct wm_program **out, struct wm_error *err);
void wm_program_free(struct wm_program *p); /* NULL is fine */

/* 1 to max_rows rows. After a failure the KV of the batch's positions may hold anything. */
enum wm_status wm_program_run(struct wm_program *p, const struct wm_run *run, struct wm_error *err);

/* Bytes of packed weights beyond the mapping; grows as experts are used. */
size_t wm_program_weight_bytes(const struct wm_program *p);

#endif

/* face.h -- what the files of the reference face share. */
#ifndef WM_KERNELS_REFERENCE_FACE_H
#define WM_KERNELS_REFERENCE_FACE_H

#include "kernels/ops.h"

struct wm_backend {
    size_t scratch_count; /* doubles */
    double *scratch;      /* grows on demand; content is valid within one operation */
};

struct wm_act {
    int32_t rows, width;
    double *data; /* [rows, width] */
};

/* `count` doubles of scratch, or NULL when memory ran out. */
double *reference_scratch(struct wm_backend *be, size_t count);

/* The operations, one file each (ops.h has their contracts). */
enum wm_status reference_weight_new(struct wm_backend *be, const struct wm_matrix *parts, int n_parts,
                                    enum wm_use use, struct wm_weight **out, struct wm_error *err);
void reference_weight_free(struct wm_backend *be, struct wm_weight *w);
size_t reference_weight_bytes(const struct wm_weight *w);
enum wm_status reference_embed(struct wm_backend *be, const struct wm_weight *table, const int32_t *ids,
                               int32_t rows, struct wm_act *x, struct wm_error *err);
enum wm_status reference_matmul(struct wm_backend *be, const struct wm_matmul *op, struct wm_error *err);

enum wm_status reference_copy_rows(struct wm_backend *be, const struct wm_act *from, int32_t from_row,
                                   struct wm_act *to, int32_t to_row, int32_t rows, struct wm_error *err);
enum wm_status reference_layer_norm(struct wm_backend *be, struct wm_act *x, int32_t rows, const float *norm,
                                    const float *norm_bias, float eps, struct wm_error *err);
enum wm_status reference_pixel_shuffle(struct wm_backend *be, const struct wm_pixel_shuffle *op,
                                       struct wm_error *err);
enum wm_status reference_tile_attention(struct wm_backend *be, const struct wm_tile_attention *op,
                                        struct wm_error *err);
/* The layer norm of one row of n; out may be x. */
void reference_layer_norm_row(const double *x, int64_t n, const float *norm, const float *norm_bias,
                              double eps, double *out);

enum wm_status reference_experts_new(struct wm_backend *be, const struct wm_expert_matrices *experts,
                                     int32_t n, struct wm_experts **out, struct wm_error *err);
void reference_experts_free(struct wm_backend *be, struct wm_experts *x);
size_t reference_experts_bytes(const struct wm_experts *x);
enum wm_status reference_route(struct wm_backend *be, const struct wm_route *op, struct wm_error *err);
enum wm_status reference_expert_run(struct wm_backend *be, const struct wm_expert_run *op,
                                    struct wm_error *err);

size_t reference_kv_block_bytes(const struct wm_kv_shape *shape);
enum wm_status reference_kv_new(struct wm_backend *be, const struct wm_kv_shape *shape, struct wm_kv **out,
                                struct wm_error *err);
void reference_kv_free(struct wm_backend *be, struct wm_kv *kv);
void reference_kv_discard(struct wm_backend *be, struct wm_kv *kv, int32_t block);
/* K (which = 0) or V (1) of one position and head: [head_dim] doubles inside the pool. */
double *reference_kv_at(const struct wm_kv *kv, const struct wm_span *span, int32_t group, int32_t layer,
                        int64_t position, int which, int32_t head);

enum wm_status reference_qkv_post(struct wm_backend *be, const struct wm_batch *batch,
                                  const struct wm_qkv_post *op, struct wm_error *err);
enum wm_status reference_attention(struct wm_backend *be, const struct wm_batch *batch,
                                   const struct wm_attention *op, struct wm_error *err);
enum wm_status reference_sample(struct wm_backend *be, const struct wm_act *logits, int32_t vocabulary,
                                const struct wm_sample_row *how, int32_t rows, struct wm_sampled *out,
                                struct wm_error *err);

#endif

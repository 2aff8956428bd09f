/* face.h -- what the files of the cpu face share. */
#ifndef WM_KERNELS_CPU_FACE_H
#define WM_KERNELS_CPU_FACE_H

#include "kernels/cpu/path.h"
#include "kernels/cpu/workers.h"
#include "kernels/ops.h"

/* Memory that an operation needs while it runs; grows on demand, starts at a cache line. */
struct scratch {
    void *memory;
    size_t bytes;
};

struct wm_backend {
    const struct wm_cpu_path *path;
    struct wm_workers *workers;
    struct scratch groups, floats;        /* of a product: the tiles of its input */
    struct scratch routing, hidden, sums; /* of experts: see experts.c */
    struct scratch angles;                /* qkv_post: see kv.c */
    struct scratch items, parts;          /* attention: its work list, partial results */
    struct scratch tiles;                 /* attention: two struct wm_attend for each worker */
    struct scratch pictures;              /* tile_attention: see tile_attention.c */
    struct scratch candidates;            /* sample */
    char text[128];
};

struct wm_act {
    int32_t rows, width;
    size_t stride; /* floats from row to row: a multiple of 16 */
    float *data;   /* at a cache line */
};

static inline float *act_row(const struct wm_act *act, int32_t row)
{
    return act->data + (size_t)row * act->stride;
}

/* A pointer to `bytes` of scratch, or NULL when memory ran out. */
void *cpu_scratch(struct scratch *s, size_t bytes);

/* The path of this machine, or the one that WM_CPU_PATH names. */
enum wm_status cpu_path(const struct wm_cpu_path **out, struct wm_error *err);

/* --- pack.c, pack_codes.c: matrices to panels ----------------------------------------------------------- */

/* A run of panels of one part of the matrix. */
struct panels {
    enum wm_cpu_format format;
    int64_t rows;      /* outputs; the last panel may hold fewer than WM_PANEL */
    int64_t first_out; /* its place among the outputs of the whole weight */
    size_t segment;    /* inputs: see path.h */
    size_t panel_bytes;
    uint8_t *data;
    size_t bytes;
};

/* Packs the matrix, on all workers, and gives the pages of a mapped one back. Everything in *out but first_out is
 * written; the caller frees out->data. */
enum wm_status cpu_pack(struct wm_backend *be, const struct wm_matrix *m, enum wm_use use, struct panels *out,
                        struct wm_error *err);

/* Packs one row of a matrix of blocks into its panel, whose bytes are zero before. */
void cpu_pack_codes(const struct wm_matrix *m, const struct panels *to, int64_t row);

/* --- weights.c: packed matrices ------------------------------------------------------------------------- */

struct wm_weight {
    int64_t rows, cols;
    bool any_codes, any_floats; /* which form of activations it wants */
    int n_parts;
    struct wm_matrix *parts; /* for lookups; data is borrowed */
    struct panels *panels;   /* one for each part; NULL data with WM_USE_LOOKUP */
};

enum wm_status cpu_weight_new(struct wm_backend *be, const struct wm_matrix *parts, int n_parts,
                              enum wm_use use, struct wm_weight **out, struct wm_error *err);
void cpu_weight_free(struct wm_backend *be, struct wm_weight *w);
size_t cpu_weight_bytes(const struct wm_weight *w);
enum wm_status cpu_embed(struct wm_backend *be, const struct wm_weight *table, const int32_t *ids,
                         int32_t rows, struct wm_act *x, struct wm_error *err);

/* --- matmul.c ------------------------------------------------------------------------------------------- */

enum wm_status cpu_matmul(struct wm_backend *be, const struct wm_matmul *op, struct wm_error *err);

/* Rows [first_row, first_row + rows) of a product, rows >= 1, which meet a weight of their own. */
struct cpu_run {
    const struct wm_weight *w;
    int32_t first_row, rows;
    /* matmul.c's own */
    int tile_rows, tiles, first_tile;
    int64_t first_panel;
};

/* The product that `op` describes (its w is not used), as n_runs >= 1 runs that follow each other and cover
 * rows [0, op->rows). The weights have the same rows and cols. scores, one for each row, multiply the normed input;
 * NULL: 1. A row's bits are those it would have with its weight alone. */
enum wm_status cpu_matmul_runs(struct wm_backend *be, const struct wm_matmul *op, const float *scores,
                               struct cpu_run *runs, int n_runs, struct wm_error *err);

/* --- experts.c ------------------------------------------------------------------------------------------ */

enum wm_status cpu_experts_new(struct wm_backend *be, const struct wm_expert_matrices *experts, int32_t n,
                               struct wm_experts **out, struct wm_error *err);
void cpu_experts_free(struct wm_backend *be, struct wm_experts *x);
size_t cpu_experts_bytes(const struct wm_experts *x);
enum wm_status cpu_route(struct wm_backend *be, const struct wm_route *op, struct wm_error *err);
enum wm_status cpu_expert_run(struct wm_backend *be, const struct wm_expert_run *op, struct wm_error *err);

/* --- kv.c: the pool, rope ------------------------------------------------------------------------------- */

size_t cpu_kv_block_bytes(const struct wm_kv_shape *shape);
enum wm_status cpu_kv_new(struct wm_backend *be, const struct wm_kv_shape *shape, struct wm_kv **out,
                          struct wm_error *err);
void cpu_kv_free(struct wm_backend *be, struct wm_kv *kv);
void cpu_kv_discard(struct wm_backend *be, struct wm_kv *kv, int32_t block);
enum wm_status cpu_qkv_post(struct wm_backend *be, const struct wm_batch *batch, const struct wm_qkv_post *op,
                            struct wm_error *err);

/* K of one head in one layer of a block (laid out as path.h says); V lies wm_k_bytes behind it. */
uint8_t *cpu_kv_head(const struct wm_kv *kv, int32_t block, int32_t layer, int32_t head);

/* --- rows.c, tile_attention.c --------------------------------------------------------------------------- */

enum wm_status cpu_copy_rows(struct wm_backend *be, const struct wm_act *from, int32_t from_row,
                             struct wm_act *to, int32_t to_row, int32_t rows, struct wm_error *err);
enum wm_status cpu_layer_norm(struct wm_backend *be, struct wm_act *x, int32_t rows, const float *norm,
                              const float *norm_bias, float eps, struct wm_error *err);
enum wm_status cpu_pixel_shuffle(struct wm_backend *be, const struct wm_pixel_shuffle *op,
                                 struct wm_error *err);
enum wm_status cpu_tile_attention(struct wm_backend *be, const struct wm_tile_attention *op,
                                  struct wm_error *err);

/* --- attention.c, sample.c ------------------------------------------------------------------------------ */

enum wm_status cpu_attention(struct wm_backend *be, const struct wm_batch *batch,
                             const struct wm_attention *op, struct wm_error *err);
enum wm_status cpu_sample(struct wm_backend *be, const struct wm_act *logits, int32_t vocabulary,
                          const struct wm_sample_row *how, int32_t rows, struct wm_sampled *out,
                          struct wm_error *err);

#endif

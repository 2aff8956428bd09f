/* ops.h -- the operation contract: what a forward program may ask of any face.
 *
 * A *face* is an implementation of every operation for one kind of machine: `reference` (double precision,
 * plain, obviously right), `cpu` (fast), `cuda`. A forward program (engine/) is written once, calls these
 * operations in order, and never learns which face runs it.
 *
 *   weights      packed once, at load, into the face's own layout; several tensors may be stacked by rows so
 *                that one product serves them all (q, k and v; gate and up)
 *   activations  `struct wm_act`: rows x width in the face's own memory and precision; opaque here
 *   KV           `struct wm_kv`: a pool of blocks of WM_KV_BLOCK positions of K and V, all layers of one layer
 *                group; which block holds what is the caller's business (a table of block numbers per sequence)
 *   batch        every operation takes a *ragged* batch: rows of several sequences at once. A row's result does
 *                not depend on which other rows are in the batch, nor on how a prompt was cut into slices:
 *                bit for bit, on one face and one machine.
 *
 * Threads: one backend is driven by one thread at a time; it may use workers of its own inside.
 * Errors: operations fail only where a device can (WM_EIO) or scratch memory ran out (WM_ENOMEM). Shapes are the
 * caller's promise: they are checked by assert, not reported.
 */
#ifndef WM_KERNELS_OPS_H
#define WM_KERNELS_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"
#include "kernels/types.h"

enum {
    WM_KV_BLOCK = 32, /* positions in one KV block */
    WM_KV_GROUPS =
        2, /* layer groups a sequence may have a table for: 0 whole history, 1 current chunk only */
    WM_MAX_HEAD_DIM = 256 /* elements of one attention head */
};

struct wm_backend; /* one face on one machine: workers or a device, and scratch memory */
struct wm_act;     /* activations: [rows, width] */
struct wm_weight;  /* a packed matrix [out, in] */
struct wm_experts; /* the routed experts of one layer, packed */
struct wm_routes;  /* which experts each row goes to, and how strongly: [rows, used] */
struct wm_kv;      /* a pool of KV blocks of one layer group */

struct wm_backend_options {
    int threads; /* threads that compute, the caller's included; >= 1 */
};

/* Scales that a file keeps beside the codes of a matrix: element (r, c) is its code's value times
 * scale[(r / row_group) * row_step + (c / col_group) * col_step]. One for all: both steps 0. One per row: row_group 1,
 * row_step 1, col_step 0. */
struct wm_scales {
    const void *data;                                 /* NULL: none. Borrowed like the matrix's */
    enum wm_type type;                                /* F32, F16 or BF16 */
    int64_t row_group, row_step, col_group, col_step; /* groups >= 1 */
};

/* A matrix as the file holds it: `rows` (outputs) of `cols` (inputs) elements. `data` is borrowed (mapped)
 * and must outlive every weight made from it: a face may read it in place. Usually a row's elements lie
 * together and rows follow each other; Hugging Face's fused experts lie the other way round (`transposed`: a
 * column's elements, one for each row, lie together), and only a part of each line may be ours (`stride`). */
struct wm_matrix {
    const void *data;
    enum wm_type type;
    int64_t rows,
        cols;        /* a line's length (cols, or rows when transposed) is a multiple of the type's block */
    bool transposed; /* only for types whose block is one element */
    int64_t stride;  /* elements from line to line; 0: lines follow each other */
    struct wm_scales scales;
    bool mapped; /* data lies in a read-only file mapping: a face that copied it may drop its pages from
                           memory (they come back from the file when read) */
};

/* How a weight will be used: layouts differ. */
enum wm_use {
    WM_USE_MATMUL, /* multiplied by activations */
    WM_USE_LOOKUP, /* rows are looked up by id (token embeddings) */
    WM_USE_ROUTER  /* multiplied, and every face keeps at least float32: a choice hangs on it */
};

/* The rows of one sequence in a batch: positions first_pos, first_pos + 1, ... */
struct wm_span {
    int32_t first_row; /* rows [first_row, first_row + rows) of the batch belong to it */
    int32_t rows;      /* >= 1 */
    int64_t first_pos;
    struct {
        const int32_t *blocks; /* block of position p: blocks[p / WM_KV_BLOCK - first_block] */
        int64_t first_block;   /* earlier ones were freed; 0 for the whole history */
    } table[WM_KV_GROUPS];
};

/* Spans lie one behind the other and cover rows [0, rows). */
struct wm_batch {
    int32_t rows;
    int32_t n_spans;
    const struct wm_span *spans;
};

struct wm_kv_shape {
    int32_t layers, kv_heads, head_dim;
    int32_t blocks;
};

/* What happens to the input rows before a product. */
enum wm_prologue {
    WM_PROLOGUE_NONE,
    WM_PROLOGUE_RMS_NORM,   /* x * rsqrt(mean(x^2) + eps) * norm[i] */
    WM_PROLOGUE_LAYER_NORM, /* (x - mean) * rsqrt(mean((x - mean)^2) + eps) * norm[i] + norm_bias[i] */
    WM_PROLOGUE_SWIGLU,     /* input rows are [gate | up], 2 x cols wide: silu(gate) * up */
    WM_PROLOGUE_GELU        /* x * (1 + erf(x / sqrt(2))) / 2 */
};

/* y[r, :] (+)= prologue(x[index ? index[r] : r, :]) * w^T + bias, for r in [0, rows). */
struct wm_matmul {
    const struct wm_act *x;
    const int32_t *index; /* input row of each output row; NULL: the same row */
    int32_t rows;
    enum wm_prologue prologue;
    const float *norm;      /* [cols], host memory, with WM_PROLOGUE_RMS_NORM and WM_PROLOGUE_LAYER_NORM */
    const float *norm_bias; /* [cols], host memory, with WM_PROLOGUE_LAYER_NORM */
    float eps;
    const struct wm_weight *w;
    const float *bias; /* [rows of w], host memory; NULL: none */
    struct wm_act *y;  /* width >= rows of w; is not x */
    bool add;          /* add to y (residual) instead of overwriting */
    bool precise; /* a face that rounds its input to 8 bits keeps 16 here: for q, k and v, whose errors decide
                         where attention looks */
};

/* Which elements of a head are rotated together. */
enum wm_rope_pairing {
    WM_ROPE_NONE,
    WM_ROPE_ADJACENT, /* (2i, 2i + 1): Meta's own checkpoints and the llama architecture in GGUF */
    WM_ROPE_HALVES    /* (i, i + n/2): Hugging Face's llama */
};

/* --- mixture of experts: each row goes to a few of many feed-forward networks --------------------------- */

/* One expert as the file holds it: out = down * (silu(gate x) * (up x)). */
struct wm_expert_matrices {
    struct wm_matrix gate, up; /* [hidden, width] */
    struct wm_matrix down;     /* [width, hidden] */
};

/* logits[r, :] = rms_norm(x[r, :]) * w^T; the row goes to the `used` experts with the largest logits (the
 * lowest number wins a tie), each with score sigmoid(logit). */
struct wm_route {
    const struct wm_act *x;
    int32_t rows;
    const float *norm; /* [width], host memory */
    float eps;
    const struct wm_weight *w; /* WM_USE_ROUTER, [experts, width] */
    struct wm_act *logits;     /* [rows, experts] */
    struct wm_routes *routes;
};

/* y[r, :] += sum over the experts e of row r of down_e(silu(gate_e z) * (up_e z)),
 * z = score * rms_norm(x[r, :]): the score scales the expert's *input* (Llama 4: Meta's moe.py). In the order
 * of the routes. y may be x: every input is read before the first output is written. */
struct wm_expert_run {
    const struct wm_act *x;
    int32_t rows;
    const float *norm; /* [width], host memory */
    float eps;
    const struct wm_experts *experts;
    const struct wm_routes *routes;
    struct wm_act *y;
};

/* --- attention over the cache --------------------------------------------------------------------------- */

/* Between the projection and attention: rope on q and k, their norm, the temperature of q; then k and v are
 * written into the cache. */
struct wm_qkv_post {
    struct wm_act *
        qkv; /* [rows, (heads + 2 kv_heads) * head_dim]: q, k, v; q is changed in place, k and v are used up */
    int32_t heads, kv_heads, head_dim;
    enum wm_rope_pairing rope;
    const double
        *inv_freq; /* [head_dim / 2] angles per position, in radians; angle = pos * inv_freq[i] in double */
    bool qk_norm;  /* each head of q and k, after rope, times rsqrt(mean(x^2) + eps); no weights */
    float eps;
    double temperature_floor,
        temperature_scale; /* floor 0: off. q times 1 + scale * ln(floor((pos + 1) / floor) + 1) */
    struct wm_kv *kv;
    int32_t layer; /* within the pool */
    int32_t group; /* which table of the spans */
};

/* out[r, h, :] = sum over visible positions p of softmax_p(scale * q[r, h] . K[p]) * V[p]. A row at position t
 * sees p <= t; with chunk > 0 only those of its own chunk: p / chunk == t / chunk. */
struct wm_attention {
    const struct wm_act *qkv;          /* as wm_qkv_post left it; the q part is read */
    struct wm_act *out;                /* [rows, heads * head_dim] */
    int32_t heads, kv_heads, head_dim; /* heads is a multiple of kv_heads */
    float scale;
    int64_t chunk; /* 0: none */
    const struct wm_kv *kv;
    int32_t layer, group;
};

/* --- pictures ------------------------------------------------------------------------------------------- */

/* Attention in which every token of a tile sees all tokens of the same tile; nothing is cached. Tile t is
 * rows [t * tokens, (t + 1) * tokens). Before it q and k are rotated, in adjacent pairs, by the same angles
 * in every head. */
struct wm_tile_attention {
    const struct wm_act *qkv; /* [tiles * tokens, 3 * heads * head_dim]: q, k, v; may be used up */
    struct wm_act *out;       /* [tiles * tokens, heads * head_dim] */
    int32_t tiles, tokens;
    int32_t heads, head_dim;
    float scale;
    const float *cos, *sin; /* [tokens, head_dim / 2], host memory */
};

/* Makes one row of each square of factor x factor tokens: out[t, Y * (side / factor) + X] = the rows
 * (factor Y + i, factor X + j) of tile t, behind each other, i then j. Tile t's tokens lie row by row from
 * in[t * tokens]; tokens >= side^2, what is behind the square (a class token) is left out. */
struct wm_pixel_shuffle {
    const struct wm_act *in; /* [tiles * tokens, width] */
    struct wm_act *out;      /* [tiles * (side / factor)^2, width * factor^2] */
    int32_t tiles, tokens, side, factor, width;
};

/* How one row's next token is chosen. Order: temperature, then min_p, then top_k, then top_p (as vLLM). */
struct wm_sample_row {
    float temperature; /* 0: greedy; the lowest id wins a tie */
    float top_p;       /* 1: off */
    float min_p;       /* 0: off */
    int32_t top_k;     /* 0: off */
    double
        uniform; /* in [0, 1): the caller's random number; picks within the kept ids by falling probability */
};

struct wm_sampled {
    int32_t id;
    float logprob; /* natural, of the unfiltered distribution at temperature 1 */
};

struct wm_ops {
    const char *name;

    /* The caller owns *out; close it after everything made from it. */
    enum wm_status (*open)(const struct wm_backend_options *options, struct wm_backend **out,
                           struct wm_error *err);
    void (*close)(struct wm_backend *be); /* NULL is fine, here and in every free below */

    /* One line for a person: which path was chosen on this machine ("cpu: AVX-512 VNNI, 2 threads"). Borrowed. */
    const char *(*describe)(const struct wm_backend *be);

    enum wm_status (*act_new)(struct wm_backend *be, int32_t rows, int32_t width, struct wm_act **out,
                              struct wm_error *err);
    void (*act_free)(struct wm_backend *be, struct wm_act *act);
    /* Copies rows [row, row + rows) from or to host memory, [rows, width] floats. Waits for pending work. */
    enum wm_status (*act_read)(struct wm_backend *be, const struct wm_act *act, int32_t row, int32_t rows,
                               float *out, struct wm_error *err);
    enum wm_status (*act_write)(struct wm_backend *be, struct wm_act *act, int32_t row, int32_t rows,
                                const float *in, struct wm_error *err);

    /* Stacks `parts` (same cols) by rows. */
    enum wm_status (*weight_new)(struct wm_backend *be, const struct wm_matrix *parts, int n_parts,
                                 enum wm_use use, struct wm_weight **out, struct wm_error *err);
    void (*weight_free)(struct wm_backend *be, struct wm_weight *w);
    size_t (*weight_bytes)(const struct wm_weight *w); /* memory it took beyond the mapping */

    /* Packs an expert when it is first needed at the latest: a model of many experts need not be read to be opened. */
    enum wm_status (*experts_new)(struct wm_backend *be, const struct wm_expert_matrices *experts, int32_t n,
                                  struct wm_experts **out, struct wm_error *err);
    void (*experts_free)(struct wm_backend *be, struct wm_experts *x);
    size_t (*experts_bytes)(const struct wm_experts *x); /* memory taken beyond the mapping, up to now */

    enum wm_status (*routes_new)(struct wm_backend *be, int32_t rows, int32_t used, struct wm_routes **out,
                                 struct wm_error *err);
    void (*routes_free)(struct wm_backend *be, struct wm_routes *routes);
    /* Copies the first `rows` rows from or to host memory, [rows, used] each: experts by falling logit. For tests and
     * tools: the program itself never looks. */
    enum wm_status (*routes_read)(struct wm_backend *be, const struct wm_routes *routes, int32_t rows,
                                  int32_t *experts, float *scores, struct wm_error *err);
    enum wm_status (*routes_write)(struct wm_backend *be, struct wm_routes *routes, int32_t rows,
                                   const int32_t *experts, const float *scores, struct wm_error *err);

    size_t (*kv_block_bytes)(const struct wm_kv_shape *shape);
    enum wm_status (*kv_new)(struct wm_backend *be, const struct wm_kv_shape *shape, struct wm_kv **out,
                             struct wm_error *err);
    void (*kv_free)(struct wm_backend *be, struct wm_kv *kv);
    /* Tells that a block's content is no longer wanted: its memory may go back to the system. */
    void (*kv_discard)(struct wm_backend *be, struct wm_kv *kv, int32_t block);

    /* x[r, :] = row ids[r] of `table`. */
    enum wm_status (*embed)(struct wm_backend *be, const struct wm_weight *table, const int32_t *ids,
                            int32_t rows, struct wm_act *x, struct wm_error *err);
    /* Copies `rows` rows of the same width from one activation to another (picture tokens into a batch). */
    enum wm_status (*copy_rows)(struct wm_backend *be, const struct wm_act *from, int32_t from_row,
                                struct wm_act *to, int32_t to_row, int32_t rows, struct wm_error *err);
    enum wm_status (*matmul)(struct wm_backend *be, const struct wm_matmul *op, struct wm_error *err);
    enum wm_status (*route)(struct wm_backend *be, const struct wm_route *op, struct wm_error *err);
    enum wm_status (*expert_run)(struct wm_backend *be, const struct wm_expert_run *op, struct wm_error *err);
    /* x[r, :] = (x - mean) * rsqrt(var + eps) * norm + norm_bias, in place, for the first `rows` rows; vectors in host
     * memory, as wide as x. */
    enum wm_status (*layer_norm)(struct wm_backend *be, struct wm_act *x, int32_t rows, const float *norm,
                                 const float *norm_bias, float eps, struct wm_error *err);
    enum wm_status (*tile_attention)(struct wm_backend *be, const struct wm_tile_attention *op,
                                     struct wm_error *err);
    enum wm_status (*pixel_shuffle)(struct wm_backend *be, const struct wm_pixel_shuffle *op,
                                    struct wm_error *err);
    enum wm_status (*qkv_post)(struct wm_backend *be, const struct wm_batch *batch,
                               const struct wm_qkv_post *op, struct wm_error *err);
    enum wm_status (*attention)(struct wm_backend *be, const struct wm_batch *batch,
                                const struct wm_attention *op, struct wm_error *err);
    /* Chooses a token for each of the first `rows` rows of `logits`, whose first `vocabulary` columns count. */
    enum wm_status (*sample)(struct wm_backend *be, const struct wm_act *logits, int32_t vocabulary,
                             const struct wm_sample_row *how, int32_t rows, struct wm_sampled *out,
                             struct wm_error *err);
};

/* Every face that this build holds, NULL at the end; `auto` takes the last one that opens. */
extern const struct wm_ops *const wm_faces[];

/* The face of that name, or NULL. */
const struct wm_ops *wm_face(const char *name);

#endif

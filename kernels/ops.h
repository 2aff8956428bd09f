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
struct wm_kv;      /* a pool of KV blocks of one layer group */

struct wm_backend_options {
    int threads; /* threads that compute, the caller's included; >= 1 */
};

/* A matrix as the file holds it: row-major, `rows` of `cols` elements. `data` is borrowed (mapped) and must
 * outlive every weight made from it: a face may read it in place. */
struct wm_matrix {
    const void *data;
    enum wm_type type;
    int64_t rows, cols; /* cols is a multiple of the type's block */
    bool mapped; /* data lies in a read-only file mapping: a face that copied it may drop its pages from
                           memory (they come back from the file when read) */
};

/* How a weight will be used: layouts differ. */
enum wm_use {
    WM_USE_MATMUL, /* multiplied by activations */
    WM_USE_LOOKUP  /* rows are looked up by id (token embeddings) */
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
    WM_PROLOGUE_RMS_NORM, /* x * rsqrt(mean(x^2) + eps) * norm[i] */
    WM_PROLOGUE_SWIGLU    /* input rows are [gate | up], 2 x cols wide: silu(gate) * up */
};

/* y[r, :] (+)= prologue(x[index ? index[r] : r, :]) * w^T, for r in [0, rows). */
struct wm_matmul {
    const struct wm_act *x;
    const int32_t *index; /* input row of each output row; NULL: the same row */
    int32_t rows;
    enum wm_prologue prologue;
    const float *norm; /* [cols], host memory, with WM_PROLOGUE_RMS_NORM */
    float eps;
    const struct wm_weight *w;
    struct wm_act *y; /* width >= rows of w; is not x */
    bool add;         /* add to y (residual) instead of overwriting */
    bool precise; /* a face that rounds its input to 8 bits keeps 16 here: for q, k and v, whose errors decide
                         where attention looks */
};

/* Which elements of a head are rotated together. */
enum wm_rope_pairing {
    WM_ROPE_NONE,
    WM_ROPE_ADJACENT, /* (2i, 2i + 1): Meta's own checkpoints and the llama architecture in GGUF */
    WM_ROPE_HALVES    /* (i, i + n/2): Hugging Face's llama */
};

/* Between the projection and attention: rope on q and k, then k and v are written into the cache. */
struct wm_qkv_post {
    struct wm_act *
        qkv; /* [rows, (heads + 2 kv_heads) * head_dim]: q, k, v; q is changed in place, k and v are used up */
    int32_t heads, kv_heads, head_dim;
    enum wm_rope_pairing rope;
    const double
        *inv_freq; /* [head_dim / 2] angles per position, in radians; angle = pos * inv_freq[i] in double */
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

    size_t (*kv_block_bytes)(const struct wm_kv_shape *shape);
    enum wm_status (*kv_new)(struct wm_backend *be, const struct wm_kv_shape *shape, struct wm_kv **out,
                             struct wm_error *err);
    void (*kv_free)(struct wm_backend *be, struct wm_kv *kv);
    /* Tells that a block's content is no longer wanted: its memory may go back to the system. */
    void (*kv_discard)(struct wm_backend *be, struct wm_kv *kv, int32_t block);

    /* x[r, :] = row ids[r] of `table`. */
    enum wm_status (*embed)(struct wm_backend *be, const struct wm_weight *table, const int32_t *ids,
                            int32_t rows, struct wm_act *x, struct wm_error *err);
    enum wm_status (*matmul)(struct wm_backend *be, const struct wm_matmul *op, struct wm_error *err);
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

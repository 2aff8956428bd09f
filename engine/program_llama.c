/* program_llama.c -- the forward program of architecture `llama` (Llama 2 and 3, SmolLM2, Mistral ...), dense.
 *
 * HOW     x = embed(ids); for each layer
 *             x += attend(rope(norm(x) Wqkv)) Wo
 *             x += swiglu(norm(x) Wgate|up) Wdown
 *         logits = norm(x[wanted]) Woutput
 *
 *         Seven operations a layer: norms and swiglu are prologues of the product behind them, residuals are added by the
 *         product before them, q|k|v and gate|up are stacked into one weight each.
 *
 * ALWAYS  (1) q and k are rotated in adjacent pairs: the converter to GGUF has permuted their rows so.
 *         (2) Every tensor of the file is used, or the file is refused: a bias left out is a wrong answer, not a
 *             smaller one.
 *         (3) Logits are computed only for rows that somebody wants; the output matrix is a fifth of a small model.
 *
 * LIMITS  Head dimension up to WM_MAX_HEAD_DIM, all of it rotated; 1,024 layers; widths to 2^20. Rope scaling: none, linear, or the
 *         divisors of `rope_freqs.weight` (Llama 3). No experts, no sliding window.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/program.h"

extern const struct wm_program wm_program_llama;

enum {
    MAX_LAYERS = 1024,
    MAX_WIDTH = 1 << 20,
    MAX_HEADS = 1024,
    MAX_VOCABULARY = 1 << 21,
    MAX_CONTEXT = 1 << 24,
    TENSORS_PER_LAYER = 9,
    NAME_BYTES = 64
};

struct layer {
    struct wm_weight *qkv, *o, *gate_up, *down;
    float *attn_norm, *ffn_norm; /* [width] */
};

struct wm_forward {
    const struct wm_ops *ops;
    struct wm_backend *be;
    struct wm_model_shape shape;
    int32_t max_rows;
    struct wm_weight *embedding, *output;
    float *output_norm;
    double *inv_freq; /* [head_dim / 2] */
    struct layer *layers;
    struct wm_act *x, *qkv, *attended, *gate_up;
};

/* --- sizes ------------------------------------------------------------------------------------------------------- */

static enum wm_status read_rope(const struct wm_model_file *f, struct wm_model_shape *s, struct wm_error *err)
{
    int64_t rotated;
    const struct wm_meta *scaling = wm_model_file_meta(f, "llama.rope.scaling.type");
    enum wm_status st =
        wm_model_file_int(f, "llama.rope.dimension_count", 2, MAX_WIDTH, s->head_dim, &rotated, err);
    if (st == WM_OK && rotated != s->head_dim)
        st = wm_fail(err, WM_EUNSUPPORTED,
                     "%s: key llama.rope.dimension_count is %lld of a head's %d elements; only whole "
                     "heads are rotated here",
                     wm_model_file_name(f), (long long)rotated, s->head_dim);
    if (st == WM_OK)
        st = wm_model_file_float(f, "llama.rope.freq_base", 1, 1e12, 10000, &s->rope_base, err);
    s->rope_linear = 1;
    if (st != WM_OK || !scaling)
        return st;
    bool linear = scaling->kind == WM_META_STRING && scaling->string.len == 6 &&
                  memcmp(scaling->string.bytes, "linear", 6) == 0;
    bool none = scaling->kind == WM_META_STRING && scaling->string.len == 4 &&
                memcmp(scaling->string.bytes, "none", 4) == 0;
    if (linear)
        return wm_model_file_float(f, "llama.rope.scaling.factor", 1, 1e6, 1, &s->rope_linear, err);
    return none ? WM_OK
                : wm_fail(err, WM_EUNSUPPORTED,
                          "%s: key llama.rope.scaling.type is neither none nor linear, the kinds that this "
                          "build has",
                          wm_model_file_name(f));
}

static enum wm_status read_sizes(const struct wm_model_file *f, struct wm_model_shape *s,
                                 struct wm_error *err)
{
    const struct wm_tensor *embedding = wm_model_file_tensor(f, "token_embd.weight");
    if (!embedding || embedding->dims[1] > MAX_VOCABULARY)
        return wm_fail(err, WM_EFORMAT, "%s: tensor token_embd.weight is missing or has more than %d rows",
                       wm_model_file_name(f), MAX_VOCABULARY);
    s->vocabulary = (int32_t)embedding->dims[1];
    struct {
        const char *key;
        int64_t max;
        bool derived; /* 0 when absent, set below */
        int32_t *out;
    } sizes[] = {
        {"llama.context_length", MAX_CONTEXT, false, &s->context},
        {"llama.block_count", MAX_LAYERS, false, &s->layers},
        {"llama.embedding_length", MAX_WIDTH, false, &s->width},
        {"llama.feed_forward_length", MAX_WIDTH, false, &s->hidden},
        {"llama.attention.head_count", MAX_HEADS, false, &s->heads},
        {"llama.attention.head_count_kv", MAX_HEADS, true, &s->kv_heads},
        {"llama.attention.key_length", WM_MAX_HEAD_DIM, true, &s->head_dim},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t value = 0;
        if (sizes[i].derived && !wm_model_file_meta(f, sizes[i].key))
            continue;
        enum wm_status st = wm_model_file_int(f, sizes[i].key, 1, sizes[i].max, 0, &value, err);
        if (st != WM_OK)
            return st;
        *sizes[i].out = (int32_t)value;
    }
    if (!s->kv_heads)
        s->kv_heads = s->heads;
    if (!s->head_dim)
        s->head_dim = s->width / s->heads;
    if (s->heads % s->kv_heads || s->head_dim < 2 || s->head_dim % 2 || s->head_dim > WM_MAX_HEAD_DIM)
        return wm_fail(err, WM_EFORMAT,
                       "%s: %d query heads, %d key heads of %d elements do not fit together (at most %d)",
                       wm_model_file_name(f), s->heads, s->kv_heads, s->head_dim, WM_MAX_HEAD_DIM);
    int64_t value_length, experts;
    enum wm_status st = wm_model_file_int(f, "llama.attention.value_length", s->head_dim, s->head_dim,
                                          s->head_dim, &value_length, err);
    if (st == WM_OK)
        st = wm_model_file_int(f, "llama.expert_count", 0, 0, 0, &experts, err);
    if (st == WM_OK)
        st = wm_model_file_float(f, "llama.attention.layer_norm_rms_epsilon", 0, 1, 1e-5, &s->rms_eps, err);
    return st == WM_OK ? read_rope(f, s, err) : st;
}

/* --- tensors ----------------------------------------------------------------------------------------------------- */

/* The parts of one layer. Each is a stack of tensors with the same number of columns. */
struct part {
    const char *tensor; /* behind "blk.N." */
    int64_t rows, cols;
};

enum { QKV = 0, O = 3, GATE_UP = 4, DOWN = 6, PARTS = 7 };

static void list_parts(const struct wm_model_shape *s, struct part parts[PARTS])
{
    int64_t q = (int64_t)s->heads * s->head_dim, kv = (int64_t)s->kv_heads * s->head_dim;
    memcpy(parts,
           (const struct part[PARTS]){{"attn_q.weight", q, s->width},
                                      {"attn_k.weight", kv, s->width},
                                      {"attn_v.weight", kv, s->width},
                                      {"attn_output.weight", s->width, q},
                                      {"ffn_gate.weight", s->hidden, s->width},
                                      {"ffn_up.weight", s->hidden, s->width},
                                      {"ffn_down.weight", s->width, s->hidden}},
           PARTS * sizeof *parts);
}

static const char *layer_name(char name[NAME_BYTES], int32_t layer, const char *tensor)
{
    snprintf(name, NAME_BYTES, "blk.%d.%s", layer, tensor);
    return name;
}

/* The matrices of `count` parts from `first` on. */
static enum wm_status find_parts(const struct wm_model_file *f, int32_t layer, const struct part *parts,
                                 int count, struct wm_matrix *out, struct wm_error *err)
{
    char name[NAME_BYTES];
    enum wm_status st = WM_OK;
    for (int i = 0; i < count && st == WM_OK; i++)
        st = wm_model_file_matrix(f, layer_name(name, layer, parts[i].tensor), parts[i].rows, parts[i].cols,
                                  &out[i], err);
    return st;
}

/* The matrix that turns the last activations into logits: its own, or the embeddings once more. */
static const char *output_name(const struct wm_model_file *f)
{
    return wm_model_file_tensor(f, "output.weight") ? "output.weight" : "token_embd.weight";
}

static enum wm_status check_tensors(const struct wm_model_file *f, const struct wm_model_shape *s,
                                    struct wm_error *err)
{
    struct part parts[PARTS];
    struct wm_matrix m[PARTS];
    char name[NAME_BYTES];
    list_parts(s, parts);
    enum wm_status st = wm_model_file_matrix(f, "token_embd.weight", s->vocabulary, s->width, m, err);
    if (st == WM_OK)
        st = wm_model_file_matrix(f, output_name(f), s->vocabulary, s->width, m, err);
    if (st == WM_OK)
        st = wm_model_file_matrix(f, "output_norm.weight", 1, s->width, m, err);
    for (int32_t l = 0; l < s->layers && st == WM_OK; l++) {
        st = find_parts(f, l, parts, PARTS, m, err);
        if (st == WM_OK)
            st = wm_model_file_matrix(f, layer_name(name, l, "attn_norm.weight"), 1, s->width, m, err);
        if (st == WM_OK)
            st = wm_model_file_matrix(f, layer_name(name, l, "ffn_norm.weight"), 1, s->width, m, err);
    }
    if (st == WM_OK && wm_model_file_tensor(f, "rope_freqs.weight"))
        st = wm_model_file_matrix(f, "rope_freqs.weight", 1, s->head_dim / 2, m, err);
    if (st != WM_OK)
        return st;
    size_t known = 2 + (size_t)s->layers * TENSORS_PER_LAYER +
                   (wm_model_file_tensor(f, "output.weight") != NULL) +
                   (wm_model_file_tensor(f, "rope_freqs.weight") != NULL);
    if (wm_model_file_tensors(f) != known)
        return wm_fail(err, WM_EUNSUPPORTED,
                       "%s: %zu tensors where a dense llama has %zu: it has parts (biases, experts) that "
                       "this build would "
                       "leave out",
                       wm_model_file_name(f), wm_model_file_tensors(f), known);
    return WM_OK;
}

static enum wm_status llama_shape(const struct wm_model_file *f, struct wm_model_shape *out,
                                  struct wm_error *err)
{
    *out = (struct wm_model_shape){0};
    enum wm_status st = read_sizes(f, out, err);
    return st == WM_OK ? check_tensors(f, out, err) : st;
}

/* --- loading ----------------------------------------------------------------------------------------------------- */

static enum wm_status load_vector(const struct wm_model_file *f, const char *name, int64_t n, float **out,
                                  struct wm_error *err)
{
    *out = malloc((size_t)n * sizeof **out);
    if (!*out)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for %s", wm_model_file_name(f), name);
    return wm_model_file_vector(f, name, n, *out, err);
}

static enum wm_status load_weight(struct wm_forward *p, const struct wm_model_file *f, int32_t layer,
                                  const struct part *parts, int count, struct wm_weight **out,
                                  struct wm_error *err)
{
    struct wm_matrix m[PARTS];
    enum wm_status st = find_parts(f, layer, parts, count, m, err);
    return st == WM_OK ? p->ops->weight_new(p->be, m, count, WM_USE_MATMUL, out, err) : st;
}

static enum wm_status load_layer(struct wm_forward *p, const struct wm_model_file *f, int32_t l,
                                 struct wm_error *err)
{
    struct part parts[PARTS];
    char name[NAME_BYTES];
    struct layer *layer = &p->layers[l];
    list_parts(&p->shape, parts);
    enum wm_status st = load_weight(p, f, l, parts + QKV, O - QKV, &layer->qkv, err);
    if (st == WM_OK)
        st = load_weight(p, f, l, parts + O, GATE_UP - O, &layer->o, err);
    if (st == WM_OK)
        st = load_weight(p, f, l, parts + GATE_UP, DOWN - GATE_UP, &layer->gate_up, err);
    if (st == WM_OK)
        st = load_weight(p, f, l, parts + DOWN, PARTS - DOWN, &layer->down, err);
    if (st == WM_OK)
        st = load_vector(f, layer_name(name, l, "attn_norm.weight"), p->shape.width, &layer->attn_norm, err);
    if (st == WM_OK)
        st = load_vector(f, layer_name(name, l, "ffn_norm.weight"), p->shape.width, &layer->ffn_norm, err);
    return st;
}

static enum wm_status load_ends(struct wm_forward *p, const struct wm_model_file *f, struct wm_error *err)
{
    struct wm_matrix m;
    const struct wm_model_shape *s = &p->shape;
    enum wm_status st = wm_model_file_matrix(f, "token_embd.weight", s->vocabulary, s->width, &m, err);
    if (st == WM_OK)
        st = p->ops->weight_new(p->be, &m, 1, WM_USE_LOOKUP, &p->embedding, err);
    if (st == WM_OK)
        st = wm_model_file_matrix(f, output_name(f), s->vocabulary, s->width, &m, err);
    if (st == WM_OK)
        st = p->ops->weight_new(p->be, &m, 1, WM_USE_MATMUL, &p->output, err);
    if (st == WM_OK)
        st = load_vector(f, "output_norm.weight", s->width, &p->output_norm, err);
    return st;
}

/* Radians per position of each pair of elements. */
static enum wm_status load_rope(struct wm_forward *p, const struct wm_model_file *f, struct wm_error *err)
{
    const struct wm_model_shape *s = &p->shape;
    int32_t pairs = s->head_dim / 2;
    float divisors[WM_MAX_HEAD_DIM / 2];
    enum wm_status st = WM_OK;
    for (int32_t i = 0; i < pairs; i++)
        divisors[i] = 1;
    if (wm_model_file_tensor(f, "rope_freqs.weight"))
        st = wm_model_file_vector(f, "rope_freqs.weight", pairs, divisors, err);
    if (st != WM_OK)
        return st;
    p->inv_freq = malloc((size_t)pairs * sizeof *p->inv_freq);
    if (!p->inv_freq)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for its rope", wm_model_file_name(f));
    for (int32_t i = 0; i < pairs; i++) {
        if (!(divisors[i] > 0))
            return wm_fail(err, WM_EFORMAT, "%s: element %d of rope_freqs.weight is %g, it must be above 0",
                           wm_model_file_name(f), i, (double)divisors[i]);
        p->inv_freq[i] = pow(s->rope_base, -2.0 * i / s->head_dim) / (double)divisors[i] / s->rope_linear;
    }
    return WM_OK;
}

static enum wm_status new_activations(struct wm_forward *p, struct wm_error *err)
{
    const struct wm_model_shape *s = &p->shape;
    struct {
        struct wm_act **act;
        int32_t width;
    } acts[] = {
        {&p->x, s->width},
        {&p->qkv, (s->heads + 2 * s->kv_heads) * s->head_dim},
        {&p->attended, s->heads * s->head_dim},
        {&p->gate_up, 2 * s->hidden},
    };
    enum wm_status st = WM_OK;
    for (size_t i = 0; i < sizeof acts / sizeof *acts && st == WM_OK; i++)
        st = p->ops->act_new(p->be, p->max_rows, acts[i].width, acts[i].act, err);
    return st;
}

static void llama_free(struct wm_forward *p)
{
    if (!p)
        return;
    for (int32_t l = 0; p->layers && l < p->shape.layers; l++) {
        struct layer *layer = &p->layers[l];
        p->ops->weight_free(p->be, layer->qkv);
        p->ops->weight_free(p->be, layer->o);
        p->ops->weight_free(p->be, layer->gate_up);
        p->ops->weight_free(p->be, layer->down);
        free(layer->attn_norm);
        free(layer->ffn_norm);
    }
    p->ops->weight_free(p->be, p->embedding);
    p->ops->weight_free(p->be, p->output);
    p->ops->act_free(p->be, p->x);
    p->ops->act_free(p->be, p->qkv);
    p->ops->act_free(p->be, p->attended);
    p->ops->act_free(p->be, p->gate_up);
    free(p->output_norm);
    free(p->inv_freq);
    free(p->layers);
    free(p);
}

static enum wm_status llama_load(const struct wm_model_file *f, const struct wm_model_shape *shape,
                                 const struct wm_ops *ops, struct wm_backend *be, int32_t max_rows,
                                 void (*progress)(void *arg, int percent), void *arg, struct wm_forward **out,
                                 struct wm_error *err)
{
    struct wm_forward *p = calloc(1, sizeof *p);
    if (!p)
        return wm_fail(err, WM_ENOMEM, "%s: no memory to load it", wm_model_file_name(f));
    *p = (struct wm_forward){.ops = ops, .be = be, .shape = *shape, .max_rows = max_rows};
    p->layers = calloc((size_t)shape->layers, sizeof *p->layers);
    enum wm_status st =
        p->layers ? WM_OK : wm_fail(err, WM_ENOMEM, "%s: no memory for its layers", wm_model_file_name(f));
    if (st == WM_OK)
        st = load_rope(p, f, err);
    if (st == WM_OK)
        st = new_activations(p, err);
    for (int32_t l = 0; l < shape->layers && st == WM_OK; l++) {
        if (progress)
            progress(arg, 100 * l / (shape->layers + 1));
        st = load_layer(p, f, l, err);
    }
    if (st == WM_OK)
        st = load_ends(p, f, err);
    if (st != WM_OK) {
        llama_free(p);
        return st;
    }
    if (progress)
        progress(arg, 100);
    *out = p;
    return WM_OK;
}

static size_t llama_weight_bytes(const struct wm_forward *p)
{
    size_t bytes = p->ops->weight_bytes(p->embedding) + p->ops->weight_bytes(p->output);
    for (int32_t l = 0; l < p->shape.layers; l++)
        bytes += p->ops->weight_bytes(p->layers[l].qkv) + p->ops->weight_bytes(p->layers[l].o) +
                 p->ops->weight_bytes(p->layers[l].gate_up) + p->ops->weight_bytes(p->layers[l].down);
    return bytes;
}

static struct wm_kv_shape llama_kv_shape(const struct wm_model_shape *s, int32_t blocks)
{
    return (struct wm_kv_shape){
        .layers = s->layers, .kv_heads = s->kv_heads, .head_dim = s->head_dim, .blocks = blocks};
}

/* --- the program ------------------------------------------------------------------------------------------------- */

static enum wm_status attention_half(struct wm_forward *p, const struct wm_run *run, int32_t l,
                                     struct wm_error *err)
{
    const struct wm_ops *ops = p->ops;
    const struct wm_model_shape *s = &p->shape;
    const struct layer *layer = &p->layers[l];
    int32_t rows = run->batch->rows;
    enum wm_status st = ops->matmul(p->be,
                                    &(struct wm_matmul){.x = p->x,
                                                        .rows = rows,
                                                        .prologue = WM_PROLOGUE_RMS_NORM,
                                                        .norm = layer->attn_norm,
                                                        .eps = (float)s->rms_eps,
                                                        .w = layer->qkv,
                                                        .y = p->qkv,
                                                        .precise = true},
                                    err);
    if (st == WM_OK)
        st = ops->qkv_post(p->be, run->batch,
                           &(struct wm_qkv_post){.qkv = p->qkv,
                                                 .heads = s->heads,
                                                 .kv_heads = s->kv_heads,
                                                 .head_dim = s->head_dim,
                                                 .rope = WM_ROPE_ADJACENT,
                                                 .inv_freq = p->inv_freq,
                                                 .kv = run->kv,
                                                 .layer = l},
                           err);
    if (st == WM_OK)
        st = ops->attention(p->be, run->batch,
                            &(struct wm_attention){.qkv = p->qkv,
                                                   .out = p->attended,
                                                   .heads = s->heads,
                                                   .kv_heads = s->kv_heads,
                                                   .head_dim = s->head_dim,
                                                   .scale = (float)(1 / sqrt(s->head_dim)),
                                                   .kv = run->kv,
                                                   .layer = l},
                            err);
    if (st == WM_OK)
        st = ops->matmul(
            p->be, &(struct wm_matmul){.x = p->attended, .rows = rows, .w = layer->o, .y = p->x, .add = true},
            err);
    return st;
}

static enum wm_status feed_forward_half(struct wm_forward *p, const struct wm_run *run, int32_t l,
                                        struct wm_error *err)
{
    const struct layer *layer = &p->layers[l];
    int32_t rows = run->batch->rows;
    enum wm_status st = p->ops->matmul(p->be,
                                       &(struct wm_matmul){.x = p->x,
                                                           .rows = rows,
                                                           .prologue = WM_PROLOGUE_RMS_NORM,
                                                           .norm = layer->ffn_norm,
                                                           .eps = (float)p->shape.rms_eps,
                                                           .w = layer->gate_up,
                                                           .y = p->gate_up},
                                       err);
    if (st == WM_OK)
        st = p->ops->matmul(p->be,
                            &(struct wm_matmul){.x = p->gate_up,
                                                .rows = rows,
                                                .prologue = WM_PROLOGUE_SWIGLU,
                                                .w = layer->down,
                                                .y = p->x,
                                                .add = true},
                            err);
    return st;
}

static enum wm_status llama_run(struct wm_forward *p, const struct wm_run *run, struct wm_error *err)
{
    assert(run->batch->rows >= 1 && run->batch->rows <= p->max_rows);
    enum wm_status st = p->ops->embed(p->be, p->embedding, run->ids, run->batch->rows, p->x, err);
    for (int32_t l = 0; l < p->shape.layers && st == WM_OK; l++) {
        st = attention_half(p, run, l, err);
        if (st == WM_OK)
            st = feed_forward_half(p, run, l, err);
    }
    if (st != WM_OK || run->n_want == 0)
        return st;
    return p->ops->matmul(p->be,
                          &(struct wm_matmul){.x = p->x,
                                              .index = run->want,
                                              .rows = run->n_want,
                                              .prologue = WM_PROLOGUE_RMS_NORM,
                                              .norm = p->output_norm,
                                              .eps = (float)p->shape.rms_eps,
                                              .w = p->output,
                                              .y = run->logits},
                          err);
}

const struct wm_program wm_program_llama = {
    .architecture = "llama",
    .shape = llama_shape,
    .load = llama_load,
    .free = llama_free,
    .run = llama_run,
    .weight_bytes = llama_weight_bytes,
    .kv_shape = llama_kv_shape,
};

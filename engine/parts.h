/* parts.h -- where the weights of a model lie in its files, by what they are for.
 *
 * The same matrix is `blk.3.ffn_gate_exps.weight` in a GGUF,
 * `model.layers.3.feed_forward.experts.gate_up_proj` (fused and transposed) or
 * `...experts.7.gate_proj.weight` with a scale beside it in a Hugging Face folder. Programs ask for the part;
 * the answer says type, place, order and scales (struct wm_matrix).
 *
 * Any thread; everything is borrowed from the files.
 */
#ifndef WM_ENGINE_PARTS_H
#define WM_ENGINE_PARTS_H

#include "engine/arch.h"
#include "engine/model_file.h"

enum wm_part {
    WM_PART_EMBEDDING, /* [vocabulary, width] */
    WM_PART_OUTPUT,    /* [vocabulary, width]; the embeddings when tied */
    WM_PART_OUTPUT_NORM,
    /* of each layer */
    WM_PART_ATTN_NORM,
    WM_PART_Q, /* [heads * head_dim, width] */
    WM_PART_K, /* [kv_heads * head_dim, width] */
    WM_PART_V,
    WM_PART_O, /* [width, heads * head_dim] */
    WM_PART_FFN_NORM,
    WM_PART_GATE, /* dense: [dense_hidden, width] */
    WM_PART_UP,
    WM_PART_DOWN,   /* [width, dense_hidden] */
    WM_PART_ROUTER, /* [experts, width] */
    WM_PART_SHARED_GATE,
    WM_PART_SHARED_UP,
    WM_PART_SHARED_DOWN,
    /* of each expert of each layer */
    WM_PART_EXPERT_GATE,
    WM_PART_EXPERT_UP,
    WM_PART_EXPERT_DOWN,
    /* of the vision tower */
    WM_PART_PATCH,     /* [width, 3 * patch * patch]: channel, row, column */
    WM_PART_CLASS,     /* vector [width] */
    WM_PART_POSITIONS, /* [patches + 1, width]: the class token's row is the last */
    WM_PART_PRE_NORM,  /* vectors: norm and bias */
    WM_PART_POST_NORM,
    WM_PART_ADAPTER_1, /* [adapter_hidden, width * shuffle^2] */
    WM_PART_ADAPTER_2, /* [out, adapter_hidden] */
    WM_PART_PROJECTOR, /* [text width, out] */
    /* of each of its layers; each has a bias */
    WM_PART_V_NORM_1,
    WM_PART_V_Q,
    WM_PART_V_K,
    WM_PART_V_V,
    WM_PART_V_O,
    WM_PART_V_NORM_2,
    WM_PART_V_FC1,
    WM_PART_V_FC2,
    WM_PARTS
};

/* A model's files: the text model's, and the vision tower's where it has a file of its own (GGUF). */
struct wm_parts {
    const struct wm_model_file *text;
    const struct wm_model_file *projector; /* NULL: the tower, if any, lies in `text` */
    const struct wm_arch *arch;
};

/* Rows and columns that the architecture asks for; a vector has one row. */
void wm_part_size(const struct wm_arch *arch, enum wm_part part, int64_t *rows, int64_t *cols);

/* How many such matrices a model has: layers times experts as far as the part has them; 0: none. The output matrix of a
 * model with tied embeddings counts as none. */
int64_t wm_part_count(const struct wm_arch *arch, enum wm_part part);

/* The same step by step: layers [0, wm_part_layers) may have the part (1 when it has no layers), and layer `layer` has
 * wm_part_copies of it (one for each expert; 0: not this layer). */
int32_t wm_part_layers(const struct wm_arch *arch, enum wm_part part);
int32_t wm_part_copies(const struct wm_arch *arch, enum wm_part part, int32_t layer);

bool wm_part_is_vector(enum wm_part part);
bool wm_part_has_bias(enum wm_part part);
bool wm_part_is_vision(enum wm_part part);

/* The matrix of a part; `layer` and `expert` where the part has them, else 0. WM_EFORMAT: missing, or of another shape;
 * WM_EUNSUPPORTED: a type or a quantisation that this build does not read. */
enum wm_status wm_part_matrix(const struct wm_parts *p, enum wm_part part, int32_t layer, int32_t expert,
                              struct wm_matrix *out, struct wm_error *err);

/* A vector, as floats: out[0 .. cols). With `bias` the bias that belongs to the part (norms and products of
 * the tower): as long as the norm, or out[0 .. rows) of the product. */
enum wm_status wm_part_vector(const struct wm_parts *p, enum wm_part part, int32_t layer, bool bias,
                              float *out, struct wm_error *err);

/* Every part of the architecture is there, has its shape and a type we read, and there is no tensor that
 * nothing would use (a bias left out is a wrong answer, not a smaller one). Reads no weights. */
enum wm_status wm_parts_check(const struct wm_parts *p, struct wm_error *err);

/* Bytes of the file that hold a part, all layers and experts together (0: the model has none): for `model info`. */
uint64_t wm_part_bytes(const struct wm_parts *p, enum wm_part part);

/* For people: "attention q", "routed experts gate". */
const char *wm_part_name(enum wm_part part);

#endif

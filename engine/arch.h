/* arch.h -- what a model is made of, in one form, whoever wrote its files.
 *
 * A GGUF keeps its sizes under keys, a Hugging Face folder in config.json; some say what others leave to the
 * reader. wm_arch_read turns either into struct wm_arch, checked: every number within its limits, every sum
 * that follows within 63 bits, no contradiction. Programs, plans and tools look at this and at nothing else.
 */
#ifndef WM_ENGINE_ARCH_H
#define WM_ENGINE_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/model_file.h"
#include "kernels/base/error.h"
#include "kernels/ops.h"

enum {
    WM_MAX_LAYERS = 1024,
    WM_MAX_WIDTH = 1 << 20, /* of any activation or hidden layer */
    WM_MAX_HEADS = 1024,
    WM_MAX_EXPERTS = 4096,
    WM_MAX_VOCABULARY = 1 << 21,
    WM_MAX_CONTEXT = 1 << 24, /* positions: Scout was trained for 10,485,760 */
    WM_MAX_TILES = 64,
    WM_MAX_TILE_SIDE = 2048 /* pixels */
};

enum wm_family { WM_FAMILY_LLAMA, WM_FAMILY_LLAMA4 };

/* The vision tower; layers is 0 when the model has none. Square tiles of image x image pixels in patches of
 * patch x patch. */
struct wm_vision_arch {
    int32_t layers, width, heads,
        hidden; /* width is a multiple of heads; a head is rotated whole: a multiple of 4 */
    int32_t image, patch;
    int32_t shuffle; /* patches joined per side: 2 for pixel_shuffle_ratio 0.5 */
    int32_t adapter_hidden,
        out; /* width * shuffle^2 -> adapter_hidden -> out -> (projector) the text's width */
    double eps, rope_base;
    int32_t max_tiles; /* of one picture, the global tile not counted; at least 1 */
};

struct wm_arch {
    enum wm_family family;
    int32_t vocabulary, context, layers, width;
    int32_t heads, kv_heads, head_dim;
    int32_t dense_hidden;                 /* feed-forward of layers without experts; 0 when there are none */
    int32_t experts, experts_used;        /* 0: none */
    int32_t expert_hidden, shared_hidden; /* of a routed expert, of the shared one; shared_hidden 0: none */
    bool moe[WM_MAX_LAYERS];              /* layer has experts */
    bool rope[WM_MAX_LAYERS]; /* layer rotates q and k; with `chunk` it is also the one that is chunked */
    int64_t chunk;            /* 0: every layer sees the whole history */
    double rms_eps;
    enum wm_rope_pairing pairing;
    double rope_base;                            /* for people; the program uses inv_freq */
    double inv_freq[WM_MAX_HEAD_DIM / 2];        /* radians per position of each pair, scaling applied */
    bool qk_norm;                                /* on layers with rope */
    double temperature_floor, temperature_scale; /* on layers without rope; floor 0: off */
    bool tied;                                   /* the embeddings serve as output matrix */
    struct wm_vision_arch vision;
};

/* Tokens that one tile becomes: (image / patch / shuffle)^2. */
static inline int32_t wm_tile_tokens(const struct wm_vision_arch *v)
{
    int32_t side = v->image / v->patch / v->shuffle;
    return side * side;
}

/* Reads and checks the architecture of a text model with, or (`projector` not NULL) beside, its vision tower.
 * WM_EFORMAT, WM_EUNSUPPORTED: one sentence naming file and key. Reads no weights. Any thread. */
enum wm_status wm_arch_read(const struct wm_model_file *f, const struct wm_model_file *projector,
                            struct wm_arch *out, struct wm_error *err);

/* The same from a config.json alone (NUL-free text of `len` bytes; `name` is for the sentences): for `plan`. */
enum wm_status wm_arch_from_config(const char *name, const char *text, size_t len, struct wm_arch *out,
                                   struct wm_error *err);

/* "llama", "llama4". */
const char *wm_family_name(enum wm_family family);

#endif

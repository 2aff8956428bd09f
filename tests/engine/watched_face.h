/* watched_face.h -- the faces of the build, with somebody looking on: what flows between the operations is
 * kept, and on request one rule is broken. A program that includes this brings its own list of faces (in
 * place of kernels/faces.c). */
#ifndef WM_TESTS_ENGINE_WATCHED_FACE_H
#define WM_TESTS_ENGINE_WATCHED_FACE_H

#include "engine/arch.h"

enum {
    SEEN_POSITIONS = 80,
    SEEN_LAYERS = 8,
    SEEN_WIDTH = 96,
    SEEN_EXPERTS = 8,
    SEEN_USED = 2,
    SEEN_TOKENS = 17,
    SEEN_VISION = 192 /* the widest row of a tiny tower */
};

/* Of one sequence alone in its runs. */
struct seen {
    /* [0]: embeddings; [l + 1]: what layer l left */
    float hidden[SEEN_LAYERS + 1][SEEN_POSITIONS][SEEN_WIDTH];
    float router_logits[SEEN_LAYERS][SEEN_POSITIONS][SEEN_EXPERTS];
    int32_t expert[SEEN_LAYERS][SEEN_POSITIONS][SEEN_USED];
    float score[SEEN_LAYERS][SEEN_POSITIONS][SEEN_USED];
    /* Of the tile that came last: [0]: patches, positions, class token; [l + 1]: what layer l left */
    float vision[SEEN_LAYERS + 1][SEEN_TOKENS][SEEN_VISION];
    float shuffled[SEEN_TOKENS][SEEN_VISION];
    float adapter[SEEN_TOKENS][SEEN_VISION]; /* before its last gelu */
};
extern struct seen seen;

/* The rules that can be broken. Each is one word of the list. */
#define BREAKS(X)                                                                                            \
    X(NOTHING)                                                                                               \
    X(CHUNK_IGNORED)                                                                                         \
    X(TEMPERATURE_OFF)                                                                                       \
    X(QK_NORM_TOGGLED)                                                                                       \
    X(OTHER_ROPE_PAIRING)                                                                                    \
    X(ROPE_EVERYWHERE)                                                                                       \
    X(ROPE_UNSCALED)                                                                                         \
    X(ROUTER_SCORE_OFF)                                                                                      \
    X(SECOND_EXPERT_OFF)                                                                                     \
    X(SHARED_EXPERT_OFF)                                                                                     \
    X(VISION_BIAS_OFF)                                                                                       \
    X(VISION_GELU_TANH)                                                                                      \
    X(VISION_ROPE_ROW_FIRST)                                                                                 \
    X(VISION_ROPE_FROM_0)                                                                                    \
    X(VISION_CLASS_FIRST)                                                                                    \
    X(VISION_CLASS_ROTATED)                                                                                  \
    X(ADAPTER_GELU_ONCE)                                                                                     \
    X(SHUFFLE_TRANSPOSED)                                                                                    \
    X(GLOBAL_TILE_FIRST)

enum breakage {
#define X(id) BREAK_##id,
    BREAKS(X)
#undef X
};
extern enum breakage broken;
extern const struct wm_arch *watched_arch; /* of the model that runs; set it before breaking rules */

#endif

/* plan.h -- what a model costs, from its architecture alone: parameters, bytes, conversation memory, and the
 * speed that memory bandwidth allows.
 *
 * Pure arithmetic, any thread. Bytes and parameters are exact where they are integers. GB is 1e9 bytes, GiB is 2^30.
 */
#ifndef WM_ENGINE_PLAN_H
#define WM_ENGINE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/arch.h"

/* --- parameters ----------------------------------------------------------------------------------------- */

struct wm_parameters {
    int64_t embedding, output; /* output 0: tied */
    int64_t attention, routed, shared, dense, routers, norms;
    int64_t vision, projector; /* biases counted */
    int64_t total;
    int64_t routed_touched; /* by one token: the experts it goes to */
    int64_t touched;        /* by one decoded token, the row of the embeddings left out */
    int64_t active;         /* touched, and the table of embeddings: what "17B active" counts */
};

void wm_plan_parameters(const struct wm_arch *a, struct wm_parameters *out);

/* --- weights -------------------------------------------------------------------------------------------- */

/* A way of storing weights: bits for each parameter of the routed experts and of the rest of the text model.
 * The vision tower and the projector stay at 16. */
struct wm_weight_format {
    const char *name, *what;
    double routed_bits, text_bits;
};

extern const struct wm_weight_format wm_weight_formats[]; /* ends with a NULL name */

double wm_plan_weight_bytes(const struct wm_parameters *p, const struct wm_weight_format *w);

/* How many of a layer's experts a batch of `batch` tokens meets, when all are equally likely:
 * E (1 - (1 - used / E)^batch). */
double wm_plan_distinct(const struct wm_arch *a, double batch);

/* Bytes of weights that one decode step of `batch` sequences reads. */
double wm_plan_step_bytes(const struct wm_arch *a, const struct wm_parameters *p,
                          const struct wm_weight_format *w, double batch);

/* --- conversation memory -------------------------------------------------------------------------------- */

/* How K and V are stored: bytes of one element. */
struct wm_kv_format {
    const char *name;
    double bytes;
};

extern const struct wm_kv_format wm_kv_formats[]; /* ends with a NULL name */

/* Bytes of one position: in the layers that keep the whole history, and in those that keep the current chunk only. */
struct wm_plan_kv {
    double global, local;
    int64_t chunk; /* 0: every layer keeps everything, local is 0 */
};

struct wm_plan_kv wm_plan_kv(const struct wm_arch *a, double element_bytes);

/* Most that a sequence of `n` positions ever holds, chunks freed as they end. */
double wm_plan_kv_bytes(const struct wm_plan_kv *kv, double n);

/* What the decode step at position `at` reads. */
double wm_plan_kv_read(const struct wm_plan_kv *kv, int64_t at);

/* The longest sequence that `bytes` hold. */
int64_t wm_plan_kv_positions(const struct wm_plan_kv *kv, double bytes);

/* --- machines ------------------------------------------------------------------------------------------- */

struct wm_gpu {
    const char *name, *what;
    double memory, bandwidth; /* bytes, bytes per second */
};

extern const struct wm_gpu wm_gpus[]; /* ends with a NULL name */

/* Of a GPU's memory, what weights and conversations may take: the rest is for activations and the driver. */
#define WM_PLAN_USABLE 0.9

/* `count` GPUs that share a model. Heads of K and V cannot be divided further than there are: beyond that
 * they are kept more than once. */
struct wm_plan_fit {
    bool weights_fit;
    double
        free_bytes; /* beside the weights, for conversations (as if each head were kept once); 0 when they do not fit */
    int64_t positions; /* the longest conversation that fits, WM_MAX_CONTEXT at most */
};

void wm_plan_fit(const struct wm_arch *a, const struct wm_weight_format *w, const struct wm_plan_kv *kv,
                 const struct wm_gpu *gpu, int count, struct wm_plan_fit *out);

/* Tokens per second of `batch` sequences together, each at position `at`: what reading weights and K and V
 * once each step allows. 0: they do not fit. */
double wm_plan_speed(const struct wm_arch *a, const struct wm_weight_format *w, const struct wm_plan_kv *kv,
                     const struct wm_gpu *gpu, int count, int batch, int64_t at);

/* --- models --------------------------------------------------------------------------------------------- */

/* The models that `plan` knows by name. */
struct wm_plan_model {
    const char *name;
    const char *config; /* text of a config.json */
    const char *note;   /* a sentence to print beside the figures; NULL: none */
};

extern const struct wm_plan_model wm_plan_models[]; /* ends with a NULL name */

#endif

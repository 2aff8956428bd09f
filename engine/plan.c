/* plan.c -- see plan.h.
 *
 * A decode step reads every weight that some token of the batch meets, and the K and V of every position that
 * each sequence sees, once. Nothing is faster than that divided by the bandwidth; how near a program comes is
 * its own affair (`wingman bench` says). Distinct experts follow from routing that is uniform and
 * independent; real routing is neither, and meets fewer.
 */
#include "engine/plan.h"

#include <math.h>

#include "engine/parts.h"

/* --- parameters ----------------------------------------------------------------------------------------- */

/* Parameters of all copies of a part, its bias too. */
static int64_t of_part(const struct wm_arch *a, enum wm_part part)
{
    int64_t rows, cols;
    wm_part_size(a, part, &rows, &cols);
    int64_t bias = !wm_part_has_bias(part) ? 0 : wm_part_is_vector(part) ? cols : rows;
    return (rows * cols + bias) * wm_part_count(a, part);
}

static int64_t of_parts(const struct wm_arch *a, enum wm_part first, enum wm_part last)
{
    int64_t sum = 0;
    for (enum wm_part part = first; part <= last; part++)
        sum += of_part(a, part);
    return sum;
}

void wm_plan_parameters(const struct wm_arch *a, struct wm_parameters *out)
{
    struct wm_parameters p = {0};
    p.embedding = of_part(a, WM_PART_EMBEDDING);
    p.output = of_part(a, WM_PART_OUTPUT);
    p.attention = of_parts(a, WM_PART_Q, WM_PART_O);
    p.routed = of_parts(a, WM_PART_EXPERT_GATE, WM_PART_EXPERT_DOWN);
    p.shared = of_parts(a, WM_PART_SHARED_GATE, WM_PART_SHARED_DOWN);
    p.dense = of_parts(a, WM_PART_GATE, WM_PART_DOWN);
    p.routers = of_part(a, WM_PART_ROUTER);
    p.norms = of_part(a, WM_PART_ATTN_NORM) + of_part(a, WM_PART_FFN_NORM) + of_part(a, WM_PART_OUTPUT_NORM);
    p.projector = of_part(a, WM_PART_PROJECTOR);
    p.vision = of_parts(a, WM_PART_PATCH, WM_PART_V_FC2) - p.projector;
    int64_t always = p.attention + p.shared + p.dense + p.routers + p.norms;
    p.total = p.embedding + p.output + always + p.routed + p.vision + p.projector;
    p.routed_touched = a->experts ? p.routed / a->experts * a->experts_used : 0;
    p.touched = always + p.routed_touched + (a->tied ? p.embedding : p.output);
    p.active = p.touched + (a->tied ? 0 : p.embedding);
    *out = p;
}

/* --- weights -------------------------------------------------------------------------------------------- */

/* Block formats: source ggml-common.h, bytes of a block over its elements. FP8 is the way of Llama 4 Maverick
 * FP8: routed experts only, and a scale for each row, which is left out here (0.03 %). */
const struct wm_weight_format wm_weight_formats[] = {
    {"bf16", "as trained", 16, 16},
    {"fp8", "routed experts in 8 bits, the rest as trained", 8, 16},
    {"q8_0", "8 bits and a scale for each 32", 8.5, 8.5},
    {"q6_k", "6 bits and scales", 6.5625, 6.5625},
    {"q5_k", "5 bits and scales", 5.5, 5.5},
    {"int4", "4 bits and a scale for each 32 (Q4_0, Q4_K)", 4.5, 4.5},
    {"iq4_xs", "4 bits by table", 4.25, 4.25},
    {"q3_k", "3 bits and scales", 3.4375, 3.4375},
    {"q2_k", "2 bits and scales", 2.625, 2.625},
    {NULL, NULL, 0, 0},
};

enum { VISION_BITS = 16 };

double wm_plan_weight_bytes(const struct wm_parameters *p, const struct wm_weight_format *w)
{
    int64_t vision = p->vision + p->projector, text = p->total - vision - p->routed;
    return ((double)p->routed * w->routed_bits + (double)text * w->text_bits + (double)vision * VISION_BITS) /
           8;
}

double wm_plan_distinct(const struct wm_arch *a, double batch)
{
    if (!a->experts)
        return 0;
    return a->experts * (1 - pow(1 - (double)a->experts_used / a->experts, batch));
}

double wm_plan_step_bytes(const struct wm_arch *a, const struct wm_parameters *p,
                          const struct wm_weight_format *w, double batch)
{
    double each = a->experts ? (double)p->routed / a->experts : 0; /* of one expert in every layer */
    return ((double)(p->touched - p->routed_touched) * w->text_bits +
            wm_plan_distinct(a, batch) * each * w->routed_bits) /
           8;
}

/* --- conversation memory -------------------------------------------------------------------------------- */

const struct wm_kv_format wm_kv_formats[] = {{"bf16", 2}, {"f16", 2}, {"fp8", 1},
                                             {"int8", 1}, {"f32", 4}, {NULL, 0}};

struct wm_plan_kv wm_plan_kv(const struct wm_arch *a, double element_bytes)
{
    double each = 2.0 * a->kv_heads * a->head_dim * element_bytes;
    struct wm_plan_kv kv = {.chunk = a->chunk};
    for (int32_t l = 0; l < a->layers; l++)
        *(a->chunk && a->rope[l] ? &kv.local : &kv.global) += each;
    return kv;
}

double wm_plan_kv_bytes(const struct wm_plan_kv *kv, double n)
{
    return n * kv->global + (kv->chunk ? fmin(n, (double)kv->chunk) : n) * kv->local;
}

double wm_plan_kv_read(const struct wm_plan_kv *kv, int64_t at)
{
    int64_t in_chunk = kv->chunk ? at % kv->chunk : at;
    return kv->global * (double)(at + 1) + kv->local * (double)(in_chunk + 1);
}

int64_t wm_plan_kv_positions(const struct wm_plan_kv *kv, double bytes)
{
    if (!(bytes > 0))
        return 0;
    double both = bytes / (kv->global + kv->local), chunk = (double)kv->chunk;
    double n = both <= chunk || !kv->chunk ? both
               : kv->global > 0            ? (bytes - chunk * kv->local) / kv->global
                                           : WM_MAX_CONTEXT;
    return (int64_t)fmin(n, WM_MAX_CONTEXT);
}

/* --- machines ------------------------------------------------------------------------------------------- */

/* Of the K and V that one copy of each head takes, what `count` GPUs hold together. */
static double copies(const struct wm_arch *a, int count)
{
    return count > a->kv_heads ? (double)count / a->kv_heads : 1;
}

void wm_plan_fit(const struct wm_arch *a, const struct wm_weight_format *w, const struct wm_plan_kv *kv,
                 const struct wm_gpu *gpu, int count, struct wm_plan_fit *out)
{
    struct wm_parameters p;
    wm_plan_parameters(a, &p);
    double left = gpu->memory * count * WM_PLAN_USABLE - wm_plan_weight_bytes(&p, w);
    *out = (struct wm_plan_fit){.weights_fit = left >= 0};
    if (left > 0)
        out->free_bytes = left / copies(a, count);
    out->positions = wm_plan_kv_positions(kv, out->free_bytes);
}

double wm_plan_speed(const struct wm_arch *a, const struct wm_weight_format *w, const struct wm_plan_kv *kv,
                     const struct wm_gpu *gpu, int count, int batch, int64_t at)
{
    struct wm_parameters p;
    struct wm_plan_fit fit;
    wm_plan_parameters(a, &p);
    wm_plan_fit(a, w, kv, gpu, count, &fit);
    if (!fit.weights_fit || batch * wm_plan_kv_bytes(kv, (double)at + 1) > fit.free_bytes)
        return 0;
    double bytes = wm_plan_step_bytes(a, &p, w, batch) + batch * wm_plan_kv_read(kv, at) * copies(a, count);
    return batch * gpu->bandwidth * count / bytes;
}

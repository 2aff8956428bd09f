/* program.c -- the forward program of the Llama families: Llama 2 and 3 and what is built like them (SmolLM2,
 * Mistral ...), and Llama 4 (Scout, Maverick and models of their shape).
 *
 * HOW     x = embed(ids), picture tokens put in their places; for each layer
 *
 *             x += attend(post(norm(x) Wqkv)) Wo
 *             dense:    x += swiglu(norm(x) Wgate|up) Wdown
 *             experts:  x += sum of expert_e(sigmoid(route_e) * norm(x))
 *                          + swiglu(norm(x) Wgate|up) Wdown, the shared one
 *
 *         logits = norm(x[wanted]) Woutput
 *
 *         One program, because a llama *is* a Llama 4 without experts, without chunks, and with rope in every
 *         layer: what differs are numbers of struct wm_arch. Norms and swiglu are prologues of the product
 *         behind them, residuals are added by the product before them, q|k|v and gate|up are stacked into one
 *         weight each: six operations a dense layer, eight with experts.
 *
 * ALWAYS  (1) Layers with rope rotate by the absolute position, never by the position inside a chunk; they,
 *             and only they, have QK norm and chunks. Layers without scale their queries by the temperature
 *             (source: Meta's model.py).
 *         (2) The score of a route scales the *input* of its expert, and the shared expert's input is not
 *             scaled (source: Meta's moe.py). Both see the same x: the shared one's first product stands
 *             before the experts change x.
 *         (3) Logits are computed only for rows that somebody wants; the output matrix is a fifth of a small
 *             model.
 *
 * LIMITS  Those of wm_arch_read. The whole head is rotated.
 */
#include <assert.h>
#include <math.h>

#include "engine/program_layers.h"

/* Rows of x times gate|up, behind the layer's second norm. */
static enum wm_status gate_up(struct wm_program *p, const struct wm_layer *layer, int32_t rows,
                              struct wm_error *err)
{
    return p->ops->matmul(p->be,
                          &(struct wm_matmul){.x = p->x,
                                              .rows = rows,
                                              .prologue = WM_PROLOGUE_RMS_NORM,
                                              .norm = layer->ffn_norm,
                                              .eps = (float)p->arch->rms_eps,
                                              .w = layer->gate_up,
                                              .y = p->gate_up},
                          err);
}

/* x += swiglu(what gate_up left) Wdown. */
static enum wm_status down(struct wm_program *p, const struct wm_layer *layer, int32_t rows,
                           struct wm_error *err)
{
    return p->ops->matmul(p->be,
                          &(struct wm_matmul){.x = p->gate_up,
                                              .rows = rows,
                                              .prologue = WM_PROLOGUE_SWIGLU,
                                              .w = layer->down,
                                              .y = p->x,
                                              .add = true},
                          err);
}

static enum wm_status attention_half(struct wm_program *p, const struct wm_run *run, int32_t l,
                                     struct wm_error *err)
{
    const struct wm_ops *ops = p->ops;
    const struct wm_arch *a = p->arch;
    const struct wm_layer *layer = &p->layers[l];
    int32_t rows = run->batch->rows;
    int group = wm_layer_group(a, l);
    enum wm_status st = ops->matmul(p->be,
                                    &(struct wm_matmul){.x = p->x,
                                                        .rows = rows,
                                                        .prologue = WM_PROLOGUE_RMS_NORM,
                                                        .norm = layer->attn_norm,
                                                        .eps = (float)a->rms_eps,
                                                        .w = layer->qkv,
                                                        .y = p->qkv,
                                                        .precise = true},
                                    err);
    if (st == WM_OK)
        st = ops->qkv_post(p->be, run->batch,
                           &(struct wm_qkv_post){.qkv = p->qkv,
                                                 .heads = a->heads,
                                                 .kv_heads = a->kv_heads,
                                                 .head_dim = a->head_dim,
                                                 .rope = a->rope[l] ? a->pairing : WM_ROPE_NONE,
                                                 .inv_freq = a->inv_freq,
                                                 .qk_norm = a->rope[l] && a->qk_norm,
                                                 .eps = (float)a->rms_eps,
                                                 .temperature_floor = a->rope[l] ? 0 : a->temperature_floor,
                                                 .temperature_scale = a->temperature_scale,
                                                 .kv = run->kv[group],
                                                 .layer = layer->pool_layer,
                                                 .group = group},
                           err);
    if (st == WM_OK)
        st = ops->attention(p->be, run->batch,
                            &(struct wm_attention){.qkv = p->qkv,
                                                   .out = p->attended,
                                                   .heads = a->heads,
                                                   .kv_heads = a->kv_heads,
                                                   .head_dim = a->head_dim,
                                                   .scale = (float)(1 / sqrt(a->head_dim)),
                                                   .chunk = group == WM_GROUP_LOCAL ? a->chunk : 0,
                                                   .kv = run->kv[group],
                                                   .layer = layer->pool_layer,
                                                   .group = group},
                            err);
    if (st == WM_OK)
        st = ops->matmul(
            p->be, &(struct wm_matmul){.x = p->attended, .rows = rows, .w = layer->o, .y = p->x, .add = true},
            err);
    return st;
}

static enum wm_status experts(struct wm_program *p, const struct wm_layer *layer, int32_t rows,
                              struct wm_error *err)
{
    const struct wm_arch *a = p->arch;
    enum wm_status st = p->ops->route(p->be,
                                      &(struct wm_route){.x = p->x,
                                                         .rows = rows,
                                                         .norm = layer->ffn_norm,
                                                         .eps = (float)a->rms_eps,
                                                         .w = layer->router,
                                                         .logits = p->router_logits,
                                                         .routes = p->routes},
                                      err);
    if (st == WM_OK && layer->gate_up)
        st = gate_up(p, layer, rows, err);
    if (st == WM_OK)
        st = p->ops->expert_run(p->be,
                                &(struct wm_expert_run){.x = p->x,
                                                        .rows = rows,
                                                        .norm = layer->ffn_norm,
                                                        .eps = (float)a->rms_eps,
                                                        .experts = layer->experts,
                                                        .routes = p->routes,
                                                        .y = p->x},
                                err);
    return st == WM_OK && layer->gate_up ? down(p, layer, rows, err) : st;
}

static enum wm_status feed_forward_half(struct wm_program *p, int32_t rows, int32_t l, struct wm_error *err)
{
    const struct wm_layer *layer = &p->layers[l];
    if (layer->experts)
        return experts(p, layer, rows, err);
    enum wm_status st = gate_up(p, layer, rows, err);
    return st == WM_OK ? down(p, layer, rows, err) : st;
}

static enum wm_status embed(struct wm_program *p, const struct wm_run *run, struct wm_error *err)
{
    enum wm_status st = p->ops->embed(p->be, p->embedding, run->ids, run->batch->rows, p->x, err);
    for (int32_t i = 0; i < run->n_grafts && st == WM_OK; i++) {
        const struct wm_graft *g = &run->grafts[i];
        st = p->ops->copy_rows(p->be, g->from, g->from_row, p->x, g->row, g->rows, err);
    }
    return st;
}

enum wm_status wm_program_run(struct wm_program *p, const struct wm_run *run, struct wm_error *err)
{
    assert(run->batch->rows >= 1 && run->batch->rows <= p->max_rows);
    enum wm_status st = embed(p, run, err);
    for (int32_t l = 0; l < p->arch->layers && st == WM_OK; l++) {
        st = attention_half(p, run, l, err);
        if (st == WM_OK)
            st = feed_forward_half(p, run->batch->rows, l, err);
    }
    if (st != WM_OK || run->n_want == 0)
        return st;
    return p->ops->matmul(p->be,
                          &(struct wm_matmul){.x = p->x,
                                              .index = run->want,
                                              .rows = run->n_want,
                                              .prologue = WM_PROLOGUE_RMS_NORM,
                                              .norm = p->output_norm,
                                              .eps = (float)p->arch->rms_eps,
                                              .w = p->output,
                                              .y = run->logits},
                          err);
}

void wm_graft_add(struct wm_graft *grafts, int32_t *n, const struct wm_act *from, int32_t from_row,
                  int32_t row)
{
    struct wm_graft *last = *n ? &grafts[*n - 1] : NULL;
    if (last && last->from == from && last->from_row + last->rows == from_row &&
        last->row + last->rows == row)
        last->rows++;
    else
        grafts[(*n)++] = (struct wm_graft){.from = from, .from_row = from_row, .row = row, .rows = 1};
}

struct wm_kv_shape wm_program_kv_shape(const struct wm_arch *arch, int group, int32_t blocks)
{
    struct wm_kv_shape shape = {.kv_heads = arch->kv_heads, .head_dim = arch->head_dim, .blocks = blocks};
    for (int32_t l = 0; l < arch->layers; l++)
        shape.layers += wm_layer_group(arch, l) == group;
    return shape;
}

/* watched_face.c -- see watched_face.h.
 *
 * HOW     The program under test says nothing about itself: where it is follows from the operations it asks
 *         for. Its layers begin with the only products that are both normed and precise; what those read is
 *         what the layer before has left.
 */
#include "tests/check.h"

#include "tests/engine/watched_face.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops.h"

extern const struct wm_ops wm_ops_reference, wm_ops_cpu;

struct seen seen;
enum breakage broken;
const struct wm_arch *watched_arch;

static const struct wm_ops *inner;                /* the face that was opened last */
static bool adapting;                             /* between the two products of the adapter's gelu */
static int32_t layer, vision_layer;               /* where the program is */
static int64_t position;                          /* of the run's first row */
static const struct wm_act *stream;               /* the activation that embed wrote */
static float pending[SEEN_POSITIONS][SEEN_WIDTH]; /* rows whose position is not known yet */

static void read_rows(struct wm_backend *be, const struct wm_act *act, int32_t rows, int32_t width,
                      float *out, size_t stride)
{
    struct wm_error err = WM_ERROR_INIT;
    float *all = malloc((size_t)rows * (size_t)width * sizeof *all);
    assert_non_null(all);
    assert_int_equal(inner->act_read(be, act, 0, rows, all, &err), WM_OK);
    for (int32_t r = 0; r < rows; r++)
        memcpy(out + (size_t)r * stride, all + (size_t)r * (size_t)width, (size_t)width * sizeof *all);
    free(all);
}

/* Rows that fit are kept; long prompts and wide models only run. */
static bool fits(int64_t first, int32_t rows, int32_t width)
{
    return first + rows <= SEEN_POSITIONS && width <= SEEN_WIDTH && layer <= SEEN_LAYERS;
}

static enum wm_status embed(struct wm_backend *be, const struct wm_weight *table, const int32_t *ids,
                            int32_t rows, struct wm_act *x, struct wm_error *err)
{
    stream = x;
    layer = -1;
    return inner->embed(be, table, ids, rows, x, err);
}

static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

/* The product of another gelu than the contract's. */
static enum wm_status tanh_matmul(struct wm_backend *be, const struct wm_matmul *op, int32_t width,
                                  struct wm_error *err)
{
    size_t n = (size_t)op->rows * (size_t)width;
    struct wm_act *bent;
    struct wm_matmul plain = *op;
    float *rows = malloc(n * sizeof *rows);
    assert_non_null(rows);
    assert_int_equal(inner->act_new(be, op->rows, width, &bent, err), WM_OK);
    assert_int_equal(inner->act_read(be, op->x, 0, op->rows, rows, err), WM_OK);
    for (size_t i = 0; i < n; i++)
        rows[i] = (float)gelu_tanh((double)rows[i]);
    assert_int_equal(inner->act_write(be, bent, 0, op->rows, rows, err), WM_OK);
    plain.x = bent;
    plain.prologue = WM_PROLOGUE_NONE;
    enum wm_status st = inner->matmul(be, &plain, err);
    inner->act_free(be, bent);
    free(rows);
    return st;
}

static enum wm_status vision_matmul(struct wm_backend *be, const struct wm_matmul *op, struct wm_error *err)
{
    const struct wm_vision_arch *v = &watched_arch->vision;
    struct wm_matmul changed = *op;
    bool behind_gelu = op->prologue == WM_PROLOGUE_GELU && !op->bias, projector = behind_gelu && adapting;
    if (op->prologue == WM_PROLOGUE_LAYER_NORM && op->precise) {
        if (vision_layer > 0) /* [0] was seen before the tower's first norm */
            read_rows(be, op->x, op->rows, v->width, seen.vision[vision_layer][0], SEEN_VISION);
        vision_layer++;
    }
    if (projector)
        read_rows(be, op->x, op->rows, v->out, seen.adapter[0], SEEN_VISION);
    if (behind_gelu)
        adapting = !adapting;
    if (projector)
        vision_layer = 0; /* the tile is done */
    if (broken == BREAK_VISION_BIAS_OFF)
        changed.bias = NULL;
    if (broken == BREAK_ADAPTER_GELU_ONCE && projector)
        changed.prologue = WM_PROLOGUE_NONE;
    if (broken == BREAK_VISION_GELU_TANH && op->prologue == WM_PROLOGUE_GELU)
        return tanh_matmul(be, op, op->bias ? v->hidden : projector ? v->out : v->adapter_hidden, err);
    return inner->matmul(be, &changed, err);
}

static enum wm_status matmul(struct wm_backend *be, const struct wm_matmul *op, struct wm_error *err)
{
    if (op->bias || op->prologue == WM_PROLOGUE_LAYER_NORM || op->prologue == WM_PROLOGUE_GELU)
        return vision_matmul(be, op, err);
    bool begins = op->x == stream && op->precise, ends = op->x == stream && op->index;
    if (begins || ends) {
        layer++;
        if (fits(begins ? 0 : position, op->rows, watched_arch->width))
            read_rows(be, op->x, op->rows, watched_arch->width,
                      begins ? pending[0] : seen.hidden[layer][position], SEEN_WIDTH);
    }
    if (broken == BREAK_SHARED_EXPERT_OFF && op->prologue == WM_PROLOGUE_SWIGLU && layer >= 0 &&
        watched_arch->moe[layer])
        return WM_OK;
    return inner->matmul(be, op, err);
}

static enum wm_status qkv_post(struct wm_backend *be, const struct wm_batch *batch,
                               const struct wm_qkv_post *op, struct wm_error *err)
{
    struct wm_qkv_post changed = *op;
    double unscaled[WM_MAX_HEAD_DIM / 2];
    position = batch->spans[0].first_pos;
    if (fits(position, batch->rows, watched_arch->width))
        memcpy(seen.hidden[layer][position], pending, (size_t)batch->rows * sizeof pending[0]);
    for (int32_t i = 0; i < op->head_dim / 2; i++)
        unscaled[i] = pow(watched_arch->rope_base, -2.0 * i / op->head_dim);
    if (broken == BREAK_TEMPERATURE_OFF)
        changed.temperature_floor = 0;
    if (broken == BREAK_QK_NORM_TOGGLED)
        changed.qk_norm = op->rope != WM_ROPE_NONE && !op->qk_norm;
    if (broken == BREAK_OTHER_ROPE_PAIRING && op->rope != WM_ROPE_NONE)
        changed.rope = op->rope == WM_ROPE_ADJACENT ? WM_ROPE_HALVES : WM_ROPE_ADJACENT;
    if (broken == BREAK_ROPE_EVERYWHERE)
        changed.rope = WM_ROPE_ADJACENT;
    if (broken == BREAK_ROPE_UNSCALED)
        changed.inv_freq = unscaled;
    return inner->qkv_post(be, batch, &changed, err);
}

static enum wm_status attention(struct wm_backend *be, const struct wm_batch *batch,
                                const struct wm_attention *op, struct wm_error *err)
{
    struct wm_attention changed = *op;
    if (broken == BREAK_CHUNK_IGNORED)
        changed.chunk = 0;
    return inner->attention(be, batch, &changed, err);
}

static enum wm_status route(struct wm_backend *be, const struct wm_route *op, struct wm_error *err)
{
    enum { MAX_ROWS = 4096 };
    static int32_t experts[MAX_ROWS * SEEN_USED];
    static float scores[MAX_ROWS * SEEN_USED];
    int32_t used = watched_arch->experts_used;
    enum wm_status st = inner->route(be, op, err);
    if (st != WM_OK || used > SEEN_USED || op->rows > MAX_ROWS)
        return st;
    st = inner->routes_read(be, op->routes, op->rows, experts, scores, err);
    if (fits(position, op->rows, watched_arch->width) && watched_arch->experts <= SEEN_EXPERTS) {
        read_rows(be, op->logits, op->rows, watched_arch->experts, seen.router_logits[layer][position],
                  SEEN_EXPERTS);
        for (int32_t r = 0; r < op->rows; r++)
            for (int32_t k = 0; k < used; k++) {
                seen.expert[layer][position + r][k] = experts[r * used + k];
                seen.score[layer][position + r][k] = scores[r * used + k];
            }
    }
    for (int32_t i = 0; i < op->rows * used; i++) {
        if (broken == BREAK_ROUTER_SCORE_OFF)
            scores[i] = 1;
        if (broken == BREAK_SECOND_EXPERT_OFF && i % used == 1)
            scores[i] = 0; /* swiglu of nothing is nothing */
    }
    return st == WM_OK ? inner->routes_write(be, op->routes, op->rows, experts, scores, err) : st;
}

/* --- the tower ------------------------------------------------------------------------------------------ */

static enum wm_status layer_norm(struct wm_backend *be, struct wm_act *x, int32_t rows, const float *norm,
                                 const float *norm_bias, float eps, struct wm_error *err)
{
    const struct wm_vision_arch *v = &watched_arch->vision;
    read_rows(be, x, rows, v->width, seen.vision[vision_layer][0], SEEN_VISION);
    return inner->layer_norm(be, x, rows, norm, norm_bias, eps, err);
}

/* Gives the class token's place to be the first: everything moves down by one. */
static void class_first(struct wm_backend *be, struct wm_act *x, int32_t tokens, int32_t width)
{
    struct wm_error err = WM_ERROR_INIT;
    float *rows = malloc((size_t)tokens * (size_t)width * sizeof *rows);
    size_t row = (size_t)width;
    assert_non_null(rows);
    assert_int_equal(inner->act_read(be, x, 0, tokens, rows, &err), WM_OK);
    assert_int_equal(inner->act_write(be, x, 0, 1, rows + (size_t)(tokens - 1) * row, &err), WM_OK);
    assert_int_equal(inner->act_write(be, x, 1, tokens - 1, rows, &err), WM_OK);
    free(rows);
}

static enum wm_status tile_attention(struct wm_backend *be, const struct wm_tile_attention *op,
                                     struct wm_error *err)
{
    static float cosines[SEEN_TOKENS * WM_MAX_HEAD_DIM], sines[SEEN_TOKENS * WM_MAX_HEAD_DIM];
    struct wm_tile_attention changed = *op;
    const struct wm_vision_arch *v = &watched_arch->vision;
    int32_t pairs = op->head_dim / 2, each = pairs / 2, side = v->image / v->patch;
    int from = broken == BREAK_VISION_ROPE_FROM_0 ? 0 : 1;
    bool row_first = broken == BREAK_VISION_ROPE_ROW_FIRST;
    for (int32_t t = 0; t < op->tokens; t++)
        for (int32_t i = 0; i < pairs; i++) {
            bool by_column = (i < each) != row_first, class_token = t == side * side;
            double angle =
                (from + (by_column ? t % side : t / side)) * pow(v->rope_base, -(double)(i % each) / each);
            if (class_token && broken != BREAK_VISION_CLASS_ROTATED)
                angle = 0;
            cosines[t * pairs + i] = (float)cos(angle);
            sines[t * pairs + i] = (float)sin(angle);
        }
    if (broken == BREAK_VISION_ROPE_FROM_0 || row_first || broken == BREAK_VISION_CLASS_ROTATED) {
        changed.cos = cosines;
        changed.sin = sines;
    }
    return inner->tile_attention(be, &changed, err);
}

static enum wm_status pixel_shuffle(struct wm_backend *be, const struct wm_pixel_shuffle *op,
                                    struct wm_error *err)
{
    int32_t side = op->side / op->factor, width = op->width * op->factor * op->factor;
    if (broken == BREAK_VISION_CLASS_FIRST)
        class_first(be, (struct wm_act *)op->in, op->tokens, op->width);
    enum wm_status st = inner->pixel_shuffle(be, op, err);
    read_rows(be, op->out, side * side, width, seen.shuffled[0], SEEN_VISION);
    if (st != WM_OK || broken != BREAK_SHUFFLE_TRANSPOSED)
        return st;
    float *rows = malloc((size_t)(side * side * width) * sizeof *rows);
    assert_non_null(rows);
    st = inner->act_read(be, op->out, 0, side * side, rows, err);
    for (int32_t t = 0; t < side * side && st == WM_OK; t++)
        st = inner->act_write(be, op->out, t % side * side + t / side, 1, rows + t * width, err);
    free(rows);
    return st;
}

/* Rows that leave the tower go to their place among the picture's tiles. */
static enum wm_status copy_rows(struct wm_backend *be, const struct wm_act *from, int32_t from_row,
                                struct wm_act *to, int32_t to_row, int32_t rows, struct wm_error *err)
{
    enum { TILES = 5, TILE_TOKENS = 4 }; /* of the picture that this is asked of */
    if (broken == BREAK_GLOBAL_TILE_FIRST && to != stream)
        to_row = (to_row / TILE_TOKENS + 1) % TILES * TILE_TOKENS;
    return inner->copy_rows(be, from, from_row, to, to_row, rows, err);
}

/* --- the list of faces ---------------------------------------------------------------------------------- */

static enum wm_status open_reference(const struct wm_backend_options *o, struct wm_backend **out,
                                     struct wm_error *err)
{
    inner = &wm_ops_reference;
    return inner->open(o, out, err);
}

static enum wm_status open_cpu(const struct wm_backend_options *o, struct wm_backend **out,
                               struct wm_error *err)
{
    inner = &wm_ops_cpu;
    return inner->open(o, out, err);
}

static struct wm_ops watched_reference, watched_cpu;
const struct wm_ops *const wm_faces[] = {&watched_reference, &watched_cpu, NULL};

__attribute__((constructor)) static void make_faces(void)
{
    watched_reference = wm_ops_reference;
    watched_cpu = wm_ops_cpu;
    watched_reference.open = open_reference;
    watched_cpu.open = open_cpu;
    struct wm_ops *faces[] = {&watched_reference, &watched_cpu};
    for (size_t i = 0; i < COUNT(faces); i++) {
        faces[i]->embed = embed;
        faces[i]->matmul = matmul;
        faces[i]->qkv_post = qkv_post;
        faces[i]->attention = attention;
        faces[i]->route = route;
        faces[i]->layer_norm = layer_norm;
        faces[i]->tile_attention = tile_attention;
        faces[i]->pixel_shuffle = pixel_shuffle;
        faces[i]->copy_rows = copy_rows;
    }
}

const struct wm_ops *wm_face(const char *name)
{
    for (const struct wm_ops *const *face = wm_faces; *face; face++)
        if (strcmp((*face)->name, name) == 0)
            return *face;
    return NULL;
}

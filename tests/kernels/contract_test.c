/* contract_test.c -- every operation of the contract once on every face, against plain loops in double.
 *
 * A new face is tested here as soon as it is listed. Attention, what comes before it, pictures and sampling
 * have programs of their own that do the same; corners of the cpu face's formats are in products_test.c and
 * experts_test.c.
 *
 * Floats leave the rounding of sums, FLOAT; codes of 8 bits, of a weight or of what meets it, ROUNDED.
 */
#include "tests/kernels/claims.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/matrix.h"

static const double FLOAT = 2e-5, ROUNDED = 0.02;
static const float EPS = 1e-5f;

enum { ROWS = 21, X_ROWS = 6, COLS = 64, OUTS = 37 };

static float *normals(struct dice *d, size_t n)
{
    float *x = need(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = dice_normal(d);
    return x;
}

static void every_operation_is_there(const struct face_kind *kind)
{
#define OPERATIONS(X)                                                                                        \
    X(open)                                                                                                  \
    X(close)                                                                                                 \
    X(describe)                                                                                              \
    X(act_new)                                                                                               \
    X(act_free)                                                                                              \
    X(act_read)                                                                                              \
    X(act_write)                                                                                             \
    X(weight_new)                                                                                            \
    X(weight_free)                                                                                           \
    X(weight_bytes)                                                                                          \
    X(experts_new)                                                                                           \
    X(experts_free)                                                                                          \
    X(experts_bytes)                                                                                         \
    X(routes_new)                                                                                            \
    X(routes_free)                                                                                           \
    X(routes_read)                                                                                           \
    X(routes_write)                                                                                          \
    X(kv_block_bytes)                                                                                        \
    X(kv_new)                                                                                                \
    X(kv_free)                                                                                               \
    X(kv_discard)                                                                                            \
    X(embed)                                                                                                 \
    X(copy_rows)                                                                                             \
    X(matmul)                                                                                                \
    X(route) X(expert_run) X(layer_norm) X(tile_attention) X(pixel_shuffle) X(qkv_post) X(attention) X(sample)
#define X(operation)                                                                                         \
    if (!kind->ops->operation)                                                                               \
        fail_msg("%s has no " #operation, kind->ops->name);
    OPERATIONS(X)
#undef X
#define X(operation) +1
    /* the name and the operations are all that the table holds: a new operation must come into the list above */
    assert_int_equal(sizeof(struct wm_ops), sizeof(char *) + sizeof(void (*)(void)) * (0 OPERATIONS(X)));
#undef X
    assert_ptr_equal(wm_face(kind->ops->name), kind->ops);
    struct face f = open_kind(kind, 2);
    assert_true(strlen(f.ops->describe(f.be)) > 0);
    close_face(&f);
}

static void nothing_can_be_freed(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 1);
    f.ops->act_free(f.be, NULL);
    f.ops->weight_free(f.be, NULL);
    f.ops->experts_free(f.be, NULL);
    f.ops->routes_free(f.be, NULL);
    f.ops->kv_free(f.be, NULL);
    close_face(&f);
    kind->ops->close(NULL);
}

static void activations_hold_what_was_written(const struct face_kind *kind)
{
    static const int32_t widths[] = {1, 15, 16, 17, 300};
    struct face f = open_kind(kind, 1);
    struct wm_error err = WM_ERROR_INIT;
    struct dice d = {41};
    for (size_t w = 0; w < COUNT(widths); w++) {
        size_t n = (size_t)widths[w];
        float *want = normals(&d, 5 * n), *middle = normals(&d, 2 * n), *got = need(5 * n * sizeof *got);
        struct wm_act *act = new_act(&f, 5, widths[w], want);
        assert_int_equal(f.ops->act_write(f.be, act, 2, 2, middle, &err), WM_OK);
        memcpy(want + 2 * n, middle, 2 * n * sizeof *want);
        read_act(&f, act, 5, got);
        check_same("all rows", got, want, 5 * n);
        assert_int_equal(f.ops->act_read(f.be, act, 3, 2, got, &err), WM_OK);
        check_same("the last two", got, want + 3 * n, 2 * n);
        f.ops->act_free(f.be, act);
        free(want);
        free(middle);
        free(got);
    }
    close_face(&f);
}

/* --- products ------------------------------------------------------------------------------------------- */

/* What meets the weights: the row after its prologue. */
static void prologue(enum wm_prologue what, const float *x, const float *norm, const float *bias, double *out)
{
    double mean = 0, square = 0;
    for (int i = 0; i < COLS; i++)
        mean += what == WM_PROLOGUE_LAYER_NORM ? (double)x[i] / COLS : 0;
    for (int i = 0; i < COLS; i++)
        square += ((double)x[i] - mean) * ((double)x[i] - mean) / COLS;
    for (int i = 0; i < COLS; i++) {
        double v = (double)x[i], normed = (v - mean) / sqrt(square + (double)EPS) * (double)norm[i];
        switch (what) {
        case WM_PROLOGUE_NONE:
            out[i] = v;
            break;
        case WM_PROLOGUE_RMS_NORM:
            out[i] = normed;
            break;
        case WM_PROLOGUE_LAYER_NORM:
            out[i] = normed + (double)bias[i];
            break;
        case WM_PROLOGUE_SWIGLU:
            out[i] = v / (1 + exp(-v)) * (double)x[COLS + i];
            break;
        case WM_PROLOGUE_GELU:
            out[i] = v * (1 + erf(v / sqrt(2))) / 2;
            break;
        }
    }
}

/* Two stacked parts, gathered rows, a bias and a residual. */
static void products(const struct face_kind *kind, enum wm_type type, bool precise)
{
    static const enum wm_prologue prologues[] = {
        WM_PROLOGUE_NONE, WM_PROLOGUE_RMS_NORM, WM_PROLOGUE_LAYER_NORM, WM_PROLOGUE_SWIGLU, WM_PROLOGUE_GELU};
    struct face f = open_kind(kind, 2);
    struct wm_error err = WM_ERROR_INIT;
    struct dice d = {42};
    const struct wm_matrix parts[] = {random_matrix(&d, type, OUTS - 5, COLS),
                                      random_matrix(&d, type, 5, COLS)};
    struct wm_weight *w;
    assert_int_equal(f.ops->weight_new(f.be, parts, 2, WM_USE_MATMUL, &w, &err), WM_OK);
    float *x = normals(&d, X_ROWS * 2 * COLS), *y = normals(&d, ROWS * OUTS), *bias = normals(&d, OUTS);
    float *norm = normals(&d, COLS), *norm_bias = normals(&d, COLS);
    float *want = need(ROWS * OUTS * sizeof *want), *got = need(ROWS * OUTS * sizeof *got);
    int32_t index[ROWS];
    for (int r = 0; r < ROWS; r++)
        index[r] = (int32_t)(dice_bits(&d) % X_ROWS);
    for (size_t p = 0; p < COUNT(prologues); p++) {
        struct wm_act *in = new_act(&f, X_ROWS, 2 * COLS, x), *out = new_act(&f, ROWS, OUTS, y);
        struct wm_matmul op = {.x = in,
                               .index = index,
                               .rows = ROWS,
                               .prologue = prologues[p],
                               .norm = norm,
                               .norm_bias = norm_bias,
                               .eps = EPS,
                               .w = w,
                               .bias = bias,
                               .y = out,
                               .add = true,
                               .precise = precise};
        assert_int_equal(f.ops->matmul(f.be, &op, &err), WM_OK);
        read_act(&f, out, ROWS, got);
        for (int r = 0; r < ROWS; r++) {
            double z[COLS];
            prologue(prologues[p], x + (size_t)index[r] * 2 * COLS, norm, norm_bias, z);
            for (int o = 0; o < OUTS; o++) {
                float row[COLS];
                double sum = (double)y[r * OUTS + o] + (double)bias[o];
                wm_matrix_row(o < OUTS - 5 ? &parts[0] : &parts[1], o < OUTS - 5 ? o : o - (OUTS - 5), row);
                for (int i = 0; i < COLS; i++)
                    sum += (double)row[i] * z[i];
                want[r * OUTS + o] = (float)sum;
            }
        }
        if (type == WM_TYPE_F32)
            check_close(f.name, got, want, ROWS * OUTS, FLOAT);
        else
            check_near_on_average(f.name, got, want, ROWS * OUTS, precise ? ROUNDED / 50 : ROUNDED);
        f.ops->act_free(f.be, in);
        f.ops->act_free(f.be, out);
    }
    f.ops->weight_free(f.be, w);
    for (int i = 0; i < 2; i++)
        free((void *)parts[i].data);
    free(x);
    free(y);
    free(bias);
    free(norm);
    free(norm_bias);
    free(want);
    free(got);
    close_face(&f);
}

static void products_of_floats_are_right_behind_every_prologue(const struct face_kind *kind)
{
    products(kind, WM_TYPE_F32, false);
}

static void products_of_codes_are_near(const struct face_kind *kind)
{
    products(kind, WM_TYPE_Q8_0, false);
}

static void precise_products_of_codes_are_nearer(const struct face_kind *kind)
{
    products(kind, WM_TYPE_Q8_0, true);
}

static void a_lookup_gives_the_rows_values(const struct face_kind *kind)
{
    static const enum wm_type types[] = {WM_TYPE_F32, WM_TYPE_BF16, WM_TYPE_Q8_0};
    static const int32_t ids[] = {0, 6, 3, 3, 1};
    struct face f = open_kind(kind, 2);
    struct wm_error err = WM_ERROR_INIT;
    struct dice d = {43};
    for (size_t t = 0; t < COUNT(types); t++) {
        struct wm_matrix m = random_matrix(&d, types[t], 7, COLS);
        float got[COUNT(ids) * COLS], want[COLS];
        struct wm_weight *table;
        assert_int_equal(f.ops->weight_new(f.be, &m, 1, WM_USE_LOOKUP, &table, &err), WM_OK);
        struct wm_act *x = new_act(&f, COUNT(ids), COLS, NULL);
        assert_int_equal(f.ops->embed(f.be, table, ids, COUNT(ids), x, &err), WM_OK);
        read_act(&f, x, COUNT(ids), got);
        for (size_t i = 0; i < COUNT(ids); i++) {
            wm_matrix_row(&m, ids[i], want);
            check_same(wm_type_info(types[t])->name, got + i * COLS, want, COLS);
        }
        f.ops->act_free(f.be, x);
        f.ops->weight_free(f.be, table);
        free((void *)m.data);
    }
    close_face(&f);
}

/* --- experts -------------------------------------------------------------------------------------------- */

enum { EXPERTS = 5, USED = 2, WIDTH = COLS, HIDDEN = 48 };

static double normed(const float *x, const float *norm, int i)
{
    double square = 0;
    for (int j = 0; j < WIDTH; j++)
        square += (double)x[j] * (double)x[j] / WIDTH;
    return (double)x[i] / sqrt(square + (double)EPS) * (double)norm[i];
}

static double line_times(const struct wm_matrix *m, int row, const double *z)
{
    const float *w = (const float *)m->data + (size_t)row * (size_t)m->cols;
    double sum = 0;
    for (int64_t i = 0; i < m->cols; i++)
        sum += (double)w[i] * z[i];
    return sum;
}

static void rows_go_to_the_largest_logits(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 2);
    struct wm_error err = WM_ERROR_INIT;
    struct dice d = {44};
    struct wm_matrix m = random_matrix(&d, WM_TYPE_F32, EXPERTS, WIDTH);
    memcpy((float *)(uintptr_t)m.data + 4 * WIDTH, m.data,
           WIDTH * sizeof(float)); /* expert 4 ties with expert 0 */
    float *x = normals(&d, ROWS * WIDTH), *norm = normals(&d, WIDTH), logits[ROWS * EXPERTS];
    struct wm_weight *router;
    struct wm_routes *routes;
    assert_int_equal(f.ops->weight_new(f.be, &m, 1, WM_USE_ROUTER, &router, &err), WM_OK);
    assert_int_equal(f.ops->routes_new(f.be, ROWS, USED, &routes, &err), WM_OK);
    struct wm_act *in = new_act(&f, ROWS, WIDTH, x), *out = new_act(&f, ROWS, EXPERTS, NULL);
    struct wm_route op = {
        .x = in, .rows = ROWS, .norm = norm, .eps = EPS, .w = router, .logits = out, .routes = routes};
    assert_int_equal(f.ops->route(f.be, &op, &err), WM_OK);
    read_act(&f, out, ROWS, logits);
    int32_t experts[ROWS * USED];
    float scores[ROWS * USED];
    assert_int_equal(f.ops->routes_read(f.be, routes, ROWS, experts, scores, &err), WM_OK);
    for (int r = 0; r < ROWS; r++) {
        double z[WIDTH];
        for (int i = 0; i < WIDTH; i++)
            z[i] = normed(x + r * WIDTH, norm, i);
        const float *logit = logits + r * EXPERTS;
        for (int e = 0; e < EXPERTS; e++)
            CHECK_NEAR((double)logit[e], line_times(&m, e, z), 1e-4);
        int best = 0, next = -1;
        for (int e = 1; e < EXPERTS; e++)
            best = logit[e] > logit[best] ? e : best;
        for (int e = 0; e < EXPERTS; e++)
            if (e != best && (next < 0 || logit[e] > logit[next]))
                next = e;
        assert_int_equal(experts[r * USED], best);
        assert_int_equal(experts[r * USED + 1], next);
        for (int k = 0; k < USED; k++)
            CHECK_NEAR((double)scores[r * USED + k], 1 / (1 + exp(-(double)logit[experts[r * USED + k]])),
                       1e-6);
    }
    f.ops->act_free(f.be, in);
    f.ops->act_free(f.be, out);
    f.ops->routes_free(f.be, routes);
    f.ops->weight_free(f.be, router);
    free((void *)m.data);
    free(x);
    free(norm);
    close_face(&f);
}

/* Into another activation, and into its own input. */
static void experts_add_what_they_make_of_the_scaled_row(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 2);
    struct wm_error err = WM_ERROR_INIT;
    struct dice d = {45};
    struct wm_expert_matrices matrices[EXPERTS];
    for (int e = 0; e < EXPERTS; e++)
        matrices[e] = (struct wm_expert_matrices){random_matrix(&d, WM_TYPE_F32, HIDDEN, WIDTH),
                                                  random_matrix(&d, WM_TYPE_F32, HIDDEN, WIDTH),
                                                  random_matrix(&d, WM_TYPE_F32, WIDTH, HIDDEN)};
    float *x = normals(&d, ROWS * WIDTH), *y = normals(&d, ROWS * WIDTH), *norm = normals(&d, WIDTH);
    int32_t chosen[ROWS * USED];
    float scores[ROWS * USED], want[ROWS * WIDTH], got[ROWS * WIDTH];
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < USED; k++) {
            chosen[r * USED + k] = (r + 2 * k) % EXPERTS;
            scores[r * USED + k] = dice_between(&d, 0.05f, 1);
        }
    struct wm_experts *experts;
    struct wm_routes *routes;
    assert_int_equal(f.ops->experts_new(f.be, matrices, EXPERTS, &experts, &err), WM_OK);
    assert_int_equal(f.ops->routes_new(f.be, ROWS, USED, &routes, &err), WM_OK);
    assert_int_equal(f.ops->routes_write(f.be, routes, ROWS, chosen, scores, &err), WM_OK);
    for (int same = 0; same < 2; same++) {
        const float *before = same ? x : y;
        struct wm_act *in = new_act(&f, ROWS, WIDTH, x), *out = same ? in : new_act(&f, ROWS, WIDTH, y);
        struct wm_expert_run op = {
            .x = in, .rows = ROWS, .norm = norm, .eps = EPS, .experts = experts, .routes = routes, .y = out};
        assert_int_equal(f.ops->expert_run(f.be, &op, &err), WM_OK);
        read_act(&f, out, ROWS, got);
        for (int r = 0; r < ROWS; r++) {
            double sum[WIDTH] = {0};
            for (int k = 0; k < USED; k++) {
                const struct wm_expert_matrices *e = &matrices[chosen[r * USED + k]];
                double z[WIDTH], h[HIDDEN];
                for (int i = 0; i < WIDTH; i++)
                    z[i] = (double)scores[r * USED + k] * normed(x + r * WIDTH, norm, i);
                for (int j = 0; j < HIDDEN; j++) {
                    double gate = line_times(&e->gate, j, z);
                    h[j] = gate / (1 + exp(-gate)) * line_times(&e->up, j, z);
                }
                for (int i = 0; i < WIDTH; i++)
                    sum[i] += line_times(&e->down, i, h);
            }
            for (int i = 0; i < WIDTH; i++)
                want[r * WIDTH + i] = (float)((double)before[r * WIDTH + i] + sum[i]);
        }
        check_close(f.name, got, want, ROWS * WIDTH, FLOAT);
        f.ops->act_free(f.be, in);
        if (!same)
            f.ops->act_free(f.be, out);
    }
    f.ops->routes_free(f.be, routes);
    f.ops->experts_free(f.be, experts);
    for (int e = 0; e < EXPERTS; e++) {
        free((void *)matrices[e].gate.data);
        free((void *)matrices[e].up.data);
        free((void *)matrices[e].down.data);
    }
    free(x);
    free(y);
    free(norm);
    close_face(&f);
}

int main(void)
{
    static const struct claim claims[] = {
        CLAIM(every_operation_is_there),
        CLAIM(nothing_can_be_freed),
        CLAIM(activations_hold_what_was_written),
        CLAIM(products_of_floats_are_right_behind_every_prologue),
        CLAIM(products_of_codes_are_near),
        CLAIM(precise_products_of_codes_are_nearer),
        CLAIM(a_lookup_gives_the_rows_values),
        CLAIM(rows_go_to_the_largest_logits),
        CLAIM(experts_add_what_they_make_of_the_scaled_row),
    };
    return check_claims(claims, COUNT(claims));
}

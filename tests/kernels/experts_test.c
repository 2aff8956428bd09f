/* experts_test.c -- rows go to the experts with the largest logits, and get from each what it makes of the scaled row:
 * the reference against plain loops, every path against the reference.
 */
#include "tests/kernels/twin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 64, HIDDEN = 96, MOST_EXPERTS = 128, MOST_ROWS = 40, MOST_USED = 8 };
static const double ROUNDED = 0.02, EXACT = 2e-5;
static const float EPS = 1e-5f;

/* The matrices of one layer. */
struct layer {
    int32_t n;
    struct wm_expert_matrices experts[MOST_EXPERTS];
    float norm[WIDTH];
};

static struct layer *new_layer(struct dice *d, int32_t n, enum wm_type up, enum wm_type down)
{
    struct layer *l = need(sizeof *l);
    l->n = n;
    for (int32_t e = 0; e < n; e++) {
        l->experts[e].gate = random_matrix(d, up, HIDDEN, WIDTH);
        l->experts[e].up = random_matrix(d, up, HIDDEN, WIDTH);
        l->experts[e].down = random_matrix(d, down, WIDTH, HIDDEN);
    }
    for (int i = 0; i < WIDTH; i++)
        l->norm[i] = dice_between(d, 0.5f, 1.5f);
    return l;
}

static void free_layer(struct layer *l)
{
    for (int32_t e = 0; e < l->n; e++) {
        free((void *)l->experts[e].gate.data);
        free((void *)l->experts[e].up.data);
        free((void *)l->experts[e].down.data);
    }
    free(l);
}

/* A batch with its routes, made by hand. */
struct batch {
    int32_t rows, used;
    float x[MOST_ROWS * WIDTH], y[MOST_ROWS * WIDTH];
    int32_t experts[MOST_ROWS * MOST_USED];
    float scores[MOST_ROWS * MOST_USED];
};

static struct batch *new_batch(struct dice *d, int32_t rows, int32_t used, int32_t n)
{
    struct batch *b = need(sizeof *b);
    b->rows = rows;
    b->used = used;
    for (int32_t i = 0; i < rows * WIDTH; i++) {
        b->x[i] = dice_normal(d);
        b->y[i] = dice_normal(d);
    }
    for (int32_t r = 0; r < rows; r++)
        for (int32_t k = 0; k < used; k++) {
            int32_t i = r * used + k, e;
            bool taken;
            do { /* a row's experts differ */
                e = (int32_t)(dice_bits(d) % (uint64_t)n);
                taken = false;
                for (int32_t j = 0; j < k; j++)
                    taken |= b->experts[r * used + j] == e;
            } while (taken);
            b->experts[i] = e;
            b->scores[i] = dice_between(d, 0.05f, 1);
        }
    return b;
}

/* Rows [first, first + rows) of the batch on a face; the result is [rows, WIDTH]. `same`: y is x. */
static void run_with(struct face *f, const struct wm_experts *experts, const struct layer *l,
                     const struct batch *b, int32_t first, int32_t rows, bool same, float *out)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_routes *routes;
    assert_int_equal(f->ops->routes_new(f->be, rows, b->used, &routes, &err), WM_OK);
    assert_int_equal(f->ops->routes_write(f->be, routes, rows, b->experts + first * b->used,
                                          b->scores + first * b->used, &err),
                     WM_OK);
    struct wm_act *x = new_act(f, rows, WIDTH, b->x + first * WIDTH);
    struct wm_act *y = same ? x : new_act(f, rows, WIDTH, b->y + first * WIDTH);
    struct wm_expert_run op = {
        .x = x, .rows = rows, .norm = l->norm, .eps = EPS, .experts = experts, .routes = routes, .y = y};
    assert_int_equal(f->ops->expert_run(f->be, &op, &err), WM_OK);
    read_act(f, y, rows, out);
    f->ops->act_free(f->be, x);
    if (!same)
        f->ops->act_free(f->be, y);
    f->ops->routes_free(f->be, routes);
}

static struct wm_experts *new_experts(struct face *f, const struct layer *l)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_experts *x;
    assert_int_equal(f->ops->experts_new(f->be, l->experts, l->n, &x, &err), WM_OK);
    return x;
}

static float *run(struct face *f, const struct layer *l, const struct batch *b, bool same)
{
    struct wm_experts *experts = new_experts(f, l);
    float *out = need((size_t)b->rows * WIDTH * sizeof *out);
    run_with(f, experts, l, b, 0, b->rows, same, out);
    f->ops->experts_free(f->be, experts);
    return out;
}

/* --- the reference, against loops one can read ---------------------------------------------------------- */

static double dot(const struct wm_matrix *m, int row, const double *x)
{
    const float *w = m->data;
    double sum = 0;
    for (int64_t i = 0; i < m->cols; i++)
        sum += (double)w[(size_t)row * (size_t)m->cols + (size_t)i] * x[i];
    return sum;
}

static void plain(const struct layer *l, const struct batch *b, bool score_behind, float *out)
{
    for (int32_t r = 0; r < b->rows; r++) {
        double y[WIDTH], square = 0;
        for (int i = 0; i < WIDTH; i++) {
            y[i] = (double)b->y[r * WIDTH + i];
            square += pow((double)b->x[r * WIDTH + i], 2);
        }
        double factor = 1 / sqrt(square / WIDTH + (double)EPS);
        for (int32_t k = 0; k < b->used; k++) {
            const struct wm_expert_matrices *e = &l->experts[b->experts[r * b->used + k]];
            double score = (double)b->scores[r * b->used + k], z[WIDTH], h[HIDDEN];
            for (int i = 0; i < WIDTH; i++)
                z[i] = (score_behind ? 1 : score) * factor * (double)b->x[r * WIDTH + i] * (double)l->norm[i];
            for (int j = 0; j < HIDDEN; j++) {
                double gate = dot(&e->gate, j, z);
                h[j] = gate / (1 + exp(-gate)) * dot(&e->up, j, z);
            }
            for (int i = 0; i < WIDTH; i++)
                y[i] += (score_behind ? score : 1) * dot(&e->down, i, h);
        }
        for (int i = 0; i < WIDTH; i++)
            out[r * WIDTH + i] = (float)y[i];
    }
}

static void the_reference_does_what_the_loops_say(void **state)
{
    (void)state;
    struct face f = open_reference();
    struct dice d = {1};
    struct layer *l = new_layer(&d, 5, WM_TYPE_F32, WM_TYPE_F32);
    struct batch *b = new_batch(&d, 13, 3, 5);
    float want[13 * WIDTH], other[13 * WIDTH];
    plain(l, b, false, want);
    float *got = run(&f, l, b, false);
    check_close("experts", got, want, 13 * WIDTH, 1e-6);
    plain(l, b, true, other); /* the score must scale the input: scaling the output is something else */
    double apart = 0;
    for (size_t i = 0; i < COUNT(want); i++)
        apart = fmax(apart, fabs((double)(other[i] - got[i])));
    assert_true(apart > 0.01);
    free(got);
    free(b);
    free_layer(l);
    close_face(&f);
}

/* --- every path against the reference ------------------------------------------------------------------- */

static const struct {
    int32_t n, used, rows;
    enum wm_type up, down;
} CASES[] = {
    {1, 1, 1, WM_TYPE_F32, WM_TYPE_F32},        {16, 1, 1, WM_TYPE_BF16, WM_TYPE_F16},
    {16, 1, 40, WM_TYPE_BF16, WM_TYPE_BF16},    {128, 1, 33, WM_TYPE_F32, WM_TYPE_BF16},
    {8, 8, 12, WM_TYPE_F32, WM_TYPE_F32},       {6, 2, 25, WM_TYPE_F8_E4M3, WM_TYPE_F8_E4M3},
    {4, 1, 40, WM_TYPE_Q4_0, WM_TYPE_Q5_0},     {128, 8, 40, WM_TYPE_Q8_0, WM_TYPE_Q4_1},
    {3, 2, 13, WM_TYPE_IQ4_NL, WM_TYPE_IQ4_NL}, {16, 1, 40, WM_TYPE_I4, WM_TYPE_I4},
};

static bool is_float(enum wm_type type)
{
    return wm_type_info(type)->block == 1;
}

static void agree(const char *path)
{
    struct face reference = open_reference(), cpu = open_cpu(path, 2);
    if (!cpu.ops) {
        close_face(&reference);
        SKIP(path);
    }
    struct dice d = {2};
    for (size_t c = 0; c < COUNT(CASES); c++)
        for (int same = 0; same < 2; same++) {
            struct layer *l = new_layer(&d, CASES[c].n, CASES[c].up, CASES[c].down);
            struct batch *b = new_batch(&d, CASES[c].rows, CASES[c].used, CASES[c].n);
            float *want = run(&reference, l, b, same), *got = run(&cpu, l, b, same);
            char what[64];
            snprintf(what, sizeof what, "case %zu on %s", c, path);
            if (is_float(CASES[c].up) && is_float(CASES[c].down))
                check_close(what, got, want, (size_t)b->rows * WIDTH, EXACT);
            else
                check_near_on_average(what, got, want, (size_t)b->rows * WIDTH, ROUNDED);
            free(want);
            free(got);
            free(b);
            free_layer(l);
        }
    close_face(&cpu);
    close_face(&reference);
}

/* Alone, in slices, with other threads: the same bits. */
static void invariant(const char *path)
{
    struct face one = open_cpu(path, 1), three = open_cpu(path, 3);
    if (!one.ops)
        SKIP(path);
    struct dice d = {3};
    for (size_t c = 0; c < COUNT(CASES); c++) {
        struct layer *l = new_layer(&d, CASES[c].n, CASES[c].up, CASES[c].down);
        struct batch *b = new_batch(&d, CASES[c].rows, CASES[c].used, CASES[c].n);
        struct wm_experts *alone = new_experts(&one, l), *together = new_experts(&three, l);
        float all[MOST_ROWS * WIDTH], some[MOST_ROWS * WIDTH];
        run_with(&three, together, l, b, 0, b->rows, false, all);
        for (int32_t slice = 1; slice <= b->rows; slice += 6) {
            for (int32_t r = 0; r < b->rows; r += slice)
                run_with(&one, alone, l, b, r, b->rows - r < slice ? b->rows - r : slice, false,
                         some + r * WIDTH);
            check_same(path, some, all, (size_t)b->rows * WIDTH);
        }
        one.ops->experts_free(one.be, alone);
        three.ops->experts_free(three.be, together);
        free(b);
        free_layer(l);
    }
    close_face(&one);
    close_face(&three);
}

/* Gate (0) or up (1) of a fused matrix of lines [gate rows, then up rows]; scales for its rows, or NULL. */
static struct wm_matrix half_of(const struct wm_matrix *all, const float *scales, int half)
{
    struct wm_matrix m = *all;
    size_t size = wm_type_info(all->type)->bytes;
    m.data = (const char *)all->data + (size_t)half * HIDDEN * size;
    m.rows = HIDDEN;
    m.cols = WIDTH;
    m.transposed = true;
    m.stride = 2 * HIDDEN;
    m.scales = (struct wm_scales){scales, WM_TYPE_F32, 1, 1, 1, 0};
    return m;
}

/* As Hugging Face's fused experts lie, and as rows one behind the other: the same bits. */
static void fused(const char *path, enum wm_type type)
{
    struct face f = open_cpu(path, 2);
    if (!f.ops)
        SKIP(path);
    enum { EXPERTS = 3 };
    struct dice d = {8};
    struct layer *l = new_layer(&d, EXPERTS, type, type), *fused = new_layer(&d, EXPERTS, type, type);
    memcpy(fused->norm, l->norm, sizeof l->norm);
    size_t size = wm_type_info(type)->bytes;
    struct wm_matrix together[EXPERTS], down[EXPERTS];
    float each[2 * HIDDEN];
    for (int i = 0; i < 2 * HIDDEN; i++)
        each[i] = dice_between(&d, 0.5f, 2);
    const float *gates = type == WM_TYPE_F8_E4M3 ? each : NULL, *ups = gates ? each + HIDDEN : NULL;
    for (int e = 0; e < EXPERTS; e++) {
        struct wm_expert_matrices *from = &l->experts[e], *to = &fused->experts[e];
        free((void *)to->gate.data);
        free((void *)to->up.data);
        free((void *)to->down.data);
        together[e] = random_matrix(&d, type, WIDTH, 2 * HIDDEN);
        down[e] = random_matrix(&d, type, HIDDEN, WIDTH);
        for (size_t r = 0; r < HIDDEN; r++)
            for (size_t c = 0; c < WIDTH; c++) {
                const char *column = (const char *)together[e].data + c * 2 * HIDDEN * size;
                memcpy((char *)from->gate.data + (r * WIDTH + c) * size, column + r * size, size);
                memcpy((char *)from->up.data + (r * WIDTH + c) * size, column + (HIDDEN + r) * size, size);
                memcpy((char *)from->down.data + (c * HIDDEN + r) * size,
                       (const char *)down[e].data + (r * WIDTH + c) * size, size);
            }
        from->gate.scales = (struct wm_scales){gates, WM_TYPE_F32, 1, 1, 1, 0};
        from->up.scales = (struct wm_scales){ups, WM_TYPE_F32, 1, 1, 1, 0};
        to->gate = half_of(&together[e], gates, 0);
        to->up = half_of(&together[e], ups, 1);
        to->down = down[e];
        to->down.rows = WIDTH;
        to->down.cols = HIDDEN;
        to->down.transposed = true;
    }
    struct batch *b = new_batch(&d, 13, 2, EXPERTS);
    float *want = run(&f, l, b, false), *got = run(&f, fused, b, false);
    check_same(path, got, want, 13 * WIDTH);
    free(want);
    free(got);
    for (int e = 0; e < EXPERTS; e++) {
        free((void *)together[e].data);
        free((void *)down[e].data);
    }
    free(fused);
    free(b);
    free_layer(l);
    close_face(&f);
}

static void what_nobody_asked_for_is_not_packed(void **state)
{
    (void)state;
    struct face f = open_cpu("portable", 1);
    struct dice d = {4};
    struct layer *l = new_layer(&d, 16, WM_TYPE_F32, WM_TYPE_F32);
    struct batch *b = new_batch(&d, 2, 1, 16);
    b->experts[0] = b->experts[1] = 7;
    struct wm_experts *experts = new_experts(&f, l);
    size_t before = f.ops->experts_bytes(experts), matrices = 3 * HIDDEN * WIDTH * sizeof(float);
    assert_true(before < matrices);
    float out[2 * WIDTH];
    run_with(&f, experts, l, b, 0, 2, false, out);
    size_t first = f.ops->experts_bytes(experts);
    assert_in_range(first - before, matrices, matrices * 3 / 2);
    run_with(&f, experts, l, b, 0, 2, false, out);
    assert_int_equal(f.ops->experts_bytes(experts), first); /* packed once */
    b->experts[1] = 15;
    run_with(&f, experts, l, b, 0, 2, false, out);
    assert_in_range(f.ops->experts_bytes(experts) - first, matrices, matrices * 3 / 2);
    f.ops->experts_free(f.be, experts);
    free(b);
    free_layer(l);
    close_face(&f);
}

static void a_broken_row_stays_alone(const char *path)
{
    struct face f = open_cpu(path, 2);
    if (!f.ops)
        SKIP(path);
    struct dice d = {5};
    struct layer *l = new_layer(&d, 2, WM_TYPE_Q4_1, WM_TYPE_Q8_0);
    struct batch *b = new_batch(&d, 3, 2, 2);
    float *before = run(&f, l, b, false);
    b->x[0] = INFINITY;
    b->x[2 * WIDTH + 5] = NAN;
    b->scores[0] = NAN;
    float *after = run(&f, l, b, false);
    check_same("the row between", after + WIDTH, before + WIDTH, WIDTH);
    free(before);
    free(after);
    free(b);
    free_layer(l);
    close_face(&f);
}

/* --- choosing ------------------------------------------------------------------------------------------- */

/* Routes rows by the reference or a path; logits [rows, n], experts and scores [rows, used]. */
static void choose(struct face *f, const struct wm_matrix *w, const float *norm, const float *x, int32_t rows,
                   int32_t used, float *logits, int32_t *experts, float *scores)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_weight *router;
    struct wm_routes *routes;
    assert_int_equal(f->ops->weight_new(f->be, w, 1, WM_USE_ROUTER, &router, &err), WM_OK);
    assert_int_equal(f->ops->routes_new(f->be, rows, used, &routes, &err), WM_OK);
    struct wm_act *in = new_act(f, rows, (int32_t)w->cols, x),
                  *out = new_act(f, rows, (int32_t)w->rows, NULL);
    struct wm_route op = {
        .x = in, .rows = rows, .norm = norm, .eps = EPS, .w = router, .logits = out, .routes = routes};
    assert_int_equal(f->ops->route(f->be, &op, &err), WM_OK);
    read_act(f, out, rows, logits);
    assert_int_equal(f->ops->routes_read(f->be, routes, rows, experts, scores, &err), WM_OK);
    f->ops->act_free(f->be, in);
    f->ops->act_free(f->be, out);
    f->ops->routes_free(f->be, routes);
    f->ops->weight_free(f->be, router);
}

static void routes_agree(const char *path)
{
    static const struct {
        int32_t n, used;
        enum wm_type type;
    } cases[] = {{1, 1, WM_TYPE_F32},
                 {16, 1, WM_TYPE_F32},
                 {17, 2, WM_TYPE_BF16},
                 {128, 8, WM_TYPE_Q4_1},
                 {8, 8, WM_TYPE_Q8_0}};
    struct face reference = open_reference(), cpu = open_cpu(path, 2);
    if (!cpu.ops) {
        close_face(&reference);
        SKIP(path);
    }
    struct dice d = {6};
    for (size_t c = 0; c < COUNT(cases); c++) {
        enum { ROWS = 33 };
        struct wm_matrix w = random_matrix(&d, cases[c].type, cases[c].n, WIDTH);
        float norm[WIDTH], x[ROWS * WIDTH];
        for (int i = 0; i < WIDTH; i++)
            norm[i] = dice_between(&d, 0.5f, 1.5f);
        for (int i = 0; i < ROWS * WIDTH; i++)
            x[i] = dice_normal(&d);
        struct {
            float logits[ROWS * MOST_EXPERTS], scores[ROWS * MOST_USED];
            int32_t experts[ROWS * MOST_USED];
        } *want = need(sizeof *want), *got = need(sizeof *got), *alone = need(sizeof *alone);
        int32_t n = cases[c].n, used = cases[c].used;
        choose(&reference, &w, norm, x, ROWS, used, want->logits, want->experts, want->scores);
        choose(&cpu, &w, norm, x, ROWS, used, got->logits, got->experts, got->scores);
        check_close("logits", got->logits, want->logits, (size_t)(ROWS * n), EXACT);
        check_close("scores", got->scores, want->scores, (size_t)(ROWS * used), EXACT);
        assert_memory_equal(got->experts, want->experts, (size_t)(ROWS * used) * sizeof(int32_t));
        for (int32_t r = 0; r < ROWS; r++)
            choose(&cpu, &w, norm, x + r * WIDTH, 1, used, alone->logits + r * n, alone->experts + r * used,
                   alone->scores + r * used);
        check_same("logits of a row alone", alone->logits, got->logits, (size_t)(ROWS * n));
        for (int32_t r = 0; r < ROWS; r++)
            for (int32_t k = 0; k < used; k++) {
                float chosen = want->logits[r * n + want->experts[r * used + k]];
                CHECK_NEAR((double)want->scores[r * used + k], 1 / (1 + exp(-(double)chosen)), 1e-6);
                if (k > 0)
                    assert_true(want->logits[r * n + want->experts[r * used + k - 1]] >= chosen);
            }
        free(want);
        free(got);
        free(alone);
        free((void *)w.data);
    }
    close_face(&cpu);
    close_face(&reference);
}

/* Logits are made by hand: one input, one weight for each expert. */
static void ties_and_nan(struct face *f)
{
    static const struct {
        const char *what;
        float logits[6];
        int32_t want[3];
    } cases[] = {
        {"falling", {6, 5, 4, 3, 2, 1}, {0, 1, 2}},
        {"rising", {1, 2, 3, 4, 5, 6}, {5, 4, 3}},
        {"all equal", {1, 1, 1, 1, 1, 1}, {0, 1, 2}},
        {"two equal behind one", {0, 7, 3, 3, 7, 9}, {5, 1, 4}},
        {"NaN first", {NAN, 1, -2, -3, -4, -5}, {1, 2, 3}},
        {"more NaN than numbers", {NAN, NAN, NAN, NAN, -9, NAN}, {4, 0, 1}},
        {"nothing but NaN", {NAN, NAN, NAN, NAN, NAN, NAN}, {0, 1, 2}},
        {"infinities", {-INFINITY, INFINITY, NAN, 0, INFINITY, -INFINITY}, {1, 4, 3}},
    };
    for (size_t c = 0; c < COUNT(cases); c++) {
        struct wm_matrix w = {.data = cases[c].logits, .type = WM_TYPE_F32, .rows = 6, .cols = 1};
        float norm = 1, x = 1e4f, logits[6], scores[3]; /* so large that eps is nothing: its norm is 1 */
        int32_t experts[3];
        choose(f, &w, &norm, &x, 1, 3, logits, experts, scores);
        for (int k = 0; k < 3; k++)
            if (experts[k] != cases[c].want[k])
                fail_msg("%s: choice %d is %d, should be %d", cases[c].what, k, experts[k], cases[c].want[k]);
    }
}

static void ties_and_nan_on(const char *path)
{
    struct face f = open_cpu(path, 1);
    if (!f.ops)
        SKIP(path);
    ties_and_nan(&f);
    close_face(&f);
}

static void the_reference_breaks_ties_by_the_lowest_number(void **state)
{
    (void)state;
    struct face f = open_reference();
    ties_and_nan(&f);
    close_face(&f);
}

static void nothing_to_do_is_done(void **state)
{
    (void)state;
    struct face faces[] = {open_reference(), open_cpu("portable", 1)};
    struct dice d = {7};
    struct layer *l = new_layer(&d, 2, WM_TYPE_F32, WM_TYPE_F32);
    struct batch *b = new_batch(&d, 0, 1, 2);
    for (size_t i = 0; i < COUNT(faces); i++) {
        free(run(&faces[i], l, b, false));
        close_face(&faces[i]);
    }
    free(b);
    free_layer(l);
}

ON_EVERY_PATH(experts_agree_with_the_reference, agree(path))
ON_EVERY_PATH(a_row_gets_the_same_bits_in_any_company, invariant(path))
ON_EVERY_PATH(fused_experts_are_what_they_are_apart, fused(path, WM_TYPE_BF16))
ON_EVERY_PATH(fused_experts_with_scales_too, fused(path, WM_TYPE_F8_E4M3))
ON_EVERY_PATH(broken_rows_and_scores_stay_alone, a_broken_row_stays_alone(path))
ON_EVERY_PATH(routes_agree_with_the_reference, routes_agree(path))
ON_EVERY_PATH(the_lowest_number_wins_a_tie_and_nan_is_last, ties_and_nan_on(path))

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_does_what_the_loops_say),
        cmocka_unit_test(the_reference_breaks_ties_by_the_lowest_number),
        cmocka_unit_test(what_nobody_asked_for_is_not_packed),
        cmocka_unit_test(nothing_to_do_is_done),
        PATHS(experts_agree_with_the_reference),
        PATHS(a_row_gets_the_same_bits_in_any_company),
        PATHS(fused_experts_are_what_they_are_apart),
        PATHS(fused_experts_with_scales_too),
        PATHS(broken_rows_and_scores_stay_alone),
        PATHS(routes_agree_with_the_reference),
        PATHS(the_lowest_number_wins_a_tie_and_nan_is_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

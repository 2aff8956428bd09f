/* products_test.c -- the product with its prologues and the lookup, on every path, against the reference.
 *
 * Two tolerances. Inputs that 8-bit activations can hold exactly (integers up to 127 with 127 in every group)
 * leave only float rounding: packing, offsets and minima must then be right to EXACT. Other inputs lose what
 * 8 bits lose: ROUNDED.
 */
#include "tests/kernels/twin.h"

#include <math.h>
#include <stdlib.h>

static const double EXACT = 2e-5, ROUNDED = 0.02;

#define X(id, number, name, block, bytes) WM_TYPE_##id,
static const enum wm_type TYPES[] = {WM_TYPES(X)};
#undef X
static const int32_t ROWS[] = {1, 2, 11, 12, 13, 25, 31, 33};
static const int32_t OUTS[] = {1, 15, 16, 17, 50};

/* cols of the smallest product that a type allows, times a few */
static int64_t cols_of(enum wm_type type, int times)
{
    uint32_t block = wm_type_info(type)->block;
    return block == 1 ? 32 * times - 5 : (int64_t)block * times;
}

static bool is_float(enum wm_type type)
{
    return wm_type_info(type)->block == 1;
}

/* Runs one product on a face; the result is [rows, width of y]. */
struct product {
    int n_parts;
    struct wm_matrix parts[3];
    int32_t rows, x_rows;
    const int32_t *index;
    enum wm_prologue prologue;
    const float *norm;
    const float *x; /* [x_rows, x_width] */
    int32_t x_width;
    const float *y; /* added to, or NULL */
    int32_t y_width;
};

static float *run(struct face *f, const struct product *p)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_weight *w;
    assert_int_equal(f->ops->weight_new(f->be, p->parts, p->n_parts, WM_USE_MATMUL, &w, &err), WM_OK);
    struct wm_act *x = new_act(f, p->x_rows, p->x_width, p->x), *y = new_act(f, p->rows, p->y_width, p->y);
    struct wm_matmul op = {
        .x = x,
        .index = p->index,
        .rows = p->rows,
        .prologue = p->prologue,
        .norm = p->norm,
        .eps = 1e-5f,
        .w = w,
        .y = y,
        .add = p->y != NULL,
    };
    assert_int_equal(f->ops->matmul(f->be, &op, &err), WM_OK);
    float *out = need((size_t)p->rows * (size_t)p->y_width * sizeof *out);
    read_act(f, y, p->rows, out);
    f->ops->act_free(f->be, x);
    f->ops->act_free(f->be, y);
    f->ops->weight_free(f->be, w);
    return out;
}

static float *integers(struct dice *d, int32_t rows, int64_t cols)
{
    float *x = need((size_t)rows * (size_t)cols * sizeof *x);
    for (int32_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < cols; i++)
            x[r * cols + i] = i % 32 == 7 ? 127 : (float)((int)(dice_bits(d) % 255) - 127);
    return x;
}

static float *normals(struct dice *d, size_t n)
{
    float *x = need(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = dice_normal(d);
    return x;
}

/* Every type, ragged rows and outputs, on one path. */
static void agree(const char *path, bool exact)
{
    struct face reference = open_reference(), cpu = open_cpu(path, 2);
    if (!cpu.ops) {
        close_face(&reference);
        SKIP(path);
    }
    struct dice d = {1};
    for (size_t t = 0; t < COUNT(TYPES); t++)
        for (size_t o = 0; o < COUNT(OUTS); o++)
            for (size_t r = 0; r < COUNT(ROWS); r++) {
                int64_t cols = cols_of(TYPES[t], 1 + (int)(r % 3));
                struct product p = {.n_parts = 1,
                                    .rows = ROWS[r],
                                    .x_rows = ROWS[r],
                                    .x_width = (int32_t)cols,
                                    .y_width = OUTS[o]};
                p.parts[0] = random_matrix(&d, TYPES[t], OUTS[o], cols);
                float *x = exact ? integers(&d, ROWS[r], cols) : normals(&d, (size_t)(ROWS[r] * cols));
                p.x = x;
                float *want = run(&reference, &p), *got = run(&cpu, &p);
                const char *name = wm_type_info(TYPES[t])->name;
                if (exact || is_float(TYPES[t]))
                    check_close(name, got, want, (size_t)(ROWS[r] * OUTS[o]), EXACT);
                else if (ROWS[r] * OUTS[o] > 100) /* fewer have no meaningful average */
                    check_near_on_average(name, got, want, (size_t)(ROWS[r] * OUTS[o]), ROUNDED);
                free((void *)p.parts[0].data);
                free(x);
                free(want);
                free(got);
            }
    close_face(&cpu);
    close_face(&reference);
}

/* A stacked weight of three types, gathered rows, a prologue, and a residual to add to. */
static void agree_fused(const char *path, enum wm_prologue prologue)
{
    struct face reference = open_reference(), cpu = open_cpu(path, 2);
    if (!cpu.ops) {
        close_face(&reference);
        SKIP(path);
    }
    enum { COLS = 256, X_ROWS = 9 };
    struct dice d = {2};
    int32_t index[33];
    for (size_t i = 0; i < COUNT(index); i++)
        index[i] = (int32_t)(dice_bits(&d) % X_ROWS);
    struct product p = {
        .n_parts = 3,
        .parts = {random_matrix(&d, WM_TYPE_Q4_1, 33, COLS), random_matrix(&d, WM_TYPE_Q6_K, 5, COLS),
                  random_matrix(&d, WM_TYPE_BF16, 20, COLS)},
        .x_rows = X_ROWS,
        .index = index,
        .prologue = prologue,
        .x_width = prologue == WM_PROLOGUE_SWIGLU ? 2 * COLS : COLS,
        .y_width = 58 + 3,
    };
    float *norm = normals(&d, COLS), *x = normals(&d, X_ROWS * 2 * COLS), *y = normals(&d, 33 * 61);
    p.norm = norm;
    p.x = x;
    for (int with_add = 0; with_add < 2; with_add++)
        for (size_t r = 0; r < COUNT(ROWS); r++) {
            p.rows = ROWS[r];
            p.y = with_add ? y : NULL;
            float *want = run(&reference, &p), *got = run(&cpu, &p);
            check_near_on_average(path, got, want, (size_t)p.rows * 61, ROUNDED);
            free(want);
            free(got);
        }
    for (int i = 0; i < p.n_parts; i++)
        free((void *)p.parts[i].data);
    free(norm);
    free(x);
    free(y);
    close_face(&cpu);
    close_face(&reference);
}

/* Row by row equals all at once, and threads do not matter: bit for bit. */
static void invariant(const char *path)
{
    enum { MOST = 33, COLS = 256, OUT = 50 };
    struct face one = open_cpu(path, 1), three = open_cpu(path, 3);
    if (!one.ops)
        SKIP(path);
    struct dice d = {3};
    for (size_t t = 0; t < COUNT(TYPES); t++) {
        struct product p = {.n_parts = 1, .x_width = COLS, .y_width = OUT};
        p.parts[0] = random_matrix(&d, TYPES[t], OUT, COLS);
        float *x = normals(&d, MOST * COLS);
        float *alone = need(MOST * OUT * sizeof *alone);
        p.rows = p.x_rows = 1;
        for (int32_t r = 0; r < MOST; r++) {
            p.x = x + r * COLS;
            float *row = run(&one, &p);
            for (int i = 0; i < OUT; i++)
                alone[r * OUT + i] = row[i];
            free(row);
        }
        p.x = x;
        for (size_t r = 0; r < COUNT(ROWS); r++) {
            p.rows = p.x_rows = ROWS[r];
            float *together = run(r % 2 ? &one : &three, &p);
            check_same(wm_type_info(TYPES[t])->name, together, alone, (size_t)ROWS[r] * OUT);
            free(together);
        }
        free(alone);
        free(x);
        free((void *)p.parts[0].data);
    }
    close_face(&one);
    close_face(&three);
}

static void lookup(const char *path)
{
    struct face reference = open_reference(), cpu = open_cpu(path, 2);
    if (!cpu.ops) {
        close_face(&reference);
        SKIP(path);
    }
    struct dice d = {4};
    static const int32_t ids[] = {0, 6, 3, 3, 1};
    for (size_t t = 0; t < COUNT(TYPES); t++) {
        struct wm_matrix m = random_matrix(&d, TYPES[t], 7, 256);
        float got[2][COUNT(ids) * 256];
        struct face *faces[] = {&reference, &cpu};
        for (int i = 0; i < 2; i++) {
            struct wm_error err = WM_ERROR_INIT;
            struct wm_weight *table;
            struct face *f = faces[i];
            assert_int_equal(f->ops->weight_new(f->be, &m, 1, WM_USE_LOOKUP, &table, &err), WM_OK);
            struct wm_act *x = new_act(f, COUNT(ids), 256, NULL);
            assert_int_equal(f->ops->embed(f->be, table, ids, COUNT(ids), x, &err), WM_OK);
            read_act(f, x, COUNT(ids), got[i]);
            f->ops->act_free(f->be, x);
            f->ops->weight_free(f->be, table);
        }
        check_same(wm_type_info(TYPES[t])->name, got[1], got[0], COUNT(ids) * 256);
        free((void *)m.data);
    }
    close_face(&cpu);
    close_face(&reference);
}

/* NaN and infinities must come out as some number or NaN, in their own rows only. */
static void contained(const char *path)
{
    struct face cpu = open_cpu(path, 1);
    if (!cpu.ops)
        SKIP(path);
    struct dice d = {5};
    struct product p = {.n_parts = 1, .rows = 3, .x_rows = 3, .x_width = 64, .y_width = 16};
    p.parts[0] = random_matrix(&d, WM_TYPE_Q4_1, 16, 64);
    float *x = normals(&d, 3 * 64);
    p.x = x;
    float *before = run(&cpu, &p);
    x[0] = INFINITY;
    x[2 * 64 + 40] = NAN;
    float *after = run(&cpu, &p);
    check_same("the row between", after + 16, before + 16, 16);
    free(before);
    free(after);
    free(x);
    free((void *)p.parts[0].data);
    close_face(&cpu);
}

ON_EVERY_PATH(what_8_bits_can_hold_is_multiplied_exactly, agree(path, true))
ON_EVERY_PATH(any_input_loses_no_more_than_8_bits, agree(path, false))
ON_EVERY_PATH(stacked_gathered_and_added_it_agrees, agree_fused(path, WM_PROLOGUE_NONE))
ON_EVERY_PATH(behind_a_norm_it_agrees, agree_fused(path, WM_PROLOGUE_RMS_NORM))
ON_EVERY_PATH(behind_swiglu_it_agrees, agree_fused(path, WM_PROLOGUE_SWIGLU))
ON_EVERY_PATH(a_row_does_not_depend_on_its_company, invariant(path))
ON_EVERY_PATH(a_lookup_is_exact, lookup(path))
ON_EVERY_PATH(a_broken_row_stays_alone, contained(path))

int main(void)
{
    const struct CMUnitTest tests[] = {
        PATHS(what_8_bits_can_hold_is_multiplied_exactly),
        PATHS(any_input_loses_no_more_than_8_bits),
        PATHS(stacked_gathered_and_added_it_agrees),
        PATHS(behind_a_norm_it_agrees),
        PATHS(behind_swiglu_it_agrees),
        PATHS(a_row_does_not_depend_on_its_company),
        PATHS(a_lookup_is_exact),
        PATHS(a_broken_row_stays_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* matrices_test.c -- a matrix means the same whichever way a file holds it: lines that are rows or columns,
 * parts of longer lines, scales beside it for all, for rows, for groups or for blocks, and lines of any length.
 *
 * What each element is, is worked out here once more, one by one. Inputs are integers that 8-bit activations
 * hold exactly, so that products must be right to EXACT on every face.
 */
#include "tests/kernels/claims.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const double EXACT = 2e-5;

/* Scales, by what shares one. */
enum sharing { NOTHING, EVERYTHING, A_ROW, A_GROUP, A_BLOCK };

struct shape {
    enum wm_type type;
    int64_t rows, cols;
    bool transposed;
    int64_t extra; /* elements of each line that are not ours */
    enum sharing sharing;
    enum wm_type scale_type;
    int64_t group; /* columns of a group; rows and columns of a block */
};

static const struct shape SHAPES[] = {
    /* lines of any length */
    {.type = WM_TYPE_F32, .rows = 1, .cols = 1},
    {.type = WM_TYPE_F32, .rows = 33, .cols = 12},
    {.type = WM_TYPE_BF16, .rows = 17, .cols = 588},
    {.type = WM_TYPE_F16, .rows = 16, .cols = 88},
    {.type = WM_TYPE_F8_E4M3, .rows = 15, .cols = 13},
    {.type = WM_TYPE_I4, .rows = 18, .cols = 88},
    {.type = WM_TYPE_I4, .rows = 3, .cols = 8},
    /* columns that lie together, whole or as parts of longer lines */
    {.type = WM_TYPE_F32, .rows = 33, .cols = 12, .transposed = true},
    {.type = WM_TYPE_F32, .rows = 5, .cols = 40, .transposed = true, .extra = 7},
    {.type = WM_TYPE_BF16, .rows = 150, .cols = 88, .transposed = true, .extra = 150},
    {.type = WM_TYPE_F16, .rows = 128, .cols = 31, .transposed = true},
    {.type = WM_TYPE_F8_E4M3, .rows = 129, .cols = 65, .transposed = true, .extra = 129},
    {.type = WM_TYPE_BF16, .rows = 20, .cols = 64, .extra = 64},
    {.type = WM_TYPE_Q4_0, .rows = 20, .cols = 64, .extra = 32},
    {.type = WM_TYPE_Q4_K, .rows = 20, .cols = 256, .extra = 512},
    {.type = WM_TYPE_I4, .rows = 9, .cols = 32, .extra = 8},
    /* scales: one, one for each row (compressed-tensors, fbgemm), for groups, for blocks */
    {.type = WM_TYPE_F8_E4M3, .rows = 20, .cols = 64, .sharing = EVERYTHING, .scale_type = WM_TYPE_F32},
    {.type = WM_TYPE_F8_E4M3, .rows = 40, .cols = 88, .sharing = A_ROW, .scale_type = WM_TYPE_BF16},
    {.type = WM_TYPE_F8_E4M3,
     .rows = 144,
     .cols = 33,
     .transposed = true,
     .extra = 144,
     .sharing = A_ROW,
     .scale_type = WM_TYPE_F32},
    {.type = WM_TYPE_F8_E4M3,
     .rows = 20,
     .cols = 100,
     .sharing = A_GROUP,
     .scale_type = WM_TYPE_F32,
     .group = 32},
    {.type = WM_TYPE_F8_E4M3,
     .rows = 20,
     .cols = 25,
     .sharing = A_GROUP,
     .scale_type = WM_TYPE_F16,
     .group = 12},
    {.type = WM_TYPE_F8_E4M3,
     .rows = 200,
     .cols = 300,
     .sharing = A_BLOCK,
     .scale_type = WM_TYPE_F32,
     .group = 128},
    {.type = WM_TYPE_F8_E4M3,
     .rows = 130,
     .cols = 129,
     .transposed = true,
     .sharing = A_BLOCK,
     .scale_type = WM_TYPE_BF16,
     .group = 128},
    {.type = WM_TYPE_I4, .rows = 20, .cols = 64, .sharing = EVERYTHING, .scale_type = WM_TYPE_BF16},
    {.type = WM_TYPE_I4, .rows = 20, .cols = 88, .sharing = A_ROW, .scale_type = WM_TYPE_F16},
    {.type = WM_TYPE_I4, .rows = 20, .cols = 96, .sharing = A_GROUP, .scale_type = WM_TYPE_BF16, .group = 32},
    {.type = WM_TYPE_I4,
     .rows = 33,
     .cols = 296,
     .sharing = A_GROUP,
     .scale_type = WM_TYPE_F32,
     .group = 128},
    {.type = WM_TYPE_I4, .rows = 20, .cols = 72, .sharing = A_GROUP, .scale_type = WM_TYPE_F32, .group = 24},
    {.type = WM_TYPE_I4,
     .rows = 140,
     .cols = 256,
     .sharing = A_BLOCK,
     .scale_type = WM_TYPE_F16,
     .group = 128},
    {.type = WM_TYPE_BF16, .rows = 20, .cols = 64, .sharing = A_ROW, .scale_type = WM_TYPE_F32},
    {.type = WM_TYPE_F32,
     .rows = 20,
     .cols = 12,
     .transposed = true,
     .sharing = A_GROUP,
     .scale_type = WM_TYPE_F16,
     .group = 5},
    {.type = WM_TYPE_Q8_0, .rows = 20, .cols = 64, .sharing = A_ROW, .scale_type = WM_TYPE_F32},
};

/* A matrix and what its elements are. */
struct sample {
    struct wm_matrix m;
    float *dense; /* [rows, cols] */
};

static struct wm_scales scales_of(struct dice *d, const struct shape *s)
{
    int64_t groups = s->group ? (s->cols + s->group - 1) / s->group : 1;
    struct wm_scales scales = {.type = s->scale_type, .row_group = 1, .col_group = 1};
    int64_t n = 0;
    switch (s->sharing) {
    case NOTHING:
        return (struct wm_scales){.type = WM_TYPE_F32};
    case EVERYTHING:
        n = 1;
        break;
    case A_ROW:
        scales.row_step = 1;
        n = s->rows;
        break;
    case A_GROUP:
        scales.row_step = groups;
        scales.col_group = s->group;
        scales.col_step = 1;
        n = s->rows * groups;
        break;
    case A_BLOCK:
        scales.row_group = scales.col_group = s->group;
        scales.row_step = groups;
        scales.col_step = 1;
        n = (s->rows + s->group - 1) / s->group * groups;
        break;
    }
    scales.data = random_matrix(d, s->scale_type, 1, n).data;
    return scales;
}

static struct sample new_sample(struct dice *d, const struct shape *s)
{
    int64_t lines = s->transposed ? s->cols : s->rows, length = s->transposed ? s->rows : s->cols;
    int64_t stride = length + s->extra;
    struct wm_matrix all = random_matrix(d, s->type, lines, stride);
    struct sample out = {all, need((size_t)(s->rows * s->cols) * sizeof(float))};
    out.m.rows = s->rows;
    out.m.cols = s->cols;
    out.m.transposed = s->transposed;
    out.m.stride = s->extra ? stride : 0;
    out.m.scales = scales_of(d, s);
    float *values = need((size_t)(lines * stride) * sizeof *values);
    wm_dequantize(s->type, all.data, (size_t)(lines * stride), values);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < s->cols; c++) {
            float value = s->transposed ? values[c * stride + r] : values[r * stride + c], scale = 1;
            const struct wm_scales *by = &out.m.scales;
            int64_t at = 0;
            if (by->data) {
                at = r / by->row_group * by->row_step + c / by->col_group * by->col_step;
                wm_dequantize(by->type, (const char *)by->data + at * (by->type == WM_TYPE_F32 ? 4 : 2), 1,
                              &scale);
            }
            out.dense[r * s->cols + c] = value * scale;
        }
    free(values);
    return out;
}

static void free_sample(struct sample *s)
{
    free((void *)s->m.data);
    free((void *)s->m.scales.data);
    free(s->dense);
}

static const char *name_of(size_t i)
{
    static char text[96];
    snprintf(text, sizeof text, "shape %zu: %s %lld x %lld", i, wm_type_info(SHAPES[i].type)->name,
             (long long)SHAPES[i].rows, (long long)SHAPES[i].cols);
    return text;
}

static void every_row_is_looked_up_as_it_is(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 2);
    struct dice d = {1};
    for (size_t i = 0; i < COUNT(SHAPES); i++) {
        struct sample s = new_sample(&d, &SHAPES[i]);
        struct wm_error err = WM_ERROR_INIT;
        struct wm_weight *table;
        int32_t rows = (int32_t)s.m.rows, *ids = need((size_t)rows * sizeof *ids);
        for (int32_t r = 0; r < rows; r++)
            ids[r] = rows - 1 - r;
        assert_int_equal(f.ops->weight_new(f.be, &s.m, 1, WM_USE_LOOKUP, &table, &err), WM_OK);
        struct wm_act *x = new_act(&f, rows, (int32_t)s.m.cols, NULL);
        assert_int_equal(f.ops->embed(f.be, table, ids, rows, x, &err), WM_OK);
        float *got = need((size_t)(s.m.rows * s.m.cols) * sizeof *got);
        read_act(&f, x, rows, got);
        for (int32_t r = 0; r < rows; r++)
            check_same(name_of(i), got + (size_t)r * (size_t)s.m.cols,
                       s.dense + (size_t)ids[r] * (size_t)s.m.cols, (size_t)s.m.cols);
        f.ops->act_free(f.be, x);
        f.ops->weight_free(f.be, table);
        free(ids);
        free(got);
        free_sample(&s);
    }
    close_face(&f);
}

static void multiply(const struct face_kind *kind, enum wm_use use)
{
    enum { ROWS = 14 };
    struct face f = open_kind(kind, 2);
    struct dice d = {2};
    for (size_t i = 0; i < COUNT(SHAPES); i++) {
        struct sample s = new_sample(&d, &SHAPES[i]);
        size_t cols = (size_t)s.m.cols, rows = (size_t)s.m.rows;
        float *x = need(ROWS * cols * sizeof *x), *want = need(ROWS * rows * sizeof *want),
              *got = need(ROWS * rows * sizeof *got);
        for (size_t j = 0; j < ROWS * cols; j++)
            x[j] = j % cols % 32 == 7 ? 127 : (float)((int)(dice_bits(&d) % 255) - 127);
        for (size_t r = 0; r < ROWS; r++)
            for (size_t o = 0; o < rows; o++) {
                double sum = 0;
                for (size_t c = 0; c < cols; c++)
                    sum += (double)x[r * cols + c] * (double)s.dense[o * cols + c];
                want[r * rows + o] = (float)sum;
            }
        struct wm_error err = WM_ERROR_INIT;
        struct wm_weight *w;
        assert_int_equal(f.ops->weight_new(f.be, &s.m, 1, use, &w, &err), WM_OK);
        struct wm_act *in = new_act(&f, ROWS, (int32_t)cols, x),
                      *out = new_act(&f, ROWS, (int32_t)rows, NULL);
        assert_int_equal(
            f.ops->matmul(f.be, &(struct wm_matmul){.x = in, .rows = ROWS, .w = w, .y = out}, &err), WM_OK);
        read_act(&f, out, ROWS, got);
        check_close(name_of(i), got, want, ROWS * rows, EXACT);
        f.ops->act_free(f.be, in);
        f.ops->act_free(f.be, out);
        f.ops->weight_free(f.be, w);
        free(x);
        free(want);
        free(got);
        free_sample(&s);
    }
    close_face(&f);
}

static void every_shape_is_multiplied_as_it_is(const struct face_kind *kind)
{
    multiply(kind, WM_USE_MATMUL);
}

static void a_router_of_any_shape_keeps_its_values(const struct face_kind *kind)
{
    multiply(kind, WM_USE_ROUTER);
}

/* Blocks of which a packed copy may be a little larger than the file's. */
static void a_packed_weight_takes_what_the_file_takes(const struct face_kind *kind)
{
    static const struct {
        enum wm_type type;
        double more; /* than the file, at most */
    } cases[] = {
        {WM_TYPE_F32, 1.01},     {WM_TYPE_F16, 1.01},  {WM_TYPE_BF16, 1.01},   {WM_TYPE_Q4_0, 1.01},
        {WM_TYPE_Q4_1, 1.01},    {WM_TYPE_Q5_0, 1.01}, {WM_TYPE_Q5_1, 1.01},   {WM_TYPE_Q8_0, 1.01},
        {WM_TYPE_Q4_K, 1.04},    {WM_TYPE_Q5_K, 1.03}, {WM_TYPE_IQ4_NL, 1.01}, {WM_TYPE_IQ4_XS, 1.04},
        {WM_TYPE_F8_E4M3, 1.01}, {WM_TYPE_I4, 1.01},   {WM_TYPE_Q6_K, 1.01},   {WM_TYPE_Q3_K, 1.5},
        {WM_TYPE_Q2_K, 2},
    };
    struct face f = open_kind(kind, 1);
    struct dice d = {3};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_matrix m = random_matrix(&d, cases[i].type, 64, 2048);
        const struct wm_type_info *type = wm_type_info(m.type);
        double bytes = 64.0 * 2048 / type->block * type->bytes;
        struct wm_error err = WM_ERROR_INIT;
        struct wm_weight *w;
        assert_int_equal(f.ops->weight_new(f.be, &m, 1, WM_USE_MATMUL, &w, &err), WM_OK);
        double taken = (double)f.ops->weight_bytes(w);
        if (taken > cases[i].more * bytes + 1024)
            fail_msg("%s: %.0f bytes of the file take %.0f", type->name, bytes, taken);
        f.ops->weight_free(f.be, w);
        free((void *)m.data);
    }
    close_face(&f);
}

static void a_weight_that_is_nan_gives_nan_in_its_own_output(const struct face_kind *kind)
{
    static const enum wm_type types[] = {WM_TYPE_F32, WM_TYPE_F16, WM_TYPE_BF16, WM_TYPE_F8_E4M3};
    enum { OUT = 20, COLS = 40 };
    struct face f = open_kind(kind, 1);
    struct dice d = {4};
    for (size_t t = 0; t < COUNT(types); t++) {
        struct wm_matrix m = random_matrix(&d, types[t], OUT, COLS);
        size_t size = wm_type_info(types[t])->bytes;
        memset((char *)m.data + (17 * COLS + 33) * size, 0xff, size); /* all ones are NaN in each */
        float x[COLS], got[OUT];
        for (int i = 0; i < COLS; i++)
            x[i] = dice_normal(&d);
        struct wm_error err = WM_ERROR_INIT;
        struct wm_weight *w;
        assert_int_equal(f.ops->weight_new(f.be, &m, 1, WM_USE_MATMUL, &w, &err), WM_OK);
        struct wm_act *in = new_act(&f, 1, COLS, x), *out = new_act(&f, 1, OUT, NULL);
        assert_int_equal(f.ops->matmul(f.be, &(struct wm_matmul){.x = in, .rows = 1, .w = w, .y = out}, &err),
                         WM_OK);
        read_act(&f, out, 1, got);
        for (int o = 0; o < OUT; o++)
            if (isnan(got[o]) != (o == 17))
                fail_msg("%s: output %d is %g", wm_type_info(types[t])->name, o, (double)got[o]);
        f.ops->act_free(f.be, in);
        f.ops->act_free(f.be, out);
        f.ops->weight_free(f.be, w);
        free((void *)m.data);
    }
    close_face(&f);
}

/* A face that packs gives the pages of a mapped file back. What it read stays readable, and so do its neighbours' parts
 * of the same lines. */
static void a_mapped_matrix_can_be_read_again(const struct face_kind *kind)
{
    enum { ROWS = 2048, COLS = 40, BYTES = 2 * ROWS * COLS * 2 };
    struct face f = open_kind(kind, 2);
    struct dice d = {5};
    struct wm_matrix both = random_matrix(&d, WM_TYPE_BF16, COLS, 2 * ROWS);
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(both.data, 1, BYTES, file), BYTES);
    assert_int_equal(fflush(file), 0);
    void *map = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE, fileno(file), 0);
    assert_true(map != MAP_FAILED);
    struct wm_matrix half = {.data = map,
                             .type = WM_TYPE_BF16,
                             .rows = ROWS,
                             .cols = COLS,
                             .transposed = true,
                             .stride = 2 * ROWS,
                             .mapped = true};
    struct wm_error err = WM_ERROR_INIT;
    for (int i = 0; i < 2; i++) {
        struct wm_weight *w;
        half.data = (const uint16_t *)map + i * ROWS;
        assert_int_equal(f.ops->weight_new(f.be, &half, 1, WM_USE_MATMUL, &w, &err), WM_OK);
        assert_memory_equal(map, both.data, BYTES);
        f.ops->weight_free(f.be, w);
    }
    munmap(map, BYTES);
    fclose(file);
    free((void *)both.data);
    close_face(&f);
}

int main(void)
{
    static const struct claim claims[] = {
        CLAIM(every_row_is_looked_up_as_it_is),
        CLAIM(every_shape_is_multiplied_as_it_is),
        CLAIM(a_router_of_any_shape_keeps_its_values),
        CLAIM(a_packed_weight_takes_what_the_file_takes),
        CLAIM(a_mapped_matrix_can_be_read_again),
        CLAIM(a_weight_that_is_nan_gives_nan_in_its_own_output),
    };
    return check_claims(claims, COUNT(claims));
}

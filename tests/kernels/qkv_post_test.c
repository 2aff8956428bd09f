/* qkv_post_test.c -- what happens to queries before attention, on every face, against long double.
 *
 * Queries are read back after the step. Heads here are no multiple of 32: those the cpu face spreads (a rotation that
 * no product of q and k can see), and what it does to them shows in attention_test.c alone. Keys and values can only
 * be seen by attention: there too.
 */
#include "tests/kernels/claims.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KV_HEADS = 1 };

/* One row at `position` goes through the step; its q is left in `q`, [heads, head_dim]. */
static void post(struct face *f, struct wm_qkv_post op, int64_t position, float *q)
{
    struct wm_error err = WM_ERROR_INIT;
    int32_t width = (op.heads + 2 * KV_HEADS) * op.head_dim, n = op.heads * op.head_dim;
    float *row = need((size_t)width * sizeof *row);
    memcpy(row, q, (size_t)n * sizeof *row);
    struct wm_kv_shape shape = {1, KV_HEADS, op.head_dim, 1};
    struct wm_kv *kv;
    assert_int_equal(f->ops->kv_new(f->be, &shape, &kv, &err), WM_OK);
    op.qkv = new_act(f, 1, width, row);
    op.kv_heads = KV_HEADS;
    op.kv = kv;
    const int32_t blocks[] = {0};
    struct wm_span span = {0, 1, position, {{blocks, position / WM_KV_BLOCK}}};
    struct wm_batch batch = {1, 1, &span};
    assert_int_equal(f->ops->qkv_post(f->be, &batch, &op, &err), WM_OK);
    read_act(f, op.qkv, 1, row);
    memcpy(q, row, (size_t)n * sizeof *row);
    f->ops->act_free(f->be, op.qkv);
    f->ops->kv_free(f->be, kv);
    free(row);
}

/* Turning (1, 0) shows cosine and sine themselves. Past 2^31 the angle, a double, has fewer digits left. */
static void angles_keep_their_digits_at_any_position(const struct face_kind *kind)
{
    static const struct {
        int64_t position;
        double tolerance;
    } cases[] = {
        {0, 1e-7},
        {1, 1e-7},
        {31, 1e-7},
        {8191, 1e-7},
        {1000000, 1e-7},
        {1048575, 1e-7},
        {9999999, 1e-7},
        {10485759, 1e-7},
        {INT64_C(0x80000005), 1e-6},
        {INT64_C(10000000000), 4e-6},
    };
    static const struct {
        int32_t head_dim;
        double theta;
    } heads[] = {{12, 10000}, {80, 500000}, {88, 500000}, {240, 500000}};
    struct face f = open_kind(kind, 1);
    for (size_t h = 0; h < COUNT(heads); h++) {
        int32_t n = heads[h].head_dim;
        double inv_freq[WM_MAX_HEAD_DIM / 2];
        for (int32_t i = 0; i < n / 2; i++)
            inv_freq[i] = pow(heads[h].theta, -2.0 * i / n);
        for (size_t c = 0; c < COUNT(cases); c++)
            for (int halves = 0; halves < 2; halves++) {
                float q[WM_MAX_HEAD_DIM] = {0};
                for (int32_t i = 0; i < n / 2; i++)
                    q[halves ? i : 2 * i] = 1;
                struct wm_qkv_post op = {.heads = 1,
                                         .head_dim = n,
                                         .rope = halves ? WM_ROPE_HALVES : WM_ROPE_ADJACENT,
                                         .inv_freq = inv_freq};
                post(&f, op, cases[c].position, q);
                for (int32_t i = 0; i < n / 2; i++) {
                    long double angle = (long double)cases[c].position * (long double)inv_freq[i];
                    CHECK_NEAR((double)q[halves ? i : 2 * i], (double)cosl(angle), cases[c].tolerance);
                    CHECK_NEAR((double)q[halves ? i + n / 2 : 2 * i + 1], (double)sinl(angle),
                               cases[c].tolerance);
                }
            }
    }
    close_face(&f);
}

/* Relative to each sine and cosine, however small: the reach of every model that there is. */
static void small_sines_keep_their_digits_too(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 1);
    enum { DIM = 88 };
    double inv_freq[DIM / 2];
    for (int i = 0; i < DIM / 2; i++)
        inv_freq[i] = pow(500000, -2.0 * i / DIM);
    for (int64_t position = 10000000; position < 10000032; position++) {
        float q[DIM];
        for (int i = 0; i < DIM; i++)
            q[i] = i % 2 ? 0 : 1;
        post(
            &f,
            (struct wm_qkv_post){.heads = 1, .head_dim = DIM, .rope = WM_ROPE_ADJACENT, .inv_freq = inv_freq},
            position, q);
        for (int i = 0; i < DIM; i++) {
            long double angle = (long double)position * (long double)inv_freq[i / 2];
            double want = (double)(i % 2 ? sinl(angle) : cosl(angle));
            if (fabs(want) > 2e-3) /* below, the angle's own last digit is more than a millionth */
                CHECK_NEAR((double)q[i] / want, 1, 1e-6);
        }
    }
    close_face(&f);
}

/* t(p) of Llama 4: floor 8192, scale 0.1 (source: Meta's model.py); small ones as its tests have them; and none. */
static void far_queries_are_sharpened(const struct face_kind *kind)
{
    static const struct {
        int64_t position;
        double floor, scale, factor;
    } cases[] = {
        {0, 8192, 0.1, 1},
        {8190, 8192, 0.1, 1},
        {8191, 8192, 0.1, 1.0693147},
        {16382, 8192, 0.1, 1.0693147},
        {16383, 8192, 0.1, 1.1098612},
        {32767, 8192, 0.1, 1.1609438},
        {65535, 8192, 0.1, 1.2197225},
        {131071, 8192, 0.1, 1.2833213},
        {262143, 8192, 0.1, 1.3496508},
        {1048575, 8192, 0.1, 1.4859812},
        {10485759, 8192, 0.1, 1.7155396},
        {INT64_C(81919999999999), 8192, 0.1, 3.3025851}, /* 1 + 0.1 ln (10^10 + 1) */
        {6, 8, 0.3, 1},
        {7, 8, 0.3, 1.2079442},
        {23, 8, 0.3, 1.4158883},
        {10485759, 0, 0.1, 1},
        {10485759, 8192, 0, 1},
    };
    struct face f = open_kind(kind, 1);
    for (size_t c = 0; c < COUNT(cases); c++) {
        float q[] = {1, -2, 0.5f, 0, 3, 4, 1, 1, 1, 1, 1, 1}, before[12];
        memcpy(before, q, sizeof q);
        post(&f,
             (struct wm_qkv_post){.heads = 1,
                                  .head_dim = 12,
                                  .temperature_floor = cases[c].floor,
                                  .temperature_scale = cases[c].scale},
             cases[c].position, q);
        for (int i = 0; i < 12; i++)
            CHECK_NEAR((double)q[i], (double)before[i] * cases[c].factor, 4e-7 * fabs((double)before[i]));
        if (cases[c].factor == 1)
            check_same(f.name, q, before, 12);
    }
    close_face(&f);
}

/* Each head for itself, with eps inside the root: a tiny head stays small, an empty one empty. */
static void heads_are_normed_one_by_one(const struct face_kind *kind)
{
    static const int32_t dims[] = {2, 12, 16, 18, 80, 88, 240};
    static const double sizes[] = {1, 1e-4, 0, 300};
    const float eps = 1e-5f;
    struct face f = open_kind(kind, 1);
    struct dice d = {31};
    for (size_t c = 0; c < COUNT(dims); c++) {
        int32_t n = dims[c];
        float q[COUNT(sizes) * WM_MAX_HEAD_DIM];
        double want[COUNT(sizes) * WM_MAX_HEAD_DIM];
        for (size_t h = 0; h < COUNT(sizes); h++) {
            double square = 0;
            for (int32_t i = 0; i < n; i++) {
                float x = q[(int32_t)h * n + i] = (float)(sizes[h] * (double)dice_normal(&d));
                square += (double)x * (double)x / n;
            }
            for (int32_t i = 0; i < n; i++)
                want[(int32_t)h * n + i] = (double)q[(int32_t)h * n + i] / sqrt(square + (double)eps);
        }
        post(&f, (struct wm_qkv_post){.heads = COUNT(sizes), .head_dim = n, .qk_norm = true, .eps = eps}, 5,
             q);
        for (int32_t i = 0; i < (int32_t)COUNT(sizes) * n; i++)
            CHECK_NEAR((double)q[i], want[i], 1e-6 * fabs(want[i]));
    }
    close_face(&f);
}

/* All three in one step, with an eps that counts. */
static void rope_norm_and_temperature_work_together(const struct face_kind *kind)
{
    enum { DIM = 20, POSITION = 41 };
    struct face f = open_kind(kind, 1);
    struct dice d = {32};
    double inv_freq[DIM / 2], square = 0;
    float q[DIM];
    double want[DIM];
    for (int i = 0; i < DIM; i++)
        q[i] = dice_normal(&d);
    for (int i = 0; i < DIM / 2; i++) {
        inv_freq[i] = pow(10000, -2.0 * i / DIM);
        double angle = POSITION * inv_freq[i], x = (double)q[i], y = (double)q[i + DIM / 2];
        want[i] = x * cos(angle) - y * sin(angle);
        want[i + DIM / 2] = x * sin(angle) + y * cos(angle);
    }
    for (int i = 0; i < DIM; i++)
        square += want[i] * want[i] / DIM;
    post(&f,
         (struct wm_qkv_post){.heads = 1,
                              .head_dim = DIM,
                              .rope = WM_ROPE_HALVES,
                              .inv_freq = inv_freq,
                              .qk_norm = true,
                              .eps = 0.5f,
                              .temperature_floor = 6,
                              .temperature_scale = 2},
         POSITION, q);
    for (int i = 0; i < DIM; i++)
        CHECK_NEAR((double)q[i], want[i] / sqrt(square + 0.5) * (1 + 2 * log(8)), 2e-5);
    close_face(&f);
}

static void without_any_of_them_queries_stay_as_they_are(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 1);
    struct dice d = {33};
    float q[3 * 44], before[3 * 44];
    for (size_t i = 0; i < COUNT(q); i++)
        before[i] = q[i] = dice_normal(&d);
    post(&f, (struct wm_qkv_post){.heads = 3, .head_dim = 44}, 10485759, q);
    check_same(f.name, q, before, COUNT(q));
    close_face(&f);
}

int main(void)
{
    static const struct claim claims[] = {
        CLAIM(angles_keep_their_digits_at_any_position),
        CLAIM(small_sines_keep_their_digits_too),
        CLAIM(far_queries_are_sharpened),
        CLAIM(heads_are_normed_one_by_one),
        CLAIM(rope_norm_and_temperature_work_together),
        CLAIM(without_any_of_them_queries_stay_as_they_are),
    };
    return check_claims(claims, COUNT(claims));
}

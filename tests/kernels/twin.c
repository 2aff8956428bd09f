/* twin.c -- dice, random weights, and a face with its twin. */
#include "tests/kernels/twin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const cpu_paths[] = {"portable", "avx2", "avx512"};

void *need(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    assert_non_null(p);
    return p;
}

uint64_t dice_bits(struct dice *d)
{
    uint64_t x = d->state += 0x9e3779b97f4a7c15; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

double dice_uniform(struct dice *d)
{
    return (double)(dice_bits(d) >> 11) * 0x1p-53;
}

float dice_between(struct dice *d, float low, float high)
{
    return low + (high - low) * (float)dice_uniform(d);
}

float dice_normal(struct dice *d)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += dice_uniform(d);
    return (float)(sum - 6);
}

/* Of size 2^(exponent - 15) .. 2^(exponent - 11). */
static void put_f16(uint8_t *at, struct dice *d, unsigned exponent)
{
    uint16_t h = (uint16_t)((exponent + dice_bits(d) % 4) << 10 | (dice_bits(d) & 0x3ff));
    if (dice_bits(d) & 1)
        h |= 0x8000;
    memcpy(at, &h, sizeof h);
}

static void put_block(uint8_t *block, struct dice *d, enum wm_type type, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        block[i] = (uint8_t)dice_bits(d);
    switch (type) {
    case WM_TYPE_F32: {
        float x = dice_normal(d);
        memcpy(block, &x, sizeof x);
        break;
    }
    case WM_TYPE_BF16: {
        float x = dice_normal(d);
        memcpy(block, (const char *)&x + 2, 2);
        break;
    }
    case WM_TYPE_F8_E4M3:
        if ((block[0] & 0x7f) == 0x7f)
            block[0] ^= 1; /* not NaN */
        break;
    case WM_TYPE_I4:
        break; /* all codes are numbers */
    case WM_TYPE_Q2_K:
        put_f16(block + 80, d, 4);
        put_f16(block + 82, d, 4);
        break;
    case WM_TYPE_Q3_K:
        put_f16(block + 108, d, 4);
        break;
    case WM_TYPE_Q4_K:
    case WM_TYPE_Q5_K:
        put_f16(block, d, 4);
        put_f16(block + 2, d, 4);
        break;
    case WM_TYPE_IQ4_NL:
        put_f16(block, d, 4);
        break;
    case WM_TYPE_IQ4_XS:
        put_f16(block, d, 1); /* its group scales are up to 32 */
        break;
    case WM_TYPE_Q5_1:
    case WM_TYPE_Q4_1:
        put_f16(block + 2, d, 10); /* the minimum */
        put_f16(block, d, 8);
        break;
    case WM_TYPE_Q8_0:
        put_f16(block, d, 4);
        break;
    case WM_TYPE_Q6_K:
        put_f16(block + 208, d, 1); /* its group scales are up to 127 */
        break;
    case WM_TYPE_F16:
        put_f16(block, d, 12);
        break;
    default:
        put_f16(block, d, 8);
    }
}

struct wm_matrix random_matrix(struct dice *d, enum wm_type type, int64_t rows, int64_t cols)
{
    const struct wm_type_info *info = wm_type_info(type);
    size_t blocks = (size_t)(rows * cols) / info->block;
    uint8_t *data = need(blocks * info->bytes);
    for (size_t i = 0; i < blocks; i++)
        put_block(data + i * info->bytes, d, type, info->bytes);
    return (struct wm_matrix){.data = data, .type = type, .rows = rows, .cols = cols};
}

struct face open_reference(void)
{
    struct face f = {wm_face("reference"), NULL, "reference"};
    struct wm_error err = WM_ERROR_INIT;
    assert_non_null(f.ops);
    if (f.ops->open(&(struct wm_backend_options){1}, &f.be, &err) != WM_OK)
        fail_msg("%s", err.text);
    return f;
}

struct face open_cpu(const char *path, int threads)
{
    struct face f = {wm_face("cpu"), NULL, path};
    struct wm_error err = WM_ERROR_INIT;
    assert_non_null(f.ops);
    setenv("WM_CPU_PATH", path, 1);
    enum wm_status st = f.ops->open(&(struct wm_backend_options){threads}, &f.be, &err);
    unsetenv("WM_CPU_PATH");
    if (st == WM_EUNSUPPORTED)
        return (struct face){NULL, NULL, path};
    if (st != WM_OK)
        fail_msg("%s", err.text);
    return f;
}

void close_face(struct face *f)
{
    if (f->ops)
        f->ops->close(f->be);
}

struct wm_act *new_act(struct face *f, int32_t rows, int32_t width, const float *values)
{
    struct wm_act *act;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(f->ops->act_new(f->be, rows, width, &act, &err), WM_OK);
    float *zeros = values ? NULL : need((size_t)rows * (size_t)width * sizeof *zeros);
    assert_int_equal(f->ops->act_write(f->be, act, 0, rows, values ? values : zeros, &err), WM_OK);
    free(zeros);
    return act;
}

void read_act(struct face *f, const struct wm_act *act, int32_t rows, float *out)
{
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(f->ops->act_read(f->be, act, 0, rows, out, &err), WM_OK);
}

void check_close(const char *what, const float *got, const float *want, size_t n, double tolerance)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += (double)want[i] * (double)want[i];
    double bound = tolerance * sqrt(square / (double)(n ? n : 1)) + 1e-30;
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= bound))
            fail_msg("%s: element %zu of %zu is %.9g, should be %.9g: apart by more than %g", what, i, n,
                     (double)got[i], (double)want[i], bound);
}

void check_near_on_average(const char *what, const float *got, const float *want, size_t n, double tolerance)
{
    double square = 0, error = 0;
    for (size_t i = 0; i < n; i++) {
        square += (double)want[i] * (double)want[i];
        error += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
    }
    if (!(sqrt(error) <= tolerance * sqrt(square)))
        fail_msg("%s: relative RMS error of %zu values is %g: more than %g", what, n, sqrt(error / square),
                 tolerance);
}

void check_same(const char *what, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0)
            fail_msg("%s: element %zu of %zu is %.9g and %.9g: not the same bits", what, i, n, (double)got[i],
                     (double)want[i]);
}

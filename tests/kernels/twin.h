/* twin.h -- what the tests of the operations share: dice, random weights, and a face with its twin.
 *
 * Random numbers come from a seed, so failures repeat. Helpers fail the running test when memory runs out.
 */
#ifndef WM_TESTS_KERNELS_TWIN_H
#define WM_TESTS_KERNELS_TWIN_H

#include "tests/check.h"

#include <stdbool.h>

#include "kernels/ops.h"

struct dice {
    uint64_t state;
};

uint64_t dice_bits(struct dice *d);
double dice_uniform(struct dice *d); /* [0, 1) */
float dice_between(struct dice *d, float low, float high);
float dice_normal(struct dice *d); /* about standard normal */

/* A matrix of random blocks with scales of a sensible size; free(matrix.data). */
struct wm_matrix random_matrix(struct dice *d, enum wm_type type, int64_t rows, int64_t cols);

/* An open backend. */
struct face {
    const struct wm_ops *ops;
    struct wm_backend *be;
    const char *name; /* "reference", or the path of the cpu face */
};

struct face open_reference(void);
/* The cpu face on that path with that many threads; .ops is NULL when this machine has no such path. */
struct face open_cpu(const char *path, int threads);
void close_face(struct face *f);

/* Every path there is; a machine may lack some. */
extern const char *const cpu_paths[];
enum { CPU_PATHS = 3 };

/* Activations in the face's memory, filled from `values` ([rows, width]; NULL: zeros). */
struct wm_act *new_act(struct face *f, int32_t rows, int32_t width, const float *values);
void read_act(struct face *f, const struct wm_act *act, int32_t rows, float *out);

/* Fails the test, naming `what`, unless got is within `tolerance` x (root mean square of want) of want everywhere. */
void check_close(const char *what, const float *got, const float *want, size_t n, double tolerance);
/* Fails the test unless the root mean square of got - want is within `tolerance` x that of want. */
void check_near_on_average(const char *what, const float *got, const float *want, size_t n, double tolerance);
/* Fails the test unless both are the same bits. */
void check_same(const char *what, const float *got, const float *want, size_t n);

/* A claim as three tests, one for each path; the body sees `path`. PATHS(claim) lists them. */
#define ON_EVERY_PATH(claim, ...)                                                                            \
    static void claim##_portable(void **state)                                                               \
    {                                                                                                        \
        (void)state;                                                                                         \
        const char *path = "portable";                                                                       \
        __VA_ARGS__;                                                                                         \
    }                                                                                                        \
    static void claim##_avx2(void **state)                                                                   \
    {                                                                                                        \
        (void)state;                                                                                         \
        const char *path = "avx2";                                                                           \
        __VA_ARGS__;                                                                                         \
    }                                                                                                        \
    static void claim##_avx512(void **state)                                                                 \
    {                                                                                                        \
        (void)state;                                                                                         \
        const char *path = "avx512";                                                                         \
        __VA_ARGS__;                                                                                         \
    }
#define PATHS(claim)                                                                                         \
    cmocka_unit_test(claim##_portable), cmocka_unit_test(claim##_avx2), cmocka_unit_test(claim##_avx512)

/* malloc that fails the test. */
void *need(size_t bytes);

#endif

/* long_test.c -- prompts that cross position 8,192 with the constants of the published models: the end of a
 * chunk, the first step of the temperature, and keys that defaults stand in for. */
#include "tests/engine/golden_model.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* Of 8,200 positions some have two experts whose logits are 4e-6 apart, less than float32 can tell: what
 * stands there may be another token. The stored rows are none of them. */
enum { MAX_FLIPS = 2 };

/* The rows that golden values are stored for, and the likeliest token of each position. */
struct rows {
    const json_t *positions;
    const double *argmax;
    int32_t vocabulary, others; /* likeliest tokens that are not the golden ones */
    size_t n;
    float *logits; /* [positions, vocabulary] */
};

static enum wm_status take_row(void *arg, int32_t position, const float *logits, struct wm_error *err)
{
    struct rows *r = arg;
    size_t width = (size_t)r->vocabulary;
    struct wm_ranked best;
    (void)err;
    wm_top_k(logits, r->vocabulary, &best, 1);
    r->others += best.id != (int32_t)r->argmax[position];
    if (position == json_integer_value(json_array_get(r->positions, r->n)))
        memcpy(r->logits + r->n++ * width, logits, width * sizeof *logits);
    return WM_OK;
}

static void check_long(const char *name, const char *face)
{
    static double relative[64];
    struct golden g;
    if (!golden_open(&g, name))
        SKIP("no ../shared/golden/gguf");
    size_t n, n_want, count = 0;
    double *prompt = tensor_of(g.tensors, "prompt", &n), *want = tensor_of(g.tensors, "logits", &n_want),
           *argmax = tensor_of(g.tensors, "argmax", &n);
    struct wm_score *score = golden_score(&g, face, 0, 0);
    struct rows rows = {.positions = json_object_get(g.json, "positions"),
                        .argmax = argmax,
                        .vocabulary = wm_score_model(score)->arch->vocabulary,
                        .logits = malloc(n_want * sizeof *rows.logits)};
    int32_t *ids = malloc(n * sizeof *ids);
    struct wm_tokens none = {0};
    struct wm_error err = WM_ERROR_INIT;
    assert_true(prompt && want && argmax && rows.logits && ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)prompt[i];
    if (wm_score_run(score, ids, (int32_t)n, 0, take_row, &rows, &none, &err) != WM_OK)
        fail_msg("%s", err.text);
    struct recorded r = {.rows = (int32_t)rows.n, .vocabulary = rows.vocabulary, .logits = rows.logits};
    assert_int_equal(rows.n * (size_t)rows.vocabulary, n_want);
    double worst = largest_error(&g, &r, 0, want, rows.n, relative, &count);
    if (is_exact(face) && (!(worst <= LONG_ERROR) || rows.others > MAX_FLIPS))
        fail_msg("%s: off by %g standard deviations, %d likeliest tokens are others", name, worst,
                 rows.others);
    if (!(median(relative, count) <= COARSE_ERROR))
        fail_msg("%s on %s: median relative error %g", name, face, relative[count / 2]);
    wm_score_close(score);
    recorded_free(&r);
    free(prompt);
    free(want);
    free(argmax);
    free(ids);
    golden_close_all(&g, 1);
}

static void maverick_beyond_its_first_chunk(void **state)
{
    (void)state;
    check_long("gguf/maverick-defaults", "cpu");
}

static void scout_beyond_its_first_chunk(void **state)
{
    (void)state;
    check_long("gguf/scout-defaults", "cpu");
}

static void maverick_beyond_its_first_chunk_exactly(void **state)
{
    (void)state;
    if (SANITIZED)
        SKIP("the exact face takes minutes here; the release build runs it");
    check_long("gguf/maverick-defaults", "reference");
}

static void scout_beyond_its_first_chunk_exactly(void **state)
{
    (void)state;
    if (SANITIZED)
        SKIP("the exact face takes minutes here; the release build runs it");
    check_long("gguf/scout-defaults", "reference");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maverick_beyond_its_first_chunk),
        cmocka_unit_test(scout_beyond_its_first_chunk),
        cmocka_unit_test(maverick_beyond_its_first_chunk_exactly),
        cmocka_unit_test(scout_beyond_its_first_chunk_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

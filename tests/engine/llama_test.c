/* llama_test.c -- the forward program of tiny random llamas, on every face, against float32 values of transformers. */
#include "tests/engine/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/score.h"

enum { MAX_PROMPT = 64, VOCABULARY = 512, GREEDY = 24 };

/* golden/README.md, "Tolerances": a face in float32 or better is held position by position, one with 8-bit
 * activations by the median of its relative errors. */
static const double exact_error = 2e-4; /* of the logits' standard deviation */
static const double coarse_error = 0.15;

struct recorded {
    int32_t rows;
    float logits[MAX_PROMPT + GREEDY][VOCABULARY];
};

static enum wm_status record(void *arg, int32_t position, const float *logits, struct wm_error *err)
{
    struct recorded *r = arg;
    (void)err;
    assert_true(position < MAX_PROMPT + GREEDY);
    memcpy(r->logits[position], logits, sizeof r->logits[position]);
    r->rows = position + 1;
    return WM_OK;
}

static struct wm_score *open_score(const char *path, const char *face, int32_t slice, int32_t company)
{
    struct wm_score *score;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_score_options options = {
        .model = {.path = path, .backend = face, .threads = 2}, .slice = slice, .company = company};
    enum wm_status st = wm_score_open(&options, &score, &err);
    if (st == WM_EUNSUPPORTED && strstr(err.text, "ggml type")) {
        print_message("%s\n", err.text);
        return NULL; /* a file of a later build */
    }
    if (st != WM_OK)
        fail_msg("%s", err.text);
    return score;
}

static void run(struct wm_score *s, const struct wm_tokens *ids, int32_t greedy, struct recorded *r,
                struct wm_tokens *out)
{
    struct wm_error err = WM_ERROR_INIT;
    out->n = 0;
    if (wm_score_run(s, ids->ids, (int32_t)ids->n, greedy, record, r, out, &err) != WM_OK)
        fail_msg("%s", err.text);
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check_logits(const char *what, bool exact, const struct recorded *r, int32_t first,
                         const double *want, size_t rows, double std)
{
    double relative[MAX_PROMPT];
    for (size_t p = 0; p < rows; p++) {
        double error = 0, size = 0;
        for (size_t v = 0; v < VOCABULARY; v++) {
            double w = want[p * VOCABULARY + v], d = (double)r->logits[(size_t)first + p][v] - w;
            error += d * d;
            size += w * w;
            if (exact && fabs(d) > exact_error * std)
                fail_msg("%s: logit %zu at position %zu is off by %g", what, v, p, d);
        }
        relative[p] = sqrt(error / size);
    }
    qsort(relative, rows, sizeof *relative, rising);
    if (relative[rows / 2] > coarse_error)
        fail_msg("%s: median relative error %g", what, relative[rows / 2]);
}

/* Greedy tokens, up to the first that a coarse face may choose otherwise. */
static void check_greedy(const char *what, bool exact, const struct wm_tokens *got, const json_t *want,
                         double std)
{
    const json_t *ids = json_object_get(want, "ids"), *margins = json_object_get(want, "margins");
    for (size_t i = 0; i < json_array_size(ids) && i < got->n; i++) {
        if (!exact && json_number_value(json_array_get(margins, i)) < coarse_error * std)
            return;
        if (got->ids[i] != json_integer_value(json_array_get(ids, i)))
            fail_msg("%s: greedy token %zu is %d", what, i, got->ids[i]);
    }
}

static void check_file(const char *name, const char *face)
{
    bool exact = strcmp(face, "reference") == 0;
    char file[64], tensors[64], what[96];
    snprintf(file, sizeof file, "gguf/%s.golden.json", name);
    snprintf(tensors, sizeof tensors, "gguf/%s.golden.safetensors", name);
    json_t *golden = golden_json(file);
    snprintf(file, sizeof file, "gguf/%s.gguf", name);
    const char *path = golden_path(file);
    if (!golden || !path)
        SKIP("no ../shared/golden/gguf");
    double std = json_number_value(json_object_get(golden, "logits_std"));
    struct wm_score *score = open_score(path, face, 0, 0);
    if (!score) {
        json_decref(golden);
        return;
    }
    static struct recorded r;
    struct wm_tokens ids = {0}, greedy = {0};
    const char *prompt;
    json_t *p;
    json_object_foreach(json_object_get(golden, "prompts"), prompt, p)
    {
        const json_t *want = json_object_get(json_object_get(golden, "greedy"), prompt);
        bool whole = strcmp(json_string_value(json_object_get(p, "stored")), "all positions") == 0;
        size_t n;
        ids.n = 0;
        add_json_ids(&ids, json_object_get(p, "ids"));
        run(score, &ids, want ? GREEDY : 0, &r, &greedy);
        snprintf(what, sizeof what, "%s %s %s", face, name, prompt);
        snprintf(file, sizeof file, "%s.%s", whole ? "logits" : "logits_last", prompt);
        double *logits = golden_tensor(tensors, file, &n);
        check_logits(what, exact, &r, whole ? 0 : (int32_t)ids.n - 1, logits, n / VOCABULARY, std);
        if (want)
            check_greedy(what, exact, &greedy, want, std);
        free(logits);
    }
    wm_tokens_free(&ids);
    wm_tokens_free(&greedy);
    wm_score_close(score);
    json_decref(golden);
}

static const char *const files[] = {"llama-dense-F32", "llama-dense-Q8_0", "llama-dense-Q4_0",
                                    "llama3-dense-Q4_1", "quant-mix"};

static void logits_and_greedy_tokens_are_the_golden_ones_on_every_face(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT(files); f++)
        for (const struct wm_ops *const *face = wm_faces; *face; face++)
            check_file(files[f], (*face)->name);
}

/* Slicings and company that must not change a bit. */
static const struct {
    int32_t slice, company;
} ways[] = {{1, 0}, {7, 0}, {32, 0}, {256, 16}, {7, 16}, {1, 3}};

static void slices_and_company_do_not_change_a_bit(void **state)
{
    (void)state;
    const char *path = golden_path("gguf/llama-dense-Q4_0.gguf");
    if (!path)
        SKIP("no ../shared/golden/gguf");
    static struct recorded want, got;
    struct wm_tokens ids = {0}, want_greedy = {0}, got_greedy = {0};
    for (int32_t i = 0; i < 50; i++)
        assert_int_equal(wm_tokens_add(&ids, &(int32_t){(i * 37 + 11) % VOCABULARY}, 1), WM_OK);
    for (const struct wm_ops *const *face = wm_faces; *face; face++) {
        struct wm_score *score = open_score(path, (*face)->name, 0, 0);
        run(score, &ids, 8, &want, &want_greedy);
        wm_score_close(score);
        for (size_t w = 0; w < COUNT(ways); w++) {
            score = open_score(path, (*face)->name, ways[w].slice, ways[w].company);
            run(score, &ids, 8, &got, &got_greedy);
            wm_score_close(score);
            if (memcmp(want.logits, got.logits, sizeof want.logits[0] * 57) != 0)
                fail_msg("%s: slices of %d with %d others change the logits", (*face)->name, ways[w].slice,
                         ways[w].company);
            assert_memory_equal(want_greedy.ids, got_greedy.ids, 8 * sizeof *got_greedy.ids);
        }
    }
    wm_tokens_free(&ids);
    wm_tokens_free(&want_greedy);
    wm_tokens_free(&got_greedy);
}

static void ids_outside_the_vocabulary_and_too_many_are_refused(void **state)
{
    (void)state;
    const char *path = golden_path("gguf/llama-dense-Q8_0.gguf");
    if (!path)
        SKIP("no ../shared/golden/gguf");
    struct wm_score *score = open_score(path, "reference", 0, 0);
    struct wm_tokens out = {0};
    static const int32_t bad[] = {-1, VOCABULARY, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(wm_score_run(score, &bad[i], 1, 0, NULL, NULL, &out, &err), WM_EINVAL);
    }
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_score_run(score, &(int32_t){1}, 1, 8192, NULL, NULL, &out, &err), WM_ELIMIT);
    wm_score_close(score);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_greedy_tokens_are_the_golden_ones_on_every_face),
        cmocka_unit_test(slices_and_company_do_not_change_a_bit),
        cmocka_unit_test(ids_outside_the_vocabulary_and_too_many_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

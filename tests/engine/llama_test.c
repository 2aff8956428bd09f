/* llama_test.c -- the forward program, on every golden model and every face: logits, the likeliest tokens,
 * greedy continuations; and that slices and company change no bit. */
#include "tests/engine/golden_model.h"

#include <stdlib.h>
#include <string.h>

/* Largest differences of one model on one face. */
struct verdict {
    double worst;
    double relative[1024];
    size_t n;
};

static void check_argmax(const struct golden *g, const char *prompt, const struct recorded *r)
{
    char tensor[96];
    size_t n;
    snprintf(tensor, sizeof tensor, "argmax.%s", prompt);
    double *want = tensor_of(g->tensors, tensor, &n);
    if (!want)
        fail_msg("%s has no %s", g->tensors, tensor);
    for (size_t p = 0; p < n; p++) {
        struct wm_ranked best;
        wm_top_k(r->logits + p * (size_t)r->vocabulary, r->vocabulary, &best, 1);
        if (best.id != (int32_t)want[p])
            fail_msg("%s %s: the likeliest token at position %zu is %d", g->name, prompt, p, best.id);
    }
    free(want);
}

static void check_greedy(const struct golden *g, const char *prompt, const struct wm_tokens *got)
{
    const json_t *want = json_object_get(json_object_get(g->json, "greedy"), prompt),
                 *ids = json_object_get(want, "ids");
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (i >= got->n || got->ids[i] != json_integer_value(json_array_get(ids, i)))
            fail_msg("%s %s: greedy token %zu is another", g->name, prompt, i);
}

static void check_prompt(const struct golden *g, const char *prompt, struct wm_score *score, bool exact,
                         struct verdict *v)
{
    struct recorded r = {0};
    struct wm_tokens ids = {0}, greedy = {0};
    bool goes_on = json_object_get(json_object_get(g->json, "greedy"), prompt) != NULL;
    char tensor[96];
    size_t n;
    golden_prompt(g, prompt, score, &ids);
    record(&r, score, &ids, goes_on ? GREEDY : 0, &greedy);
    snprintf(tensor, sizeof tensor, "logits.%s", prompt);
    double *want = tensor_of(g->tensors, tensor, &n);
    int32_t first = 0;
    if (!want) {
        snprintf(tensor, sizeof tensor, "logits_last.%s", prompt);
        want = tensor_of(g->tensors, tensor, &n);
        first = (int32_t)ids.n - 1;
    }
    if (!want)
        fail_msg("%s has no logits of %s", g->tensors, prompt);
    double error = largest_error(g, &r, first, want, n / (size_t)r.vocabulary, v->relative, &v->n);
    if (!(error <= v->worst))
        v->worst = error;
    if (exact) {
        check_argmax(g, prompt, &r);
        check_greedy(g, prompt, &greedy);
    }
    free(want);
    recorded_free(&r);
    wm_tokens_free(&ids);
    wm_tokens_free(&greedy);
}

static void logits_and_greedy_tokens_are_the_golden_ones_on_every_face(void **state)
{
    (void)state;
    static struct golden g[MAX_MODELS];
    static struct verdict v;
    int n = golden_open_all(g);
    for (int i = 0; i < n; i++)
        for (const struct wm_ops *const *face = wm_faces; *face; face++) {
            bool exact = is_exact((*face)->name);
            const char *prompt;
            json_t *p;
            if (!json_object_get(g[i].json, "prompts"))
                continue; /* a long prompt: long_test.c */
            v = (struct verdict){0};
            struct wm_score *score = golden_score(&g[i], (*face)->name, 0, 0);
            json_object_foreach(json_object_get(g[i].json, "prompts"), prompt, p)
                check_prompt(&g[i], prompt, score, exact, &v);
            wm_score_close(score);
            if (exact && !(v.worst <= EXACT_ERROR))
                fail_msg("%s: a logit is off by %g standard deviations", g[i].name, v.worst);
            if (!(median(v.relative, v.n) <= COARSE_ERROR))
                fail_msg("%s on %s: median relative error %g", g[i].name, (*face)->name, v.relative[v.n / 2]);
        }
    golden_close_all(g, n);
}

/* Slicings and company that must not change a bit. 0: the whole prompt at once. */
static const struct {
    int32_t slice, company;
} ways[] = {{1, 0}, {7, 0}, {16, 0}, {0, 16}, {7, 16}, {1, 3}};

/* Models whose chunks end within the prompt, at 12, 16 and 8 positions; one that sees; a dense one. */
static const struct {
    const char *model, *prompt;
} subjects[] = {{"tiny/maverick", "n50"},        {"tiny/maverick", "two_pictures"},
                {"tiny/scout-top2", "n38"},      {"tiny/maverick-fp8", "n50"},
                {"models/maverick-tiny", "n50"}, {"models/scout-top2", "n38"},
                {"gguf/llama-dense-Q4_0", "n50"}};

static void slices_and_company_do_not_change_a_bit(void **state)
{
    (void)state;
    struct recorded want = {0}, got = {0};
    struct wm_tokens ids = {0}, want_greedy = {0}, got_greedy = {0};
    for (size_t i = 0; i < COUNT(subjects); i++) {
        struct golden g;
        if (!golden_open(&g, subjects[i].model))
            continue;
        for (const struct wm_ops *const *face = wm_faces; *face; face++) {
            struct wm_score *score = golden_score(&g, (*face)->name, 0, 0);
            golden_prompt(&g, subjects[i].prompt, score, &ids);
            record(&want, score, &ids, 8, &want_greedy);
            wm_score_close(score);
            for (size_t w = 0; w < COUNT(ways); w++) {
                score = golden_score(&g, (*face)->name, ways[w].slice, ways[w].company);
                golden_prompt(&g, subjects[i].prompt, score, &ids);
                record(&got, score, &ids, 8, &got_greedy);
                wm_score_close(score);
                size_t bytes = (size_t)want.rows * (size_t)want.vocabulary * sizeof *want.logits;
                if (got.rows != want.rows || memcmp(want.logits, got.logits, bytes) != 0)
                    fail_msg("%s on %s: slices of %d with %d others change the logits", g.name, (*face)->name,
                             ways[w].slice, ways[w].company);
                assert_memory_equal(want_greedy.ids, got_greedy.ids, 8 * sizeof *got_greedy.ids);
            }
        }
        golden_close_all(&g, 1);
    }
    recorded_free(&want);
    recorded_free(&got);
    wm_tokens_free(&ids);
    wm_tokens_free(&want_greedy);
    wm_tokens_free(&got_greedy);
}

static void ids_outside_the_vocabulary_and_too_many_are_refused(void **state)
{
    (void)state;
    struct golden g;
    assert_true(golden_open(&g, "tiny/scout-top2"));
    struct wm_score *score = golden_score(&g, "reference", 0, 0);
    struct wm_tokens out = {0};
    const int32_t bad[] = {-1, wm_score_model(score)->arch->vocabulary, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(wm_score_run(score, &bad[i], 1, 0, NULL, NULL, &out, &err), WM_EINVAL);
    }
    struct wm_error err = WM_ERROR_INIT;
    int32_t context = wm_score_model(score)->arch->context;
    assert_int_equal(wm_score_run(score, &(int32_t){1}, 1, context, NULL, NULL, &out, &err), WM_ELIMIT);
    wm_score_close(score);
    golden_close_all(&g, 1);
}

static void the_highest_k_come_in_order_for_any_k(void **state)
{
    (void)state;
    static const float logits[] = {1, 5, 3, 5, -2, 3, 0, 5};
    static const int32_t order[] = {1, 3, 7, 2, 5, 0, 6, 4};
    for (int32_t k = 0; k <= (int32_t)COUNT(logits); k++) {
        struct wm_ranked out[COUNT(logits)];
        wm_top_k(logits, COUNT(logits), out, k);
        for (int32_t i = 0; i < k; i++) {
            assert_int_equal(out[i].id, order[i]);
            assert_true(out[i].logit == logits[order[i]]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_greedy_tokens_are_the_golden_ones_on_every_face),
        cmocka_unit_test(slices_and_company_do_not_change_a_bit),
        cmocka_unit_test(ids_outside_the_vocabulary_and_too_many_are_refused),
        cmocka_unit_test(the_highest_k_come_in_order_for_any_k),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

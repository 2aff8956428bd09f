/* smollm_test.c -- a real model on every face: logits, greedy tokens and perplexity as transformers gives them.
 *
 * The reference face takes a fifteenth of a second for each token, and half a second under a sanitizer: there it does a
 * part of the work. WM_LONG=1 asks for all of it.
 */
#include "tests/engine/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/score.h"

enum { VOCABULARY = 49152, TOP = 20, GREEDY = 40, MAX_ROWS = 128 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* golden/README.md, "Tolerances". A coarse face's greedy tokens are compared where the margin is above twice its error. */
static const struct tolerance {
    double logit;   /* largest error of one */
    double top_rms; /* of the top 20 */
    double nll;     /* of the mean */
    double least_margin;
} exact = {2e-3, 2e-3, 1e-4, 4e-3}, coarse = {INFINITY, 0.6, 0.01, 1.2};

static const struct tolerance *tolerance_of(const struct wm_ops *face)
{
    return strcmp(face->name, "reference") == 0 ? &exact : &coarse;
}

static bool short_run(const struct wm_ops *face)
{
    return strcmp(face->name, "reference") == 0 && SANITIZED && !getenv("WM_LONG");
}

static struct wm_score *open_score(const char *path, const struct wm_ops *face, int32_t slice,
                                   int32_t company)
{
    struct wm_score *score;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_score_options o = {
        .model = {.path = path, .backend = face->name, .threads = 2}, .slice = slice, .company = company};
    if (wm_score_open(&o, &score, &err) != WM_OK)
        fail_msg("%s", err.text);
    return score;
}

/* What is kept of a run. */
struct rows {
    int32_t n, best[MAX_ROWS];
    uint64_t hash; /* of all bits of all rows */
    int32_t keep;  /* this row is kept whole */
    float logits[VOCABULARY];
};

static enum wm_status take(void *arg, int32_t position, const float *logits, struct wm_error *err)
{
    struct rows *r = arg;
    struct wm_ranked best;
    (void)err;
    assert_true(position < MAX_ROWS);
    wm_top_k(logits, VOCABULARY, &best, 1);
    r->best[position] = best.id;
    r->n = position + 1;
    for (size_t i = 0; i < VOCABULARY; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        r->hash = (r->hash ^ bits) * 0x100000001b3u;
    }
    if (position == r->keep)
        memcpy(r->logits, logits, sizeof r->logits);
    return WM_OK;
}

static void check_chat(struct wm_score *s, const struct wm_ops *face, const json_t *chat, size_t index)
{
    static struct rows r;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_tokens ids = {0}, none = {0};
    const json_t *greedy = json_object_get(chat, "greedy"), *margins = json_object_get(chat, "margins");
    const struct tolerance *t = tolerance_of(face);
    int32_t fed = short_run(face) ? 6 : GREEDY;
    char name[32];
    add_json_ids(&ids, json_object_get(chat, "ids"));
    int32_t last = (int32_t)ids.n - 1;
    add_json_ids(&ids,
                 greedy); /* their own tokens are fed, so that one close call does not hide what follows */
    r = (struct rows){.keep = last};
    if (wm_score_run(s, ids.ids, last + fed, 0, take, &r, &none, &err) != WM_OK)
        fail_msg("%s", err.text);

    const json_t *top_ids = json_object_get(chat, "top20_ids"), *top = json_object_get(chat, "top20_logits");
    double sum = 0, worst = 0;
    for (size_t i = 0; i < TOP; i++) {
        double d = (double)r.logits[json_integer_value(json_array_get(top_ids, i))] -
                   json_number_value(json_array_get(top, i));
        sum += d * d;
    }
    size_t n;
    snprintf(name, sizeof name, "logits_last.%zu", index);
    double *want = golden_tensor("smollm2/golden.safetensors", name, &n);
    assert_int_equal(n, VOCABULARY);
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)r.logits[i] - want[i]));
    free(want);
    print_message("%s chat %zu: top-20 RMS %.5f, largest error %.5f\n", face->name, index, sqrt(sum / TOP),
                  worst);
    if (sqrt(sum / TOP) > t->top_rms || worst > t->logit)
        fail_msg("%s: the logits of chat %zu are too far off", face->name, index);
    for (int32_t g = 0; g < fed; g++)
        if (json_number_value(json_array_get(margins, (size_t)g)) > t->least_margin)
            assert_int_equal(r.best[last + g], json_integer_value(json_array_get(greedy, (size_t)g)));
    wm_tokens_free(&ids);
}

static void logits_and_greedy_tokens_are_those_of_transformers(void **state)
{
    (void)state;
    SMALL_MODEL_OR_SKIP(path);
    GOLDEN_OR_SKIP(golden, "smollm2/golden.json");
    const json_t *chats = json_object_get(golden, "chats");
    for (const struct wm_ops *const *face = wm_faces; *face; face++) {
        struct wm_score *s = open_score(path, *face, 0, 0);
        size_t n = short_run(*face) ? 1 : json_array_size(chats);
        for (size_t i = 0; i < n; i++)
            check_chat(s, *face, json_array_get(chats, i), i);
        wm_score_close(s);
    }
    json_decref(golden);
}

struct likelihood {
    const struct wm_tokens *ids;
    double sum;
};

static enum wm_status add_nll(void *arg, int32_t position, const float *logits, struct wm_error *err)
{
    struct likelihood *l = arg;
    (void)err;
    if ((size_t)position + 1 < l->ids->n)
        l->sum += wm_log_sum_exp(logits, VOCABULARY) - (double)logits[l->ids->ids[position + 1]];
    return WM_OK;
}

static void the_perplexity_of_a_text_is_that_of_transformers(void **state)
{
    (void)state;
    SMALL_MODEL_OR_SKIP(path);
    GOLDEN_OR_SKIP(golden, "smollm2/golden.json");
    size_t n;
    double *each = golden_tensor("smollm2/golden.safetensors", "nll", &n);
    struct wm_tokens ids = {0}, none = {0};
    add_json_ids(&ids, json_object_get(golden, "perplexity_text_ids"));
    assert_int_equal(ids.n, n + 1);
    for (const struct wm_ops *const *face = wm_faces; *face; face++) {
        struct wm_score *s = open_score(path, *face, 0, 0);
        struct wm_tokens part = ids;
        part.n = short_run(*face) ? 17 : ids.n;
        struct likelihood l = {.ids = &part};
        struct wm_error err = WM_ERROR_INIT;
        double want = 0;
        for (size_t i = 0; i + 1 < part.n; i++)
            want += each[i];
        if (wm_score_run(s, part.ids, (int32_t)part.n, 0, add_nll, &l, &none, &err) != WM_OK)
            fail_msg("%s", err.text);
        double predictions = (double)(part.n - 1);
        print_message("%s: NLL %.6f over %.0f predictions, want %.6f\n", (*face)->name, l.sum / predictions,
                      predictions, want / predictions);
        CHECK_NEAR(l.sum / predictions, want / predictions, tolerance_of(*face)->nll);
        wm_score_close(s);
    }
    free(each);
    wm_tokens_free(&ids);
    json_decref(golden);
}

enum when { ALWAYS, UNHURRIED, LONG };

/* slice 0: whole */
static const struct {
    int32_t slice, company;
    enum when on_cpu, on_reference;
} ways[] = {
    {0, 0, ALWAYS, UNHURRIED}, {7, 0, ALWAYS, UNHURRIED}, {1, 0, ALWAYS, LONG},     {32, 0, UNHURRIED, LONG},
    {0, 16, UNHURRIED, LONG},  {7, 16, ALWAYS, LONG},     {1, 16, UNHURRIED, LONG}, {32, 16, UNHURRIED, LONG},
};

/* The tiny llamas go all ways on every face in every run (llama_test.c). */
static bool goes(size_t way, const struct wm_ops *face)
{
    enum when when = tolerance_of(face) == &exact ? ways[way].on_reference : ways[way].on_cpu;
    return when == ALWAYS || getenv("WM_LONG") || (when == UNHURRIED && !SANITIZED);
}

static void slices_and_company_do_not_change_a_bit(void **state)
{
    (void)state;
    SMALL_MODEL_OR_SKIP(path);
    GOLDEN_OR_SKIP(golden, "smollm2/golden.json");
    static struct rows r;
    struct wm_tokens ids = {0};
    add_json_ids(&ids, json_object_get(json_array_get(json_object_get(golden, "chats"), 0), "ids"));
    for (const struct wm_ops *const *face = wm_faces; *face; face++) {
        uint64_t want = 0;
        struct wm_tokens first = {0};
        for (size_t w = 0; w < COUNT(ways); w++) {
            if (!goes(w, *face))
                continue;
            struct wm_error err = WM_ERROR_INIT;
            struct wm_tokens greedy = {0};
            struct wm_score *s =
                open_score(path, *face, ways[w].slice ? ways[w].slice : MAX_ROWS, ways[w].company);
            r = (struct rows){.keep = -1};
            if (wm_score_run(s, ids.ids, (int32_t)ids.n, 4, take, &r, &greedy, &err) != WM_OK)
                fail_msg("%s", err.text);
            wm_score_close(s);
            if (!first.n) {
                want = r.hash;
                first = greedy;
                continue;
            }
            if (r.hash != want)
                fail_msg("%s: slices of %d in a company of %d change the logits", (*face)->name,
                         ways[w].slice, ways[w].company);
            assert_int_equal(greedy.n, first.n);
            assert_memory_equal(greedy.ids, first.ids, first.n * sizeof *first.ids);
            wm_tokens_free(&greedy);
        }
        wm_tokens_free(&first);
    }
    wm_tokens_free(&ids);
    json_decref(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_greedy_tokens_are_those_of_transformers),
        cmocka_unit_test(the_perplexity_of_a_text_is_that_of_transformers),
        cmocka_unit_test(slices_and_company_do_not_change_a_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* llama4_test.c -- the forward program from inside: hidden states of every layer and the choices of every
 * router against the golden ones; and that each rule of Llama 4 matters: with one broken, the golden
 * comparison fails. */
#include "tests/engine/golden_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/watched_face.h"

/* Runs a prompt with the watched face. */
static void look(const struct golden *g, const char *face, const char *prompt, int32_t slice,
                 struct recorded *r)
{
    struct wm_tokens ids = {0}, none = {0};
    watched_arch = NULL;
    struct wm_score *score = golden_score(g, face, slice, 0);
    watched_arch = wm_score_model(score)->arch;
    memset(&seen, 0, sizeof seen);
    golden_prompt(g, prompt, score, &ids);
    record(r, score, &ids, 0, &none);
    wm_tokens_free(&ids);
    wm_tokens_free(&none);
    wm_score_close(score);
}

/* The tensor "KIND.PROMPT.LAYER", or NULL. */
static double *stored(const struct golden *g, const char *kind, const char *prompt, int32_t layer, size_t *n)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s.%d", kind, prompt, layer);
    if (layer < 0)
        snprintf(name, sizeof name, "%s.%s.embed", kind, prompt);
    return tensor_of(g->tensors, name, n);
}

/* Rows of floats against rows of doubles: relative to the size of the wanted ones. */
static double relative_error(const float *got, size_t stride, const double *want, size_t rows, size_t width)
{
    double error = 0, size = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            double w = want[r * width + i], d = (double)got[r * stride + i] - w;
            error = fabs(d) > error || d != d ? fabs(d) : error;
            size = fabs(w) > size ? fabs(w) : size;
        }
    return error / size;
}

static const struct {
    const char *model, *prompt;
} inside[] = {
    {"tiny/maverick", "n17"},        {"tiny/maverick", "one_tile"},
    {"tiny/scout-top2", "n13"},      {"tiny/maverick-fp8", "n17"},
    {"models/maverick-tiny", "n17"}, {"models/scout-tiny", "n17"},
    {"models/scout-top2", "n13"},    {"models/maverick-vision-tiny", "one_tile"},
    {"models/maverick-fp8", "n17"},  {"models/llama-dense", "n17"},
};

static void hidden_states_of_every_layer_are_the_golden_ones(void **state)
{
    (void)state;
    struct recorded r = {0};
    for (size_t i = 0; i < COUNT(inside); i++) {
        struct golden g;
        if (!golden_open(&g, inside[i].model))
            continue;
        for (int slice = 0; slice <= 7; slice += 7) {
            int compared = 0;
            look(&g, "reference", inside[i].prompt, slice, &r);
            /* Of a prompt with pictures the golden embeddings are those before its rows are put in. */
            for (int32_t l = inside[i].prompt[0] == 'n' ? -1 : 0; l < SEEN_LAYERS; l++) {
                size_t n;
                double *want = stored(&g, "hidden", inside[i].prompt, l, &n);
                if (!want)
                    continue;
                size_t rows = (size_t)r.rows;
                double error = relative_error(seen.hidden[l + 1][0], SEEN_WIDTH, want, rows, n / rows);
                if (!(error < 1e-5))
                    fail_msg("%s %s: layer %d leaves what is off by %g", g.name, inside[i].prompt, l, error);
                compared++;
                free(want);
            }
            assert_true(compared > 3);
        }
        golden_close_all(&g, 1);
    }
    recorded_free(&r);
}

static void routers_choose_as_the_golden_ones_do(void **state)
{
    (void)state;
    struct recorded r = {0};
    int compared = 0;
    for (size_t i = 0; i < COUNT(inside); i++) {
        struct golden g;
        if (!golden_open(&g, inside[i].model))
            continue;
        look(&g, "reference", inside[i].prompt, 0, &r);
        for (int32_t l = 0; l < SEEN_LAYERS; l++) {
            size_t n, rows = (size_t)r.rows;
            double *logits = stored(&g, "router_logits", inside[i].prompt, l, &n);
            if (!logits)
                continue;
            double error = relative_error(seen.router_logits[l][0], SEEN_EXPERTS, logits, rows, n / rows);
            if (!(error < 1e-4))
                fail_msg("%s: router %d is off by %g", g.name, l, error);
            double *index = stored(&g, "router_index", inside[i].prompt, l, &n),
                   *score = stored(&g, "router_score", inside[i].prompt, l, &n);
            for (size_t p = 0, used = n / rows; p < rows; p++)
                for (size_t k = 0; k < used; k++) {
                    if (seen.expert[l][p][k] != (int32_t)index[p * used + k])
                        fail_msg("%s: router %d sends position %zu to %d", g.name, l, p,
                                 seen.expert[l][p][k]);
                    CHECK_NEAR(seen.score[l][p][k], score[p * used + k], 1e-5);
                }
            compared++;
            free(logits);
            free(index);
            free(score);
        }
        golden_close_all(&g, 1);
    }
    assert_true(compared > 4);
    recorded_free(&r);
}

/* The largest error of a prompt's logits on the exact face. */
static double error_of(const struct golden *g, const char *prompt)
{
    static double relative[SEEN_POSITIONS];
    struct recorded r = {0};
    char name[96];
    size_t n, rows = 0;
    look(g, "reference", prompt, 0, &r);
    snprintf(name, sizeof name, "logits.%s", prompt);
    double *want = tensor_of(g->tensors, name, &n);
    int32_t first = 0;
    if (!want) {
        snprintf(name, sizeof name, "logits_last.%s", prompt);
        want = tensor_of(g->tensors, name, &n);
        first = r.rows - 1;
    }
    assert_non_null(want);
    double error = largest_error(g, &r, first, want, n / (size_t)r.vocabulary, relative, &rows);
    free(want);
    recorded_free(&r);
    return error;
}

/* Which rule is proved where. A model in the tree first, then one beside it. */
static const struct {
    enum breakage what;
    const char *name, *model, *prompt;
} rules[] = {
#define RULE(id, model, prompt)                                                                              \
    {                                                                                                        \
        BREAK_##id, #id, model, prompt                                                                       \
    }
    RULE(CHUNK_IGNORED, "tiny/maverick", "n50"),
    RULE(CHUNK_IGNORED, "tiny/scout-top2", "n13"),
    RULE(CHUNK_IGNORED, "models/scout-tiny", "n50"),
    RULE(TEMPERATURE_OFF, "tiny/maverick", "n17"),
    RULE(TEMPERATURE_OFF, "models/scout-tiny", "n17"),
    RULE(QK_NORM_TOGGLED, "tiny/maverick", "n17"),
    RULE(QK_NORM_TOGGLED, "tiny/scout-top2", "n13"),
    RULE(OTHER_ROPE_PAIRING, "tiny/maverick", "n17"),
    RULE(OTHER_ROPE_PAIRING, "models/llama-dense", "n17"),
    RULE(OTHER_ROPE_PAIRING, "gguf/llama-dense-F32", "n17"),
    RULE(ROPE_EVERYWHERE, "tiny/maverick", "n17"),
    RULE(ROPE_EVERYWHERE, "tiny/scout-top2", "n13"),
    RULE(ROPE_UNSCALED, "tiny/scout-top2", "n13"),
    RULE(ROPE_UNSCALED, "models/scout-top2", "n38"),
    RULE(ROUTER_SCORE_OFF, "tiny/maverick", "n17"),
    RULE(ROUTER_SCORE_OFF, "tiny/scout-top2", "n13"),
    RULE(SECOND_EXPERT_OFF, "tiny/scout-top2", "n13"),
    RULE(SHARED_EXPERT_OFF, "tiny/maverick", "n17"),
    RULE(SHARED_EXPERT_OFF, "models/scout-tiny", "n17"),
    RULE(VISION_BIAS_OFF, "tiny/maverick", "one_tile"),
    RULE(VISION_GELU_TANH, "tiny/maverick", "one_tile"),
    RULE(VISION_ROPE_ROW_FIRST, "tiny/maverick", "one_tile"),
    RULE(VISION_ROPE_FROM_0, "tiny/maverick", "one_tile"),
    RULE(VISION_CLASS_FIRST, "tiny/maverick", "one_tile"),
    RULE(VISION_CLASS_ROTATED, "tiny/maverick", "one_tile"),
    RULE(ADAPTER_GELU_ONCE, "tiny/maverick", "one_tile"),
    RULE(SHUFFLE_TRANSPOSED, "tiny/maverick", "one_tile"),
    RULE(GLOBAL_TILE_FIRST, "tiny/maverick", "many_tiles"),
#undef RULE
};

static void with_any_rule_broken_the_golden_comparison_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rules); i++) {
        struct golden g;
        if (!golden_open(&g, rules[i].model))
            continue;
        broken = BREAK_NOTHING;
        double whole = error_of(&g, rules[i].prompt);
        broken = rules[i].what;
        double error = error_of(&g, rules[i].prompt);
        broken = BREAK_NOTHING;
        if (!(whole <= EXACT_ERROR))
            fail_msg("%s %s: off by %g with every rule kept", g.name, rules[i].prompt, whole);
        if (error <= EXACT_ERROR)
            fail_msg("%s %s does not notice %s: off by %g", g.name, rules[i].prompt, rules[i].name, error);
        golden_close_all(&g, 1);
    }
}

/* The tokens between tiles, and behind rows of them. */
static void with_other_separators_the_golden_comparison_fails(void **state)
{
    (void)state;
    static const char *const separators[] = {"<|tile_x_separator|>", "<|tile_y_separator|>", "<|image|>"};
    struct golden g;
    struct recorded r = {0};
    struct wm_tokens ids = {0}, none = {0};
    assert_true(golden_open(&g, "tiny/maverick"));
    for (size_t i = 0; i < COUNT(separators); i++) {
        static double relative[SEEN_POSITIONS];
        size_t n, rows = 0, replaced = 0;
        struct wm_score *score = golden_score(&g, "reference", 0, 0);
        const struct wm_tokenizer *t = wm_score_model(score)->tokenizer;
        int32_t separator = wm_tokenizer_control(t, separators[i]),
                other = wm_tokenizer_control(t, "<|image_start|>");
        watched_arch = wm_score_model(score)->arch;
        golden_prompt(&g, "many_tiles", score, &ids);
        for (size_t p = 0; p < ids.n; p++)
            if (ids.ids[p] == separator) {
                ids.ids[p] = other;
                replaced++;
            }
        assert_true(replaced > 0);
        record(&r, score, &ids, 0, &none);
        wm_score_close(score);
        double *want = tensor_of(g.tensors, "logits.many_tiles", &n);
        assert_non_null(want);
        double error = largest_error(&g, &r, 0, want, n / (size_t)r.vocabulary, relative, &rows);
        if (error <= EXACT_ERROR)
            fail_msg("without %s: off by %g only", separators[i], error);
        free(want);
    }
    golden_close_all(&g, 1);
    recorded_free(&r);
    wm_tokens_free(&ids);
    wm_tokens_free(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hidden_states_of_every_layer_are_the_golden_ones),
        cmocka_unit_test(routers_choose_as_the_golden_ones_do),
        cmocka_unit_test(with_any_rule_broken_the_golden_comparison_fails),
        cmocka_unit_test(with_other_separators_the_golden_comparison_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

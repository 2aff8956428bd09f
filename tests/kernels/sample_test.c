/* sample_test.c -- what sampling promises, on every face.
 *
 * Logits here are whole multiples of 1/64 and random numbers stay away from the borders between tokens, so that faces
 * may round their sums differently and must still choose the same token.
 */
#include "tests/kernels/claims.h"

#include <math.h>
#include <stdlib.h>

enum { VOCABULARY = 1000 };

static struct wm_sampled sample(struct face *f, const float *logits, int32_t vocabulary,
                                struct wm_sample_row how)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_act *act = new_act(f, 1, vocabulary, logits);
    struct wm_sampled out;
    assert_int_equal(f->ops->sample(f->be, act, vocabulary, &how, 1, &out, &err), WM_OK);
    f->ops->act_free(f->be, act);
    return out;
}

/* Falling probability 1/2, 1/4, 1/8 ... over ids 3, 2, 1, 0, 4. */
static const float HALVES[] = {-3 * 0x1.62e43p-1f, -2 * 0x1.62e43p-1f, -1 * 0x1.62e43p-1f, 0,
                               -4 * 0x1.62e43p-1f};

static const struct {
    const char *what;
    struct wm_sample_row how;
    int32_t id;
} CASES[] = {
    {"greedy takes the largest", {.temperature = 0, .top_p = 1}, 3},
    {"a small number takes the first", {1, 1, 0, 0, 0.0}, 3},
    {"the first has 16/31", {1, 1, 0, 0, 0.51}, 3},
    {"the second comes behind it", {1, 1, 0, 0, 0.53}, 2},
    {"the last has 1/31", {1, 1, 0, 0, 0.98}, 4},
    {"just below 1 is the last", {1, 1, 0, 0, 0x1.fffffffffffffp-1}, 4},
    {"top_k 1 is greedy", {1, 1, 0, 1, 0.99}, 3},
    {"top_k 2 leaves two", {1, 1, 0, 2, 0.99}, 2},
    {"top_k 2: the first has 2/3", {1, 1, 0, 2, 0.65}, 3},
    {"top_k beyond the vocabulary is off", {1, 1, 0, 50, 0.98}, 4},
    {"top_p 0.4 leaves one", {1, 0.4f, 0, 0, 0.99}, 3},
    {"top_p 0.7 leaves two", {1, 0.7f, 0, 0, 0.99}, 2},
    {"top_p 0 leaves one", {1, 0, 0, 0, 0.99}, 3},
    {"min_p 0.2 leaves three", {1, 1, 0.2f, 0, 0.99}, 1},
    {"min_p 1 leaves the best", {1, 1, 1, 0, 0.99}, 3},
    {"temperature 1/2 squares: 0.7506 for the first", {0.5f, 1, 0, 0, 0.74}, 3},
    {"temperature 1/2 squares: then the second", {0.5f, 1, 0, 0, 0.76}, 2},
    {"a tiny temperature is greedy", {1e-6f, 1, 0, 0, 0.99}, 3},
    {"a huge temperature is even", {1e6f, 1, 0, 0, 0.99}, 4},
    {"top_p counts after top_k", {1, 0.8f, 0, 2, 0.99}, 2},
    {"top_p counts after top_k: 0.6 of 2/3", {1, 0.6f, 0, 2, 0.99}, 3},
};

static void the_table_is_kept(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 2);
    for (size_t i = 0; i < COUNT(CASES); i++) {
        struct wm_sampled got = sample(&f, HALVES, COUNT(HALVES), CASES[i].how);
        if (got.id != CASES[i].id)
            fail_msg("%s: %s: id %d, should be %d", f.name, CASES[i].what, got.id, CASES[i].id);
        double weight = pow(2, -(got.id == 4 ? 4 : 3 - got.id)) / (31.0 / 16);
        CHECK_NEAR((double)got.logprob, log(weight), 1e-5);
    }
    close_face(&f);
}

static void ties_go_to_the_lowest_id(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 1);
    float logits[40];
    for (size_t i = 0; i < COUNT(logits); i++)
        logits[i] = i == 17 || i == 5 || i == 33 ? 2 : 0;
    assert_int_equal(sample(&f, logits, 40, (struct wm_sample_row){.top_p = 1}).id, 5);
    assert_int_equal(sample(&f, logits, 40, (struct wm_sample_row){1, 1, 0, 3, 0.5}).id, 17);
    assert_int_equal(sample(&f, logits, 40, (struct wm_sample_row){1, 1, 0, 2, 0.99}).id, 17);
    close_face(&f);
}

static void broken_logits_are_survived(const struct face_kind *kind)
{
    struct face f = open_kind(kind, 1);
    static const float values[] = {NAN, INFINITY, -INFINITY, 0, -NAN, 3e38f};
    static const float temperatures[] = {0, 1e-30f, 1, 100};
    struct dice d = {21};
    for (int round = 0; round < 200; round++) {
        float logits[37];
        for (size_t i = 0; i < COUNT(logits); i++)
            logits[i] = values[dice_bits(&d) % (round % COUNT(values) + 1)];
        struct wm_sample_row how = {temperatures[round % 4], round % 3 ? 1 : 0.5f, round % 5 ? 0 : 0.1f,
                                    round % 7, dice_uniform(&d)};
        struct wm_sampled got = sample(&f, logits, COUNT(logits), how);
        assert_in_range(got.id, 0, COUNT(logits) - 1);
        assert_true(got.logprob <= 0);
    }
    float logits[] = {NAN, 1, NAN};
    assert_int_equal(sample(&f, logits, 3, (struct wm_sample_row){.top_p = 1}).id, 1);
    close_face(&f);
}

/* Random settings on peaked and on flat distributions: all faces choose alike. */
static void it_chooses_what_the_reference_chooses(const struct face_kind *kind)
{
    struct face reference = open_reference(), f = open_kind(kind, 2);
    struct dice d = {22};
    enum { ROWS = 40 };
    float *logits = need(ROWS * VOCABULARY * sizeof *logits);
    struct wm_sample_row how[ROWS];
    for (int r = 0; r < ROWS; r++) {
        float spread = r % 2 ? 0.5f : 5.0f;
        for (int i = 0; i < VOCABULARY; i++)
            logits[r * VOCABULARY + i] = rintf(dice_normal(&d) * spread * 64) / 64;
        how[r] = (struct wm_sample_row){
            r % 5 ? dice_between(&d, 0.2f, 2) : 0, r % 3 ? 1 : dice_between(&d, 0.3f, 1),
            r % 4 ? 0 : dice_between(&d, 0, 0.1f), r % 7 ? 0 : 20, dice_uniform(&d)};
    }
    struct wm_sampled want[ROWS], got[ROWS];
    struct wm_error err = WM_ERROR_INIT;
    struct wm_act *a = new_act(&reference, ROWS, VOCABULARY, logits),
                  *b = new_act(&f, ROWS, VOCABULARY, logits);
    assert_int_equal(reference.ops->sample(reference.be, a, VOCABULARY - 3, how, ROWS, want, &err), WM_OK);
    assert_int_equal(f.ops->sample(f.be, b, VOCABULARY - 3, how, ROWS, got, &err), WM_OK);
    for (int r = 0; r < ROWS; r++) {
        assert_int_equal(got[r].id, want[r].id);
        CHECK_NEAR((double)got[r].logprob, (double)want[r].logprob, 1e-4);
    }
    reference.ops->act_free(reference.be, a);
    f.ops->act_free(f.be, b);
    free(logits);
    close_face(&f);
    close_face(&reference);
}

int main(void)
{
    static const struct claim claims[] = {
        CLAIM(the_table_is_kept),
        CLAIM(ties_go_to_the_lowest_id),
        CLAIM(broken_logits_are_survived),
        CLAIM(it_chooses_what_the_reference_chooses),
    };
    return check_claims(claims, COUNT(claims));
}

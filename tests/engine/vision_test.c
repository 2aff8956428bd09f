/* vision_test.c -- the vision tower against golden values: every stage of it on the exact face, what it hands
 * over on all faces; the same through a projector that has a file of its own. */
#include "tests/engine/golden_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/picture_file.h"
#include "tests/engine/watched_face.h"

static const char *const sees[] = {"tiny/maverick", "models/maverick-vision-tiny"};
static const char *const prompts[] = {"one_tile", "many_tiles", "two_pictures"};

/* The largest difference of rows of floats, at `stride`, from `want`. */
static double difference(const float *got, size_t stride, const double *want, size_t rows, size_t width)
{
    double largest = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            double d = fabs((double)got[r * stride + i] - want[r * width + i]);
            if (!(d <= largest))
                largest = d;
        }
    return largest;
}

/* The prompt's pictures as the tower hands them over; the caller frees. */
static float *encode(struct wm_score *score, const struct golden *g, const char *prompt, size_t *rows)
{
    struct wm_tokens ids = {0};
    struct wm_error err = WM_ERROR_INIT;
    golden_prompt(g, prompt, score, &ids);
    *rows = (size_t)wm_score_shown(score);
    float *out = malloc(*rows * (size_t)wm_score_model(score)->arch->width * sizeof *out);
    assert_non_null(out);
    assert_int_equal(wm_score_embeddings(score, 0, (int32_t)*rows, out, &err), WM_OK);
    wm_tokens_free(&ids);
    return out;
}

static void check_handed_over(const struct golden *g, struct wm_score *score, bool exact)
{
    size_t width = (size_t)wm_score_model(score)->arch->width;
    for (size_t i = 0; i < COUNT(prompts); i++) {
        char name[96];
        size_t rows, n;
        snprintf(name, sizeof name, "projected.%s", prompts[i]);
        double *want = tensor_of(g->tensors, name, &n), error = 0, size = 0;
        float *got = encode(score, g, prompts[i], &rows);
        assert_non_null(want);
        assert_int_equal(n, rows * width);
        for (size_t k = 0; k < n; k++) {
            error += ((double)got[k] - want[k]) * ((double)got[k] - want[k]);
            size += want[k] * want[k];
        }
        double largest = difference(got, width, want, rows, width);
        if (exact && !(largest <= VISION_ERROR))
            fail_msg("%s %s: handed over with an error of %g", g->name, prompts[i], largest);
        if (!(sqrt(error / size) <= COARSE_ERROR))
            fail_msg("%s %s: relative error %g", g->name, prompts[i], sqrt(error / size));
        free(want);
        free(got);
    }
}

static void what_the_tower_hands_over_is_golden_on_every_face(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT(sees); m++)
        for (const struct wm_ops *const *face = wm_faces; *face; face++) {
            struct golden g;
            if (!golden_open(&g, sees[m]))
                continue;
            struct wm_score *score = golden_score(&g, (*face)->name, 0, 0);
            watched_arch = wm_score_model(score)->arch;
            check_handed_over(&g, score, is_exact((*face)->name));
            wm_score_close(score);
            golden_close_all(&g, 1);
        }
}

static void check_stage(const struct golden *g, const char *tensor, const float *got, size_t rows)
{
    size_t n;
    double *want = tensor_of(g->tensors, tensor, &n);
    if (!want)
        fail_msg("%s has no %s", g->tensors, tensor);
    double error = difference(got, SEEN_VISION, want, rows, n / rows);
    if (!(error <= VISION_ERROR))
        fail_msg("%s: %s is off by %g", g->name, tensor, error);
    free(want);
}

static void every_stage_of_the_tower_is_golden(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT(sees); m++) {
        struct golden g;
        size_t rows;
        if (!golden_open(&g, sees[m]))
            continue;
        struct wm_score *score = golden_score(&g, "reference", 0, 0);
        watched_arch = wm_score_model(score)->arch;
        const struct wm_vision_arch *v = &watched_arch->vision;
        size_t tokens = (size_t)(v->image / v->patch) * (size_t)(v->image / v->patch) + 1,
               tile = (size_t)wm_tile_tokens(v);
        free(encode(score, &g, "one_tile", &rows));
        check_stage(&g, "vision.embed", seen.vision[0][0], tokens);
        for (int32_t l = 0; l < v->layers; l++) {
            char name[32];
            snprintf(name, sizeof name, "vision.layer.%d", l);
            check_stage(&g, name, seen.vision[l + 1][0], tokens);
        }
        check_stage(&g, "vision.shuffled", seen.shuffled[0], tile);
        for (size_t r = 0; r < tile; r++)
            for (int32_t i = 0; i < v->out; i++) {
                double x = (double)seen.adapter[r][i];
                seen.adapter[r][i] = (float)(0.5 * x * (1 + erf(x / sqrt(2))));
            }
        check_stage(&g, "vision.adapter", seen.adapter[0], tile);
        wm_score_close(score);
        golden_close_all(&g, 1);
    }
}

static void pixels_are_golden_to_the_bit(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT(sees); m++) {
        struct golden g;
        if (!golden_open(&g, sees[m]))
            continue;
        struct wm_score *score = golden_score(&g, "reference", 0, 0);
        struct wm_error err = WM_ERROR_INIT;
        struct wm_tiles tiles;
        char path[256];
        size_t n;
        snprintf(path, sizeof path, "%s/many.png", g.images);
        if (wm_picture_tiles(&wm_score_model(score)->arch->vision, path, &tiles, &err) != WM_OK)
            fail_msg("%s", err.text);
        double *want = tensor_of(g.tensors, "pixels.many_tiles", &n);
        assert_non_null(want);
        assert_int_equal(n, (size_t)tiles.n * 3 * (size_t)tiles.image * (size_t)tiles.image);
        for (size_t i = 0; i < n; i++)
            if ((double)wm_tile_value(tiles.pixels[i]) != want[i])
                fail_msg("%s: pixel value %zu is %g, want %g", g.name, i,
                         (double)wm_tile_value(tiles.pixels[i]), want[i]);
        free(want);
        wm_tiles_free(&tiles);
        wm_score_close(score);
        golden_close_all(&g, 1);
    }
}

static void a_projector_in_a_file_of_its_own_sees_the_same(void **state)
{
    (void)state;
    struct golden g;
    if (!golden_open(&g, "models/maverick-vision-tiny"))
        SKIP("no ../shared/golden");
    struct wm_error err = WM_ERROR_INIT;
    struct wm_score *score;
    struct wm_score_options o = {
        .model = {.path = "../shared/golden/gguf/maverick-vision-tiny-BF16.gguf",
                  .projector = "../shared/golden/gguf/mmproj-maverick-vision-tiny-BF16.gguf",
                  .backend = "reference"}};
    if (wm_score_open(&o, &score, &err) != WM_OK)
        fail_msg("%s", err.text);
    watched_arch = wm_score_model(score)->arch;
    check_handed_over(&g, score, true);
    wm_score_close(score);
    golden_close_all(&g, 1);
}

static void pictures_that_cannot_be_shown_get_a_sentence(void **state)
{
    (void)state;
    struct golden g, blind;
    assert_true(golden_open(&g, "tiny/maverick") && golden_open(&blind, "tiny/scout-top2"));
    struct wm_score *score = golden_score(&g, "reference", 0, 0),
                    *none = golden_score(&blind, "reference", 0, 0);
    const struct wm_vision_arch *v = &wm_score_model(score)->arch->vision;
    struct wm_picture picture, changed;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_tokens out = {0};
    watched_arch = wm_score_model(score)->arch;
    assert_int_equal(wm_picture_look(v, "tests/models/tiny/images/one.png", &picture, &err), WM_OK);
    static const struct {
        const char *path;
        enum wm_status want;
    } bad[] = {{"no/such.png", WM_ENOENT}, {"tests", WM_EIO}, {"CMakeLists.txt", WM_EFORMAT}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct wm_error why = WM_ERROR_INIT;
        assert_int_equal(wm_picture_look(v, bad[i].path, &changed, &why), bad[i].want);
        assert_non_null(strstr(why.text, bad[i].path));
    }
    changed = picture;
    changed.hash[7] ^= 1;
    assert_int_equal(wm_score_show(score, &changed, 1, &err), WM_EFORMAT);
    assert_non_null(strstr(err.text, "changed"));
    err = (struct wm_error)WM_ERROR_INIT;
    assert_int_equal(wm_score_show(none, &picture, 1, &err), WM_EUNSUPPORTED);
    err = (struct wm_error)WM_ERROR_INIT;
    assert_int_equal(wm_score_show(score, &picture, 1, &err), WM_OK);
    assert_int_equal(wm_score_run(score, (int32_t[]){1, 2}, 2, 0, NULL, NULL, &out, &err), WM_EINVAL);
    wm_score_close(score);
    wm_score_close(none);
    golden_close_all(&g, 1);
    golden_close_all(&blind, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_tower_hands_over_is_golden_on_every_face),
        cmocka_unit_test(every_stage_of_the_tower_is_golden),
        cmocka_unit_test(pixels_are_golden_to_the_bit),
        cmocka_unit_test(a_projector_in_a_file_of_its_own_sees_the_same),
        cmocka_unit_test(pictures_that_cannot_be_shown_get_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

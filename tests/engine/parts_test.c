/* parts_test.c -- every part of every golden model is found, and holds the same numbers whichever container it came in. */
#include "tests/engine/golden.h"

#include <stdlib.h>
#include <string.h>

#include "engine/parts.h"
#include "kernels/matrix.h"

/* A model's files, its architecture and its parts. */
struct opened {
    struct wm_model_file *text, *projector;
    struct wm_arch arch;
    struct wm_parts parts;
};

/* Skips the test when ../shared is not there. */
static bool open_golden(struct opened *m, const char *name, const char *projector)
{
    struct wm_error err = WM_ERROR_INIT;
    const char *path = golden_path(name);
    *m = (struct opened){0};
    if (!path)
        return false;
    if (wm_model_file_open(path, &m->text, &err) != WM_OK)
        fail_msg("%s", err.text);
    if (projector && wm_model_file_open(golden_path(projector), &m->projector, &err) != WM_OK)
        fail_msg("%s", err.text);
    if (wm_arch_read(m->text, m->projector, &m->arch, &err) != WM_OK)
        fail_msg("%s", err.text);
    m->parts = (struct wm_parts){m->text, m->projector, &m->arch};
    return true;
}

static void close_opened(struct opened *m)
{
    wm_model_file_close(m->text);
    wm_model_file_close(m->projector);
}

static const struct {
    const char *text, *projector;
} golden_models[] = {
    {"models/llama-dense"},
    {"models/llama3-dense"},
    {"models/maverick-tiny"},
    {"models/scout-tiny"},
    {"models/scout-top2"},
    {"models/maverick-vision-tiny"},
    {"models/maverick-fp8"},
    {"models/maverick-fp8-fused"},
    {"gguf/llama-dense-F32.gguf"},
    {"gguf/llama-dense-Q4_0.gguf"},
    {"gguf/llama-dense-Q8_0.gguf"},
    {"gguf/llama3-dense-Q4_1.gguf"},
    {"gguf/maverick-tiny-BF16.gguf"},
    {"gguf/maverick-tiny-Q4_0.gguf"},
    {"gguf/maverick-tiny-Q8_0.gguf"},
    {"gguf/maverick-defaults.gguf"},
    {"gguf/scout-defaults.gguf"},
    {"gguf/scout-tiny-BF16-00002-of-00003.gguf"},
    {"gguf/scout-tiny-Q4_1.gguf"},
    {"gguf/scout-tiny-Q8_0.gguf"},
    {"gguf/quant-mix.gguf"},
    {"gguf/maverick-vision-tiny-BF16.gguf", "gguf/mmproj-maverick-vision-tiny-BF16.gguf"},
};

static void every_golden_model_has_all_its_parts_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(golden_models); i++) {
        struct opened m;
        struct wm_error err = WM_ERROR_INIT;
        if (!open_golden(&m, golden_models[i].text, golden_models[i].projector))
            SKIP("no ../shared/golden");
        if (wm_parts_check(&m.parts, &err) != WM_OK)
            fail_msg("%s", err.text);
        uint64_t bytes = 0;
        for (enum wm_part part = 0; part < WM_PARTS; part++) {
            uint64_t of_part = wm_part_bytes(&m.parts, part);
            assert_int_equal(of_part > 0, wm_part_count(&m.arch, part) > 0);
            bytes += of_part;
        }
        uint64_t held = 0;
        for (int f = 0; f < 2; f++)
            for (size_t t = 0;
                 (f ? m.projector : m.text) && t < wm_model_file_tensors(f ? m.projector : m.text); t++) {
                const struct wm_tensor *tensor = wm_model_file_tensor_at(f ? m.projector : m.text, t);
                held += strcmp(tensor->name, "rope_freqs.weight") == 0 ? 0 : tensor->bytes;
            }
        assert_int_equal(bytes, held);
        close_opened(&m);
    }
}

/* --- the same model twice --------------------------------------------------------------------------------------------- */

static void compare_matrices(const struct opened *a, const struct opened *b, enum wm_part part, int32_t layer,
                             int32_t expert)
{
    struct wm_matrix x, y;
    struct wm_error err = WM_ERROR_INIT;
    if (wm_part_matrix(&a->parts, part, layer, expert, &x, &err) != WM_OK ||
        wm_part_matrix(&b->parts, part, layer, expert, &y, &err) != WM_OK)
        fail_msg("%s", err.text);
    assert_int_equal(x.rows, y.rows);
    assert_int_equal(x.cols, y.cols);
    float *row_x = calloc((size_t)x.cols, sizeof *row_x), *row_y = calloc((size_t)x.cols, sizeof *row_y);
    for (int64_t r = 0; r < x.rows; r++) {
        wm_matrix_row(&x, r, row_x);
        wm_matrix_row(&y, r, row_y);
        if (memcmp(row_x, row_y, (size_t)x.cols * sizeof *row_x) != 0)
            fail_msg("%s, layer %d, expert %d: row %lld differs", wm_part_name(part), layer, expert,
                     (long long)r);
    }
    free(row_x);
    free(row_y);
}

static void compare_vectors(const struct opened *a, const struct opened *b, enum wm_part part, int32_t layer,
                            bool bias)
{
    static float x[512], y[512];
    struct wm_error err = WM_ERROR_INIT;
    int64_t rows, cols;
    wm_part_size(&a->arch, part, &rows, &cols);
    size_t n = (size_t)(wm_part_is_vector(part) ? cols : rows);
    assert_in_range(n, 1, COUNT(x));
    if (wm_part_vector(&a->parts, part, layer, bias, x, &err) != WM_OK ||
        wm_part_vector(&b->parts, part, layer, bias, y, &err) != WM_OK)
        fail_msg("%s", err.text);
    if (memcmp(x, y, n * sizeof *x) != 0)
        fail_msg("%s, layer %d differs", wm_part_name(part), layer);
}

static void compare_parts(const struct opened *a, const struct opened *b)
{
    for (enum wm_part part = 0; part < WM_PARTS; part++)
        for (int32_t l = 0; l < wm_part_layers(&a->arch, part); l++)
            for (int32_t e = 0; e < wm_part_copies(&a->arch, part, l); e++) {
                if (wm_part_is_vector(part))
                    compare_vectors(a, b, part, l, false);
                else
                    compare_matrices(a, b, part, l, e);
                if (wm_part_has_bias(part))
                    compare_vectors(a, b, part, l, true);
            }
}

static void a_folder_and_a_gguf_of_the_same_model_hold_the_same_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *gguf, *projector;
    } pairs[] = {
        {"models/maverick-tiny", "gguf/maverick-tiny-BF16.gguf", NULL},
        {"models/scout-tiny", "gguf/scout-tiny-BF16-00001-of-00003.gguf", NULL},
        {"models/maverick-vision-tiny", "gguf/maverick-vision-tiny-BF16.gguf",
         "gguf/mmproj-maverick-vision-tiny-BF16.gguf"},
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct opened a, b;
        if (!open_golden(&a, pairs[i].folder, NULL) || !open_golden(&b, pairs[i].gguf, pairs[i].projector))
            SKIP("no ../shared/golden");
        compare_parts(&a, &b);
        for (int32_t j = 0; j < a.arch.head_dim / 2; j++)
            CHECK_NEAR(a.arch.inv_freq[j], b.arch.inv_freq[j], 1e-12);
        b.arch.rope_base = a.arch.rope_base;
        memcpy(b.arch.inv_freq, a.arch.inv_freq, sizeof a.arch.inv_freq);
        CHECK_NEAR(a.arch.temperature_scale, b.arch.temperature_scale, 1e-7); /* a float in GGUF */
        CHECK_NEAR(a.arch.rms_eps, b.arch.rms_eps, 1e-9);
        CHECK_NEAR(a.arch.vision.eps, b.arch.vision.eps, 1e-9);
        b.arch.temperature_scale = a.arch.temperature_scale;
        b.arch.rms_eps = a.arch.rms_eps;
        b.arch.vision.eps = a.arch.vision.eps;
        assert_memory_equal(&a.arch, &b.arch, sizeof a.arch);
        close_opened(&a);
        close_opened(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden_model_has_all_its_parts_and_nothing_else),
        cmocka_unit_test(a_folder_and_a_gguf_of_the_same_model_hold_the_same_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* parts_test.c -- every part of every golden model is found, and holds the same numbers whichever container
 * it came in. */
#include "tests/engine/golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/parts.h"
#include "kernels/matrix.h"
#include "tests/engine/tiny_folder.h"

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

/* --- the same model twice ------------------------------------------------------------------------------- */

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

/* --- a folder made on the spot -------------------------------------------------------------------------- */

struct tiny {
    struct wm_buffer file;
    struct opened m;
};

static void open_tiny(struct tiny *t, const struct tiny_tensors *list, const char *config)
{
    struct wm_error err = WM_ERROR_INIT;
    *t = (struct tiny){.file = tiny_safetensors(list)};
    if (tiny4_open(config, &t->file, &t->m.text, &err) != WM_OK ||
        wm_arch_read(t->m.text, NULL, &t->m.arch, &err) != WM_OK)
        fail_msg("%s", err.text);
    t->m.parts = (struct wm_parts){t->m.text, NULL, &t->m.arch};
}

static void close_tiny(struct tiny *t)
{
    close_opened(&t->m);
    wm_buffer_free(&t->file);
}

/* Element `i` of a tensor, read without a thought for speed or order. */
static double element(const struct tiny *t, const char *name, int64_t i)
{
    const struct wm_tensor *tensor = wm_model_file_tensor(t->m.text, name);
    if (!tensor)
        fail_msg("there is no %s", name);
    if (tensor->type == WM_PLAIN_I32) { /* of eight codes */
        uint32_t word;
        memcpy(&word, (const char *)tensor->data + i / 8 * 4, 4);
        return (int)(word >> (4 * (i % 8)) & 15) - 8;
    }
    float value;
    const struct wm_type_info *info = wm_type_info(tensor->type);
    wm_dequantize(info->type, (const char *)tensor->data + i * info->bytes, 1, &value);
    return (double)value;
}

/* Element (r, c) of an expert's matrix by the book of its format. */
static double by_the_book(const struct tiny *t, enum tiny_experts how, enum wm_part part, int e, int64_t r,
                          int64_t c)
{
    static const char stem[] = "model.layers.1.feed_forward.experts";
    static const char *const names[] = {"gate_proj", "up_proj", "down_proj"};
    const int64_t w = TINY4_WIDTH, x = TINY4_EXPERT, cols = part == WM_PART_EXPERT_DOWN ? x : w;
    bool down = part == WM_PART_EXPERT_DOWN, up = part == WM_PART_EXPERT_UP;
    char name[128], scale[160];
    if (how == TINY_FUSED || how == TINY_FUSED_FP8) {
        snprintf(name, sizeof name, "%s.%s", stem, down ? "down_proj" : "gate_up_proj");
        snprintf(scale, sizeof scale, "%s_scale", name);
        int64_t row = up ? x + r : r, rows = down ? w : 2 * x;
        double value = element(t, name, (e * cols + c) * rows + row);
        return how == TINY_FUSED ? value : value * element(t, scale, e * rows + row);
    }
    snprintf(name, sizeof name, "%s.%d.%s.%s", stem, e, names[part - WM_PART_EXPERT_GATE],
             how == TINY_SINGLE_INT4 ? "weight_packed" : "weight");
    snprintf(scale, sizeof scale, "%s.%d.%s.weight_scale", stem, e, names[part - WM_PART_EXPERT_GATE]);
    double value = element(t, name, r * cols + c);
    return how == TINY_SINGLE       ? value
           : how == TINY_SINGLE_FP8 ? value * element(t, scale, r)
                                    : value * element(t, scale, r * (cols / 8) + c / 8);
}

static void experts_mean_the_same_in_every_form_they_come(void **state)
{
    (void)state;
    for (enum tiny_experts how = TINY_FUSED; how <= TINY_SINGLE_INT4; how++) {
        struct tiny_tensors list;
        struct tiny t;
        struct wm_error err = WM_ERROR_INIT;
        tiny4_tensors(&list, how);
        open_tiny(&t, &list, tiny4_config);
        if (wm_parts_check(&t.m.parts, &err) != WM_OK)
            fail_msg("%s", err.text);
        for (enum wm_part part = WM_PART_EXPERT_GATE; part <= WM_PART_EXPERT_DOWN; part++)
            for (int e = 0; e < TINY4_EXPERTS; e++) {
                struct wm_matrix m;
                float row[TINY4_WIDTH];
                assert_int_equal(wm_part_matrix(&t.m.parts, part, 1, e, &m, &err), WM_OK);
                for (int64_t r = 0; r < m.rows; r++) {
                    wm_matrix_row(&m, r, row);
                    for (int64_t c = 0; c < m.cols; c++) {
                        double want = by_the_book(&t, how, part, e, r, c);
                        CHECK_NEAR(row[c], want, 1e-6 * fabs(want));
                    }
                }
            }
        close_tiny(&t);
    }
}

/* Scales of layer 0's gate, [24, 16] in FP8. */
static const struct {
    int n;
    int64_t a, b;
    int64_t row_group, row_step, col_group, col_step; /* row_group 0: refused */
} grids[] = {
    {0, 0, 0, 128, 0, 16, 0},
    {1, 1, 0, 128, 0, 16, 0},
    {2, 1, 1, 128, 0, 16, 0},
    {1, 24, 0, 1, 1, 16, 0},
    {2, 24, 1, 1, 1, 16, 0},
    {2, 24, 2, 1, 2, 8, 1},
    {2, 24, 16, 1, 16, 1, 1},
    {2, 3, 2, 8, 2, 8, 1},
    {2, 5, 1, 0},
    {2, 24, 3, 0},
    {2, 48, 1, 0},
    {3, 24, 1, 0},
};

static void scales_are_understood_by_their_shape_or_refused(void **state)
{
    (void)state;
    static const char stem[] = "model.layers.0.feed_forward.gate_proj.weight";
    for (size_t i = 0; i < COUNT(grids); i++) {
        struct tiny_tensors list;
        struct tiny t;
        struct wm_matrix m;
        struct wm_error err = WM_ERROR_INIT;
        tiny4_tensors(&list, TINY_FUSED);
        tiny_drop(&list, stem);
        tiny_add(&list, "F8_E4M3", stem, 2, TINY4_DENSE, TINY4_WIDTH, 0);
        tiny_add(&list, "F32", "model.layers.0.feed_forward.gate_proj.weight_scale", grids[i].n, grids[i].a,
                 grids[i].b, 2);
        open_tiny(&t, &list, tiny4_config);
        enum wm_status st = wm_part_matrix(&t.m.parts, WM_PART_GATE, 0, 0, &m, &err);
        if (!grids[i].row_group) {
            assert_int_equal(st, WM_EUNSUPPORTED);
            assert_non_null(strstr(err.text, "weight_scale"));
        } else {
            if (st != WM_OK)
                fail_msg("%s", err.text);
            assert_int_equal(m.scales.row_step, grids[i].row_step);
            assert_int_equal(m.scales.col_step, grids[i].col_step);
            assert_true(grids[i].row_step == 0 || m.scales.row_group == grids[i].row_group);
            assert_true(grids[i].col_step == 0 || m.scales.col_group == grids[i].col_group);
        }
        close_tiny(&t);
    }
}

/* Scales of fused experts, as ModelOpt writes them too: one for all or one for each expert. */
static void scales_of_fused_experts_are_one_one_for_each_or_one_for_each_output(void **state)
{
    (void)state;
    static const char name[] = "model.layers.1.feed_forward.experts.down_proj";
    static const struct {
        int n;
        int64_t a, b, skip, row_step; /* of expert 1; row_step -1: refused */
    } cases[] = {
        {0, 0, 0, 0, 0},   {1, 1, 0, 0, 0},  {1, 2, 0, 1, 0},   {3, 2, 1, 1, 0},
        {3, 2, 16, 16, 1}, {1, 3, 0, 0, -1}, {2, 16, 1, 0, -1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tiny_tensors list;
        struct tiny t;
        struct wm_matrix m;
        struct wm_error err = WM_ERROR_INIT;
        tiny4_tensors(&list, TINY_FUSED_FP8);
        tiny_drop(&list, "model.layers.1.feed_forward.experts.down_proj_scale");
        tiny_add(&list, "F32", "model.layers.1.feed_forward.experts.down_proj_weight_scale", cases[i].n,
                 cases[i].a, cases[i].b, 1);
        open_tiny(&t, &list, tiny4_config);
        enum wm_status st = wm_part_matrix(&t.m.parts, WM_PART_EXPERT_DOWN, 1, 1, &m, &err);
        assert_int_equal(st, cases[i].row_step < 0 ? WM_EUNSUPPORTED : WM_OK);
        if (st == WM_OK) {
            char scale[128];
            snprintf(scale, sizeof scale, "%s_weight_scale", name);
            assert_int_equal((const char *)m.scales.data -
                                 (const char *)wm_model_file_tensor(t.m.text, scale)->data,
                             cases[i].skip * 4);
            assert_int_equal(m.scales.row_step, cases[i].row_step);
            assert_int_equal(m.scales.col_step, 0);
        }
        close_tiny(&t);
    }
}

/* One thing done to a good folder: a tensor left out, one put in (in its place when the name is the same),
 * and what is said of it. */
static const struct {
    enum tiny_experts how;
    const char *drop, *dtype, *name;
    int n;
    int64_t a, b, c;
    const char *says; /* NULL: it is no harm */
} changes[] = {
    {TINY_FUSED, "model.norm.weight", NULL, NULL, 0, 0, 0, 0, "model.norm.weight is missing"},
    {TINY_FUSED, "lm_head.weight", NULL, NULL, 0, 0, 0, 0, "lm_head.weight is missing"},
    {TINY_FUSED, "model.layers.1.self_attn.k_proj.weight", NULL, NULL, 0, 0, 0, 0,
     "layers.1.self_attn.k_proj.weight is missing"},
    {TINY_FUSED, "model.layers.1.feed_forward.router.weight", NULL, NULL, 0, 0, 0, 0,
     "router.weight is missing"},
    {TINY_FUSED, "model.layers.1.feed_forward.experts.down_proj", NULL, NULL, 0, 0, 0, 0,
     "experts.down_proj is missing"},
    {TINY_SINGLE, "model.layers.1.feed_forward.experts.1.up_proj.weight", NULL, NULL, 0, 0, 0, 0,
     "experts.1.up_proj.weight is missing"},
    {TINY_SINGLE_FP8, "model.layers.1.feed_forward.experts.1.up_proj.weight_scale", NULL, NULL, 0, 0, 0, 0,
     "without their scales"},
    {TINY_FUSED_FP8, "model.layers.1.feed_forward.experts.down_proj_scale", NULL, NULL, 0, 0, 0, 0,
     "without their scales"},
    {TINY_FUSED, NULL, "BF16", "model.layers.0.self_attn.q_proj.bias", 1, 16, 0, 0, "q_proj.bias is no part"},
    {TINY_FUSED, NULL, "BF16", "model.layers.2.input_layernorm.weight", 1, 16, 0, 0, "is no part"},
    {TINY_FUSED, NULL, "BF16", "model.layers.0.self_attn.q_proj.weight_scale", 2, 16, 1, 0, "not quantised"},
    {TINY_FUSED, "model.norm.weight", "BF16", "model.norm.weight", 1, 17, 0, 0,
     "is [17], the architecture asks for [16]"},
    {TINY_FUSED, "model.layers.0.self_attn.k_proj.weight", "BF16", "model.layers.0.self_attn.k_proj.weight",
     2, 16, 16, 0, "is [16, 16], the architecture asks for [8, 16]"},
    {TINY_FUSED, "model.layers.1.feed_forward.experts.gate_up_proj", "BF16",
     "model.layers.1.feed_forward.experts.gate_up_proj", 3, 2, 16, 8,
     "is [2, 16, 8], the architecture asks for [2, 16, 16]"},
    {TINY_FUSED, "model.layers.0.self_attn.q_proj.weight", "I32", "model.layers.0.self_attn.q_proj.weight", 2,
     16, 16, 0, "(I32)"},
    {TINY_FUSED, "model.norm.weight", "U8", "model.norm.weight", 1, 16, 0, 0, "(U8)"},
    {TINY_SINGLE_INT4, NULL, "I32", "model.layers.1.feed_forward.experts.0.up_proj.weight_zero_point", 2, 1,
     2, 0, "zero point"},
    {TINY_SINGLE_INT4, NULL, "I32", "model.layers.1.feed_forward.experts.0.up_proj.weight_g_idx", 1, 16, 0, 0,
     "order"},
    {TINY_SINGLE_INT4, NULL, "I64", "model.layers.1.feed_forward.experts.0.up_proj.weight_shape", 1, 2, 0, 0,
     "contradict"},
    {TINY_SINGLE_INT4, NULL, "I64", "model.layers.1.feed_forward.experts.0.up_proj.weight_shape", 1, 3, 0, 0,
     "two whole numbers"},
    {TINY_SINGLE_INT4, "model.layers.1.feed_forward.experts.0.up_proj.weight_packed", "I32",
     "model.layers.1.feed_forward.experts.0.up_proj.weight_packed", 2, 8, 4, 0,
     "is [8, 4], the architecture asks for [8, 2]"},
    {TINY_SINGLE_FP8, "model.layers.1.feed_forward.experts.0.up_proj.weight_scale", "U8",
     "model.layers.1.feed_forward.experts.0.up_proj.weight_scale", 2, 8, 1, 0, "must be F32"},
    {TINY_FUSED, NULL, "F32", "model.layers.0.self_attn.rotary_emb.inv_freq", 1, 2, 0, 0, NULL},
    {TINY_SINGLE_FP8, NULL, "F32", "model.layers.1.feed_forward.experts.0.up_proj.input_scale", 1, 1, 0, 0,
     NULL},
};

static void a_folder_that_is_not_whole_is_refused_by_the_tensors_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(changes); i++) {
        struct tiny_tensors list;
        struct tiny t;
        struct wm_error err = WM_ERROR_INIT;
        tiny4_tensors(&list, changes[i].how);
        if (changes[i].drop)
            tiny_drop(&list, changes[i].drop);
        if (changes[i].name)
            tiny_add(&list, changes[i].dtype, changes[i].name, changes[i].n, changes[i].a, changes[i].b,
                     changes[i].c);
        open_tiny(&t, &list, tiny4_config);
        enum wm_status st = wm_parts_check(&t.m.parts, &err);
        if ((st == WM_OK) != !changes[i].says ||
            (changes[i].says && (!strstr(err.text, changes[i].says) || !strstr(err.text, "tiny"))))
            fail_msg("%s %s: \"%s\" does not say \"%s\"", changes[i].drop, changes[i].name, err.text,
                     changes[i].says);
        close_tiny(&t);
    }
}

static void tied_embeddings_serve_as_output_whether_or_not_another_lies_there(void **state)
{
    (void)state;
    char config[1024];
    snprintf(config, sizeof config, "{\"tie_word_embeddings\":true,%s", tiny4_config + 1);
    for (int with_output = 0; with_output < 2; with_output++) {
        struct tiny_tensors list;
        struct tiny t;
        struct wm_matrix m, embedding;
        struct wm_error err = WM_ERROR_INIT;
        tiny4_tensors(&list, TINY_FUSED);
        if (!with_output)
            tiny_drop(&list, "lm_head.weight");
        open_tiny(&t, &list, config);
        assert_int_equal(wm_parts_check(&t.m.parts, &err), WM_OK);
        assert_int_equal(wm_part_matrix(&t.m.parts, WM_PART_OUTPUT, 0, 0, &m, &err), WM_OK);
        assert_int_equal(wm_part_matrix(&t.m.parts, WM_PART_EMBEDDING, 0, 0, &embedding, &err), WM_OK);
        assert_ptr_equal(m.data, embedding.data);
        assert_int_equal(wm_part_bytes(&t.m.parts, WM_PART_OUTPUT), 0);
        close_tiny(&t);
    }
}

static void a_packed_shape_that_agrees_is_no_harm(void **state)
{
    (void)state;
    static const char name[] = "model.layers.1.feed_forward.experts.0.up_proj.weight_shape";
    static const int64_t shape[2] = {TINY4_EXPERT, TINY4_WIDTH};
    struct tiny_tensors list;
    struct tiny t;
    struct wm_error err = WM_ERROR_INIT;
    tiny4_tensors(&list, TINY_SINGLE_INT4);
    tiny_add(&list, "I64", name, 1, 2, 0, 0);
    open_tiny(&t, &list, tiny4_config);
    memcpy((char *)wm_model_file_tensor(t.m.text, name)->data, shape, sizeof shape); /* our own buffer */
    if (wm_parts_check(&t.m.parts, &err) != WM_OK)
        fail_msg("%s", err.text);
    close_tiny(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden_model_has_all_its_parts_and_nothing_else),
        cmocka_unit_test(a_folder_and_a_gguf_of_the_same_model_hold_the_same_numbers),
        cmocka_unit_test(experts_mean_the_same_in_every_form_they_come),
        cmocka_unit_test(scales_are_understood_by_their_shape_or_refused),
        cmocka_unit_test(scales_of_fused_experts_are_one_one_for_each_or_one_for_each_output),
        cmocka_unit_test(a_folder_that_is_not_whole_is_refused_by_the_tensors_name),
        cmocka_unit_test(tied_embeddings_serve_as_output_whether_or_not_another_lies_there),
        cmocka_unit_test(a_packed_shape_that_agrees_is_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

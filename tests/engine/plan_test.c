/* plan_test.c -- the figures of Scout and Maverick are those that were worked out by hand from their shapes. */
#include "tests/check.h"

#include <string.h>

#include "engine/plan.h"

enum { SCOUT, MAVERICK, BEHEMOTH };

static void read_model(int model, struct wm_arch *a, struct wm_parameters *p)
{
    const struct wm_plan_model *m = &wm_plan_models[model];
    struct wm_error err = WM_ERROR_INIT;
    if (wm_arch_from_config(m->name, m->config, strlen(m->config), a, &err) != WM_OK)
        fail_msg("%s", err.text);
    wm_plan_parameters(a, p);
}

static const struct wm_weight_format *weights(const char *name)
{
    const struct wm_weight_format *w = wm_weight_formats;
    while (w->name && strcmp(w->name, name) != 0)
        w++;
    assert_non_null(w->name);
    return w;
}

static void parameters_are_counted_group_by_group(void **state)
{
    (void)state;
    static const struct {
        const char *group;
        size_t offset;
        int64_t scout, maverick;
    } groups[] = {
#define GROUP(field, scout, maverick) {#field, offsetof(struct wm_parameters, field), scout, maverick}
        GROUP(embedding, 1034485760, 1034485760), GROUP(output, 1034485760, 1034485760),
        GROUP(attention, 3019898880, 3019898880), GROUP(routed, 96636764160, 386547056640),
        GROUP(shared, 6039797760, 3019898880),    GROUP(dense, 0, 6039797760),
        GROUP(routers, 3932160, 15728640),        GROUP(norms, 496640, 496640),
        GROUP(vision, 850960896, 850960896),      GROUP(projector, 20971520, 20971520),
        GROUP(total, 108641793536, 401583781376), GROUP(touched, 16138408960, 16150205440),
        GROUP(active, 17172894720, 17184691200),
#undef GROUP
    };
    struct wm_arch a;
    struct wm_parameters scout, maverick;
    read_model(SCOUT, &a, &scout);
    read_model(MAVERICK, &a, &maverick);
    for (size_t i = 0; i < COUNT(groups); i++) {
        int64_t of_scout, of_maverick;
        memcpy(&of_scout, (const char *)&scout + groups[i].offset, sizeof of_scout);
        memcpy(&of_maverick, (const char *)&maverick + groups[i].offset, sizeof of_maverick);
        if (of_scout != groups[i].scout || of_maverick != groups[i].maverick)
            fail_msg("%s: %lld and %lld, want %lld and %lld", groups[i].group, (long long)of_scout,
                     (long long)of_maverick, (long long)groups[i].scout, (long long)groups[i].maverick);
    }
}

static void behemoth_has_the_three_figures_that_are_public(void **state)
{
    (void)state;
    struct wm_arch a;
    struct wm_parameters p;
    read_model(BEHEMOTH, &a, &p);
    assert_int_equal(a.experts, 16);
    CHECK_NEAR((double)p.active / 1e9, 288, 2);
    CHECK_NEAR((double)p.total / 1e12, 2, 0.05);
    assert_non_null(wm_plan_models[BEHEMOTH].note);
}

/* GB at each format. The vision tower's 1.74 GB come on top of the rows of quantised text. */
static void weights_take_the_bytes_that_their_format_says(void **state)
{
    (void)state;
    static const double tower = 1.74;
    const struct {
        const char *format;
        double scout, maverick, tolerance;
    } rows[] = {
        {"bf16", 217.28, 803.17, 0.005},
        {"fp8", 120.65, 416.62, 0.005},
        {"q8_0", 114.5 + tower, 425.7 + tower, 0.07},
        {"q6_k", 88.4 + tower, 328.7 + tower, 0.06},
        {"q5_k", 74.1 + tower, 275.5 + tower, 0.06},
        {"int4", 60.6 + tower, 225.4 + tower, 0.06},
        {"iq4_xs", 57.3 + tower, 212.9 + tower, 0.06},
        {"q3_k", 46.3 + tower, 172.2 + tower, 0.06},
        {"q2_k", 35.4 + tower, 131.5 + tower, 0.06},
    };
    struct wm_arch a;
    struct wm_parameters scout, maverick;
    read_model(SCOUT, &a, &scout);
    read_model(MAVERICK, &a, &maverick);
    assert_true(wm_plan_weight_bytes(&scout, weights("bf16")) == 217283587072.0);
    assert_true(wm_plan_weight_bytes(&maverick, weights("bf16")) == 803167562752.0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        CHECK_NEAR(wm_plan_weight_bytes(&scout, weights(rows[i].format)) / 1e9, rows[i].scout,
                   rows[i].tolerance);
        CHECK_NEAR(wm_plan_weight_bytes(&maverick, weights(rows[i].format)) / 1e9, rows[i].maverick,
                   rows[i].tolerance);
    }
}

static void conversations_take_192_kib_a_token_and_48_once_chunks_are_freed(void **state)
{
    (void)state;
    static const double gib = 1073741824;
    static const struct {
        double n, whole, freed; /* GiB */
    } rows[] = {
        {8192, 1.5, 1.5},
        {131072, 24, 7.125},
        {1048576, 192, 49.125},
        {10485760, 1920, 481.125},
    };
    for (int model = SCOUT; model <= MAVERICK; model++) {
        struct wm_arch a;
        struct wm_parameters p;
        read_model(model, &a, &p);
        struct wm_plan_kv kv = wm_plan_kv(&a, 2), fp8 = wm_plan_kv(&a, 1);
        assert_true(kv.local == 147456 && kv.global == 49152);
        assert_true(fp8.local == 73728 && fp8.global == 24576);
        for (size_t i = 0; i < COUNT(rows); i++) {
            CHECK_NEAR(rows[i].n * (kv.local + kv.global) / gib, rows[i].whole, 1e-9);
            CHECK_NEAR(wm_plan_kv_bytes(&kv, rows[i].n) / gib, rows[i].freed, 1e-9);
            assert_int_equal(wm_plan_kv_positions(&kv, wm_plan_kv_bytes(&kv, rows[i].n)), rows[i].n);
        }
        assert_true(wm_plan_kv_read(&kv, 8191) == 8192 * 196608.0);
        assert_true(wm_plan_kv_read(&kv, 8192) == 147456 + 8193 * 49152.0);
        assert_int_equal(wm_plan_kv_positions(&kv, 0), 0);
        assert_int_equal(wm_plan_kv_positions(&kv, 196607), 0);
        assert_int_equal(wm_plan_kv_positions(&kv, 1e18), WM_MAX_CONTEXT);
    }
}

static void a_larger_batch_meets_more_experts(void **state)
{
    (void)state;
    static const struct {
        double batch, scout_distinct, scout_bf16, maverick_distinct, maverick_bf16, maverick_fp8; /* GB */
    } rows[] = {
        {1, 1.0, 32.3, 1.0, 32.3, 29.3},         {4, 3.64, 64.2, 3.95, 50.1, 38.2},
        {16, 10.3, 144.7, 15.1, 117.4, 71.8},    {64, 15.7, 210.4, 50.5, 331.4, 178.8},
        {256, 16.0, 213.5, 110.8, 695.5, 360.9},
    };
    struct wm_arch scout, maverick;
    struct wm_parameters s, m;
    read_model(SCOUT, &scout, &s);
    read_model(MAVERICK, &maverick, &m);
    for (size_t i = 0; i < COUNT(rows); i++) {
        double b = rows[i].batch;
        CHECK_NEAR(wm_plan_distinct(&scout, b), rows[i].scout_distinct, 0.06);
        CHECK_NEAR(wm_plan_distinct(&maverick, b), rows[i].maverick_distinct, 0.06);
        CHECK_NEAR(wm_plan_step_bytes(&scout, &s, weights("bf16"), b) / 1e9, rows[i].scout_bf16, 0.06);
        CHECK_NEAR(wm_plan_step_bytes(&maverick, &m, weights("bf16"), b) / 1e9, rows[i].maverick_bf16, 0.06);
        CHECK_NEAR(wm_plan_step_bytes(&maverick, &m, weights("fp8"), b) / 1e9, rows[i].maverick_fp8, 0.06);
    }
    CHECK_NEAR(wm_plan_step_bytes(&scout, &s, weights("q8_0"), 1) / 1e9, 17.15, 0.01);
    CHECK_NEAR(wm_plan_step_bytes(&scout, &s, weights("int4"), 1) / 1e9, 9.08, 0.01);
}

static void what_does_not_fit_has_no_speed(void **state)
{
    (void)state;
    struct wm_arch a;
    struct wm_parameters p;
    struct wm_plan_fit fit;
    read_model(MAVERICK, &a, &p);
    struct wm_plan_kv kv = wm_plan_kv(&a, 2);
    const struct wm_gpu gpu = {"gpu", "of 100 GB", 100e9, 1e12};
    wm_plan_fit(&a, weights("bf16"), &kv, &gpu, 8, &fit); /* 803 GB of weights in 720 */
    assert_false(fit.weights_fit);
    assert_int_equal(fit.positions, 0);
    assert_true(wm_plan_speed(&a, weights("bf16"), &kv, &gpu, 8, 1, 0) == 0);
    wm_plan_fit(&a, weights("fp8"), &kv, &gpu, 8, &fit);
    assert_true(fit.weights_fit);
    CHECK_NEAR(fit.free_bytes, 720e9 - wm_plan_weight_bytes(&p, weights("fp8")), 1);
    /* One token a step reads 29.28 GB of weights and its own K and V. */
    CHECK_NEAR(wm_plan_speed(&a, weights("fp8"), &kv, &gpu, 8, 1, 0),
               8e12 / (wm_plan_step_bytes(&a, &p, weights("fp8"), 1) + 196608), 1e-6);
    assert_true(wm_plan_speed(&a, weights("fp8"), &kv, &gpu, 8, 1, fit.positions) == 0);
    assert_true(wm_plan_speed(&a, weights("fp8"), &kv, &gpu, 8, 1, fit.positions - 1) > 0);
    /* Sixteen GPUs keep each of the eight heads of K and V twice. */
    struct wm_plan_fit twice;
    wm_plan_fit(&a, weights("fp8"), &kv, &gpu, 16, &twice);
    CHECK_NEAR(twice.free_bytes, (1440e9 - wm_plan_weight_bytes(&p, weights("fp8"))) / 2, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_counted_group_by_group),
        cmocka_unit_test(behemoth_has_the_three_figures_that_are_public),
        cmocka_unit_test(weights_take_the_bytes_that_their_format_says),
        cmocka_unit_test(conversations_take_192_kib_a_token_and_48_once_chunks_are_freed),
        cmocka_unit_test(a_larger_batch_meets_more_experts),
        cmocka_unit_test(what_does_not_fit_has_no_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

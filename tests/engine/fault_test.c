/* fault_test.c -- every operation of a face fails once, at every place: nothing leaks, every request gets its last event,
 * and nothing computed by a step that failed is ever used again.
 *
 * The program brings its own list of faces (in place of kernels/faces.c): the reference face, with a counter before each
 * operation that can fail.
 */
#include "tests/check.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "engine/score.h"
#include "tests/engine/collector.h"
#include "tests/engine/tiny_model.h"

extern const struct wm_ops wm_ops_reference;

static atomic_int countdown; /* the operation that finds 0 here fails; negative: none */

static bool fails(struct wm_error *err)
{
    if (atomic_fetch_sub(&countdown, 1) != 0)
        return false;
    wm_fail(err, WM_EIO, "the device is gone");
    return true;
}

/* One wrapper for each operation that returns a status. */
#define WRAP(name, parameters, arguments)                                                                    \
    static enum wm_status name parameters                                                                    \
    {                                                                                                        \
        return fails(err) ? WM_EIO : wm_ops_reference.name arguments;                                        \
    }

WRAP(open, (const struct wm_backend_options *o, struct wm_backend **out, struct wm_error *err), (o, out, err))
WRAP(act_new,
     (struct wm_backend * be, int32_t rows, int32_t width, struct wm_act **out, struct wm_error *err),
     (be, rows, width, out, err))
WRAP(weight_new,
     (struct wm_backend * be, const struct wm_matrix *parts, int n, enum wm_use use, struct wm_weight **out,
      struct wm_error *err),
     (be, parts, n, use, out, err))
WRAP(kv_new,
     (struct wm_backend * be, const struct wm_kv_shape *shape, struct wm_kv **out, struct wm_error *err),
     (be, shape, out, err))
WRAP(embed,
     (struct wm_backend * be, const struct wm_weight *table, const int32_t *ids, int32_t rows,
      struct wm_act *x, struct wm_error *err),
     (be, table, ids, rows, x, err))
WRAP(matmul, (struct wm_backend * be, const struct wm_matmul *op, struct wm_error *err), (be, op, err))
WRAP(qkv_post,
     (struct wm_backend * be, const struct wm_batch *batch, const struct wm_qkv_post *op,
      struct wm_error *err),
     (be, batch, op, err))
WRAP(attention,
     (struct wm_backend * be, const struct wm_batch *batch, const struct wm_attention *op,
      struct wm_error *err),
     (be, batch, op, err))
WRAP(sample,
     (struct wm_backend * be, const struct wm_act *logits, int32_t vocabulary,
      const struct wm_sample_row *how, int32_t rows, struct wm_sampled *out, struct wm_error *err),
     (be, logits, vocabulary, how, rows, out, err))

static struct wm_ops faulty;
const struct wm_ops *const wm_faces[] = {&faulty, NULL};

const struct wm_ops *wm_face(const char *name)
{
    return strcmp(name, "faulty") == 0 ? &faulty : NULL;
}

static char *model;

static int make_face_and_model(void **state)
{
    (void)state;
    faulty = wm_ops_reference;
    faulty.name = "faulty";
    faulty.open = open;
    faulty.act_new = act_new;
    faulty.weight_new = weight_new;
    faulty.kv_new = kv_new;
    faulty.embed = embed;
    faulty.matmul = matmul;
    faulty.qkv_post = qkv_post;
    faulty.attention = attention;
    faulty.sample = sample;
    model = tiny_file(&(struct tiny_options){0});
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    tiny_remove(model);
    return 0;
}

static enum wm_status open_engine(struct wm_engine **e, struct wm_error *err)
{
    return wm_engine_open(
        &(struct wm_engine_options){.model = model, .threads = 1, .kv_bytes = 16 << 20, .step_rows = 16},
        NULL, NULL, e, err);
}

static void opening_fails_cleanly_at_every_operation(void **state)
{
    (void)state;
    int n = 0;
    for (;; n++) {
        struct wm_engine *e = NULL;
        struct wm_error err = WM_ERROR_INIT;
        atomic_store(&countdown, n);
        enum wm_status st = open_engine(&e, &err);
        if (st == WM_OK) {
            wm_engine_close(e);
            break;
        }
        assert_null(e);
        assert_int_equal(st, WM_EIO);
        assert_non_null(strstr(err.text, "the device is gone"));
    }
    assert_true(n > 4 * TINY_LAYERS);
}

enum { PROMPT = 20, REPLY = 3, OWNERS = 3 };

static const int32_t *prompt(void)
{
    static int32_t ids[PROMPT];
    for (int32_t i = 0; i < PROMPT; i++)
        ids[i] = TINY_BYTES + 97 + i;
    return ids;
}

static void a_failed_step_ends_its_requests_and_its_blocks_are_not_trusted(void **state)
{
    (void)state;
    struct wm_engine *e;
    struct wm_error err = WM_ERROR_INIT;
    struct collector want;
    atomic_store(&countdown, -1);
    assert_int_equal(open_engine(&e, &err), WM_OK);
    collector_init(&want);
    collector_submit(&want, e, 100, prompt(), PROMPT, REPLY);
    collector_wait(&want);
    assert_int_equal(want.ids.n, REPLY);

    uint64_t owner = 0;
    for (int n = 0, failed = 1; failed; n++) {
        struct collector c[OWNERS], after;
        failed = 0;
        atomic_store(&countdown, n);
        for (size_t i = 0; i < OWNERS; i++) {
            collector_init(&c[i]);
            collector_submit(&c[i], e, owner + i + 1, prompt(), PROMPT, REPLY);
        }
        for (size_t i = 0; i < OWNERS; i++) {
            collector_wait(&c[i]);
            assert_int_equal(c[i].finishes, 1);
            assert_int_equal(c[i].finish == WM_FINISH_ERROR, c[i].error == WM_EIO);
            failed += c[i].finish == WM_FINISH_ERROR;
        }
        atomic_store(&countdown, -1);
        collector_init(&after);
        collector_submit(&after, e, owner + 1, prompt(), PROMPT, REPLY);
        collector_wait(&after);
        assert_int_equal(after.usage.cached_tokens, c[0].finish == WM_FINISH_ERROR ? 0 : PROMPT - 1);
        assert_int_equal(after.ids.n, REPLY);
        assert_memory_equal(after.ids.ids, want.ids.ids, REPLY * sizeof *want.ids.ids);
        collector_free(&after);
        for (size_t i = 0; i < OWNERS; i++)
            collector_free(&c[i]);
        owner += OWNERS;
    }
    struct wm_engine_stats stats;
    wm_engine_stats(e, &stats);
    assert_true(stats.failed > 20);
    assert_int_equal(stats.running + stats.queued, 0);
    collector_free(&want);
    wm_engine_close(e);
}

static void scoring_fails_cleanly_at_every_operation(void **state)
{
    (void)state;
    for (int n = 0;; n++) {
        struct wm_score *s = NULL;
        struct wm_tokens out = {0};
        struct wm_error err = WM_ERROR_INIT;
        atomic_store(&countdown, n);
        enum wm_status st =
            wm_score_open(&(struct wm_score_options){.model = {.path = model}, .slice = 8}, &s, &err);
        if (st == WM_OK)
            st = wm_score_run(s, prompt(), PROMPT, REPLY, NULL, NULL, &out, &err);
        wm_tokens_free(&out);
        wm_score_close(s);
        if (st == WM_OK)
            break;
        assert_int_equal(st, WM_EIO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_fails_cleanly_at_every_operation),
        cmocka_unit_test(a_failed_step_ends_its_requests_and_its_blocks_are_not_trusted),
        cmocka_unit_test(scoring_fails_cleanly_at_every_operation),
    };
    return cmocka_run_group_tests(tests, make_face_and_model, remove_model);
}

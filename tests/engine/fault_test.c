/* fault_test.c -- every operation of a face fails once, at every place: nothing leaks, every request gets its
 * last event, and nothing computed by a step that failed is ever used again.
 *
 * The program brings its own list of faces (in place of kernels/faces.c): the reference face, with a counter
 * before each operation that can fail.
 */
#include "tests/check.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "engine/score.h"
#include "tests/engine/collector.h"
#include "tests/engine/golden_model.h"
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
WRAP(act_write,
     (struct wm_backend * be, struct wm_act *act, int32_t row, int32_t rows, const float *in,
      struct wm_error *err),
     (be, act, row, rows, in, err))
WRAP(experts_new,
     (struct wm_backend * be, const struct wm_expert_matrices *experts, int32_t n, struct wm_experts **out,
      struct wm_error *err),
     (be, experts, n, out, err))
WRAP(routes_new,
     (struct wm_backend * be, int32_t rows, int32_t used, struct wm_routes **out, struct wm_error *err),
     (be, rows, used, out, err))
WRAP(route, (struct wm_backend * be, const struct wm_route *op, struct wm_error *err), (be, op, err))
WRAP(expert_run, (struct wm_backend * be, const struct wm_expert_run *op, struct wm_error *err),
     (be, op, err))
WRAP(copy_rows,
     (struct wm_backend * be, const struct wm_act *from, int32_t from_row, struct wm_act *to, int32_t to_row,
      int32_t rows, struct wm_error *err),
     (be, from, from_row, to, to_row, rows, err))
WRAP(layer_norm,
     (struct wm_backend * be, struct wm_act *x, int32_t rows, const float *norm, const float *norm_bias,
      float eps, struct wm_error *err),
     (be, x, rows, norm, norm_bias, eps, err))
WRAP(tile_attention, (struct wm_backend * be, const struct wm_tile_attention *op, struct wm_error *err),
     (be, op, err))
WRAP(pixel_shuffle, (struct wm_backend * be, const struct wm_pixel_shuffle *op, struct wm_error *err),
     (be, op, err))
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
    faulty.act_write = act_write;
    faulty.experts_new = experts_new;
    faulty.routes_new = routes_new;
    faulty.route = route;
    faulty.expert_run = expert_run;
    faulty.copy_rows = copy_rows;
    faulty.layer_norm = layer_norm;
    faulty.tile_attention = tile_attention;
    faulty.pixel_shuffle = pixel_shuffle;
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

static const char seeing[] = "tests/models/tiny/maverick"; /* a Llama 4 with experts, chunks and a tower */

static enum wm_status open_engine(const char *path, struct wm_engine **e, struct wm_error *err)
{
    return wm_engine_open(
        &(struct wm_engine_options){.model = path, .threads = 1, .kv_bytes = 16 << 20, .step_rows = 16}, NULL,
        NULL, e, err);
}

static void opening_fails_cleanly_at_every_operation(void **state)
{
    (void)state;
    const char *const models[] = {model, seeing};
    for (size_t m = 0; m < COUNT(models); m++) {
        int n = 0;
        for (;; n++) {
            struct wm_engine *e = NULL;
            struct wm_error err = WM_ERROR_INIT;
            atomic_store(&countdown, n);
            enum wm_status st = open_engine(models[m], &e, &err);
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
    assert_int_equal(open_engine(model, &e, &err), WM_OK);
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

/* A prompt with a picture, to its last event. */
static void ask_about_picture(struct collector *c, struct wm_engine *e, uint64_t owner,
                              const struct wm_tokens *ids, const struct wm_picture *picture)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_generate g = {.owner = owner,
                            .prompt = ids->ids,
                            .prompt_len = ids->n,
                            .pictures = picture,
                            .n_pictures = 1,
                            .max_tokens = REPLY,
                            .ignore_eos = true,
                            .event = collector_event,
                            .arg = c};
    collector_init(c);
    assert_int_equal(wm_engine_submit(e, &g, &c->id, &err), WM_OK);
    collector_wait(c);
    assert_int_equal(c->finishes, 1);
}

/* Each round has an engine of its own, so that the tower has to work. */
static void a_failure_in_the_tower_or_behind_it_is_over_with_its_request(void **state)
{
    (void)state;
    struct golden g;
    struct wm_tokens ids = {0}, want = {0};
    assert_true(golden_open(&g, "tiny/maverick"));
    add_json_ids(&ids,
                 json_object_get(json_object_get(json_object_get(g.json, "prompts"), "one_tile"), "ids"));
    add_json_ids(&want,
                 json_object_get(json_object_get(json_object_get(g.json, "greedy"), "one_tile"), "ids"));
    int failed = 1, n = 0;
    for (; failed; n++) {
        struct wm_engine *e;
        struct wm_picture picture;
        struct wm_error err = WM_ERROR_INIT;
        struct collector first, second;
        atomic_store(&countdown, -1);
        assert_int_equal(open_engine(seeing, &e, &err), WM_OK);
        assert_int_equal(wm_engine_look(e, "tests/models/tiny/images/one.png", &picture, &err), WM_OK);
        atomic_store(&countdown, n);
        ask_about_picture(&first, e, 1, &ids, &picture);
        failed = first.finish == WM_FINISH_ERROR;
        assert_int_equal(first.error, failed ? WM_EIO : WM_OK);
        atomic_store(&countdown, -1);
        ask_about_picture(&second, e, 1, &ids, &picture);
        assert_int_equal(second.ids.n, REPLY);
        assert_memory_equal(second.ids.ids, want.ids, REPLY * sizeof *want.ids);
        collector_free(&first);
        collector_free(&second);
        wm_engine_close(e);
    }
    assert_true(n > 40);
    wm_tokens_free(&ids);
    wm_tokens_free(&want);
    golden_close_all(&g, 1);
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
        cmocka_unit_test(a_failure_in_the_tower_or_behind_it_is_over_with_its_request),
        cmocka_unit_test(scoring_fails_cleanly_at_every_operation),
    };
    return cmocka_run_group_tests(tests, make_face_and_model, remove_model);
}

/* seeing_test.c -- the batch loop with a model that sees, and whose chunks end: pictures are encoded once, a
 * reply is the golden one in any company, what is gone from the cache is computed again, and a picture that
 * cannot be had ends its own request alone. */
#include "tests/engine/golden_model.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/engine/collector.h"

#define IMAGES "tests/models/tiny/images/"
static const char seeing[] = "tests/models/tiny/maverick", blind[] = "tests/models/tiny/scout-top2";

static struct wm_engine *open_engine(struct wm_engine_options o)
{
    struct wm_engine *e;
    struct wm_error err = WM_ERROR_INIT;
    o.model = o.model ? o.model : seeing;
    o.backend = o.backend ? o.backend : "reference";
    o.threads = 2;
    o.kv_bytes = o.kv_bytes ? o.kv_bytes : 8 << 20;
    if (wm_engine_open(&o, NULL, NULL, &e, &err) != WM_OK)
        fail_msg("%s", err.text);
    return e;
}

/* A prompt of tests/models/tiny/maverick with its pictures, and the reply that transformers gives. */
struct scene {
    struct wm_tokens ids, reply;
    struct wm_picture pictures[2];
    size_t n_pictures;
    int32_t tiles;
};

static struct scene make_scene(const char *prompt, const char *const *paths)
{
    struct scene s = {0};
    struct golden g;
    struct wm_error err = WM_ERROR_INIT;
    assert_true(golden_open(&g, "tiny/maverick"));
    struct wm_score *score = golden_score(&g, "reference", 0, 0);
    const struct wm_vision_arch *v = &wm_score_model(score)->arch->vision;
    golden_prompt(&g, prompt, score, &s.ids);
    s.tiles = wm_score_shown(score) / wm_tile_tokens(v);
    add_json_ids(&s.reply,
                 json_object_get(json_object_get(json_object_get(g.json, "greedy"), prompt), "ids"));
    wm_score_close(score);
    golden_close_all(&g, 1);
    struct wm_engine *e = open_engine((struct wm_engine_options){0});
    for (; paths[s.n_pictures]; s.n_pictures++)
        assert_int_equal(wm_engine_look(e, paths[s.n_pictures], &s.pictures[s.n_pictures], &err), WM_OK);
    wm_engine_close(e);
    return s;
}

static struct scene one, two; /* "one_tile", "two_pictures" */

static int make_scenes(void **state)
{
    (void)state;
    one = make_scene("one_tile", (const char *const[]){IMAGES "one.png", NULL});
    two = make_scene("two_pictures", (const char *const[]){IMAGES "wide.png", IMAGES "one.png", NULL});
    return 0;
}

static int free_scenes(void **state)
{
    (void)state;
    wm_tokens_free(&one.ids);
    wm_tokens_free(&one.reply);
    wm_tokens_free(&two.ids);
    wm_tokens_free(&two.reply);
    return 0;
}

static enum wm_status submit(struct collector *c, struct wm_engine *e, uint64_t owner, const struct scene *s,
                             int32_t max_tokens, struct wm_error *err)
{
    struct wm_generate g = {.owner = owner,
                            .prompt = s->ids.ids,
                            .prompt_len = s->ids.n,
                            .pictures = s->pictures,
                            .n_pictures = s->n_pictures,
                            .max_tokens = max_tokens,
                            .ignore_eos = true,
                            .event = collector_event,
                            .arg = c};
    return wm_engine_submit(e, &g, &c->id, err);
}

static void begin(struct collector *c, struct wm_engine *e, uint64_t owner, const struct scene *s,
                  int32_t max_tokens)
{
    struct wm_error err = WM_ERROR_INIT;
    collector_init(c);
    if (submit(c, e, owner, s, max_tokens, &err) != WM_OK)
        fail_msg("%s", err.text);
}

static void check_reply(const struct collector *c, const struct wm_tokens *want)
{
    assert_int_equal(c->finishes, 1);
    assert_int_equal(c->finish, WM_FINISH_LENGTH);
    assert_int_equal(c->ids.n, want->n);
    assert_memory_equal(c->ids.ids, want->ids, want->n * sizeof *want->ids);
}

static void replies_about_pictures_are_golden_at_every_budget_and_in_company(void **state)
{
    (void)state;
    enum { OTHERS = 6 };
    static const int budgets[] = {0, 8, 13, 50};
    for (size_t b = 0; b < COUNT(budgets); b++) {
        struct wm_engine *e = open_engine((struct wm_engine_options){.step_rows = budgets[b]});
        struct collector first, second, others[OTHERS];
        for (size_t i = 0; i < OTHERS; i++) {
            collector_init(&others[i]);
            collector_submit(&others[i], e, i + 1, (int32_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9}, 3 + i, 40);
        }
        begin(&first, e, 100, &one, GREEDY);
        begin(&second, e, 101, &two, GREEDY);
        collector_wait(&first);
        collector_wait(&second);
        check_reply(&first, &one.reply);
        check_reply(&second, &two.reply);
        for (size_t i = 0; i < OTHERS; i++) {
            collector_wait(&others[i]);
            assert_int_equal(others[i].ids.n, 40);
            collector_free(&others[i]);
        }
        collector_free(&first);
        collector_free(&second);
        wm_engine_close(e);
    }
}

static void a_picture_is_encoded_once_whoever_shows_it(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine((struct wm_engine_options){0});
    struct wm_engine_stats stats;
    for (uint64_t owner = 1; owner <= 3; owner++) {
        struct collector a, b;
        begin(&a, e, owner, &one, 2);
        begin(&b, e, owner + 10, &two, 2); /* its second picture is the same file */
        collector_wait(&a);
        collector_wait(&b);
        collector_free(&a);
        collector_free(&b);
    }
    wm_engine_stats(e, &stats);
    assert_int_equal(stats.pictures_encoded, 2);
    assert_int_equal(stats.pictures_reused, 7);
    assert_int_equal(stats.picture_bytes,
                     (uint64_t)two.tiles * 4 * 32 * sizeof(float)); /* 4 rows a tile, 32 wide */
    assert_true(wm_engine_info(e)->sees_pictures);
    assert_string_equal(wm_engine_info(e)->architecture, "llama4");
    wm_engine_close(e);
}

/* What the model says behind these tokens, computed without the loop, its cache and its chunks. */
static void expect(const char *model, const struct scene *s, int32_t reply, struct wm_tokens *out)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_score *score;
    struct wm_score_options o = {.model = {.path = model, .backend = "reference", .threads = 1}};
    if (wm_score_open(&o, &score, &err) != WM_OK ||
        wm_score_show(score, s->pictures, s->n_pictures, &err) != WM_OK ||
        wm_score_run(score, s->ids.ids, (int32_t)s->ids.n, reply, NULL, NULL, out, &err) != WM_OK)
        fail_msg("%s", err.text);
    wm_score_close(score);
}

/* Turn by turn, each prompt being the last one, its reply, and some words more. Chunks of 16 end all the
 * time. */
static void check_turns(const char *model, struct scene *s, int turns, size_t more)
{
    struct wm_engine *e = open_engine((struct wm_engine_options){.model = model, .step_rows = 24});
    size_t had = 0;
    for (int turn = 0; turn < turns; turn++) {
        struct wm_tokens want = {0};
        struct collector c;
        expect(model, s, 9, &want);
        begin(&c, e, 5, s, 9);
        collector_wait(&c);
        check_reply(&c, &want);
        assert_int_equal(c.usage.cached_tokens, had);
        had = s->ids.n + 8; /* the last token of a reply was never computed */
        assert_int_equal(wm_tokens_add(&s->ids, c.ids.ids, c.ids.n), WM_OK);
        for (size_t i = 0; i < more; i++)
            assert_int_equal(wm_tokens_add(&s->ids, &(int32_t){(int32_t)(40 + i)}, 1), WM_OK);
        wm_tokens_free(&want);
        collector_free(&c);
    }
    struct wm_engine_stats stats;
    wm_engine_stats(e, &stats);
    assert_true(stats.ended_blocks > 0);
    assert_true(stats.kv_local.used_bytes > 0 && stats.kv_global.used_bytes > 0);
    assert_int_equal(stats.kv_used_bytes, stats.kv_local.used_bytes + stats.kv_global.used_bytes);
    assert_int_equal(wm_engine_kv_of(e, 5).device, stats.kv_used_bytes);
    wm_engine_close(e);
}

static void a_conversation_goes_on_where_it_was_across_chunks(void **state)
{
    (void)state;
    struct scene text = {0}, seen = two;
    assert_int_equal(wm_tokens_add(&text.ids, (int32_t[]){3, 1, 4, 1, 5}, 5), WM_OK);
    seen.ids = (struct wm_tokens){0};
    assert_int_equal(wm_tokens_add(&seen.ids, two.ids.ids, two.ids.n), WM_OK);
    check_turns(blind, &text, 6, 21);
    check_turns(seeing, &seen, 4, 17);
    wm_tokens_free(&text.ids);
    wm_tokens_free(&seen.ids);
}

static void local_blocks_stay_few_however_long_a_reply_is(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine((struct wm_engine_options){.model = blind, .step_rows = 16});
    struct wm_engine_stats stats;
    struct collector c;
    collector_init(&c);
    collector_submit(&c, e, 1, (int32_t[]){7, 8, 9}, 3, 900);
    collector_wait_events(&c, 600);
    wm_engine_stats(e, &stats);
    /* One global layer or two; a window of three blocks for the others, whose chunks have 12 positions. */
    assert_true(stats.kv_local.used_bytes < stats.kv_global.used_bytes);
    assert_true(stats.ended_blocks >= 600 / WM_KV_BLOCK - 1);
    collector_wait(&c);
    assert_int_equal(c.ids.n, 900);
    collector_free(&c);
    wm_engine_close(e);
}

static void another_picture_in_the_same_place_is_not_taken_for_it(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine((struct wm_engine_options){0});
    struct scene other = one;
    struct collector c;
    char path[] = "/tmp/wingman-picture-XXXXXX";
    FILE *in = fopen(IMAGES "one.png", "rb"), *out = fdopen(mkstemp(path), "wb");
    assert_true(in && out);
    for (int byte; (byte = fgetc(in)) != EOF;)
        fputc(byte, out);
    fputc('!', out); /* behind its end: other bytes, the same pixels */
    fclose(in);
    fclose(out);
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_engine_look(e, path, &other.pictures[0], &err), WM_OK);
    begin(&c, e, 1, &one, 2);
    collector_wait(&c);
    collector_free(&c);
    begin(&c, e, 1, &other, GREEDY);
    collector_wait(&c);
    assert_true((size_t)c.usage.cached_tokens < one.ids.n - 4);
    check_reply(&c, &one.reply);
    collector_free(&c);
    unlink(path);
    wm_engine_close(e);
}

static void a_picture_that_cannot_be_had_ends_its_own_request_alone(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum wm_status want;
    } bad[] = {{"no/such.png", WM_ENOENT}, {"CMakeLists.txt", WM_EFORMAT}, {IMAGES "many.png", WM_EFORMAT}};
    struct wm_engine *e = open_engine((struct wm_engine_options){0});
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct scene gone = one;
        struct collector good, fails, again;
        gone.pictures[0].path = bad[i].path;
        gone.pictures[0].hash[3] ^= 1; /* nobody has seen it yet */
        begin(&fails, e, 20 + i, &gone, GREEDY);
        begin(&good, e, 30 + i, &two, GREEDY);
        collector_wait(&fails);
        collector_wait(&good);
        assert_int_equal(fails.finish, WM_FINISH_ERROR);
        assert_int_equal(fails.error, bad[i].want);
        check_reply(&good, &two.reply);
        begin(&again, e, 20 + i, &one, GREEDY); /* the conversation lives */
        collector_wait(&again);
        check_reply(&again, &one.reply);
        collector_free(&good);
        collector_free(&fails);
        collector_free(&again);
    }
    struct wm_engine_stats stats;
    wm_engine_stats(e, &stats);
    assert_int_equal(stats.failed, COUNT(bad));
    assert_int_equal(stats.running + stats.queued, 0);
    wm_engine_close(e);
}

static void requests_whose_pictures_do_not_fit_are_refused_before_any_work(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine((struct wm_engine_options){0}),
                     *none = open_engine((struct wm_engine_options){.model = blind});
    struct collector c;
    collector_init(&c);
    struct scene fewer = two, more = one, grid = one, no_path = one, text = one, unseen = {0};
    fewer.n_pictures = 1;
    more.pictures[1] = one.pictures[0];
    more.n_pictures = 2;
    grid.pictures[0].rows = 1 << 20;
    no_path.pictures[0].path = NULL;
    text.n_pictures = 0;
    unseen.ids = (struct wm_tokens){.ids = one.ids.ids, .n = 3};
    unseen.n_pictures = 1;
    unseen.pictures[0] = one.pictures[0];
    const struct {
        struct wm_engine *e;
        const struct scene *s;
        enum wm_status want;
    } cases[] = {{e, &fewer, WM_EINVAL},   {e, &more, WM_EINVAL}, {e, &grid, WM_EINVAL},
                 {e, &no_path, WM_EINVAL}, {e, &text, WM_EINVAL}, {none, &unseen, WM_EUNSUPPORTED}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_error err = WM_ERROR_INIT;
        if (submit(&c, cases[i].e, 1, cases[i].s, 4, &err) != cases[i].want)
            fail_msg("case %zu: %s", i, err.text);
        assert_true(err.text[0] != '\0');
    }
    struct wm_error err = WM_ERROR_INIT;
    struct wm_picture p;
    assert_int_equal(wm_engine_look(none, IMAGES "one.png", &p, &err), WM_EUNSUPPORTED);
    collector_free(&c);
    wm_engine_close(e);
    wm_engine_close(none);
}

static void canceling_and_closing_while_pictures_are_on_their_way_leaves_nothing(void **state)
{
    (void)state;
    enum { REQUESTS = 12 };
    for (int wait = 0; wait < 2; wait++) {
        struct wm_engine *e = open_engine((struct wm_engine_options){.max_running = 4});
        struct collector c[REQUESTS];
        for (size_t i = 0; i < REQUESTS; i++)
            begin(&c[i], e, i + 1, i % 2 ? &one : &two, 200);
        for (size_t i = 0; i < REQUESTS; i += 2)
            wm_engine_cancel(e, c[i].id);
        if (wait)
            collector_wait_events(&c[1], 3);
        wm_engine_close(e);
        for (size_t i = 0; i < REQUESTS; i++) {
            assert_int_equal(c[i].finishes, 1);
            assert_int_equal(c[i].finish, WM_FINISH_CANCELED);
            collector_free(&c[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_about_pictures_are_golden_at_every_budget_and_in_company),
        cmocka_unit_test(a_picture_is_encoded_once_whoever_shows_it),
        cmocka_unit_test(a_conversation_goes_on_where_it_was_across_chunks),
        cmocka_unit_test(local_blocks_stay_few_however_long_a_reply_is),
        cmocka_unit_test(another_picture_in_the_same_place_is_not_taken_for_it),
        cmocka_unit_test(a_picture_that_cannot_be_had_ends_its_own_request_alone),
        cmocka_unit_test(requests_whose_pictures_do_not_fit_are_refused_before_any_work),
        cmocka_unit_test(canceling_and_closing_while_pictures_are_on_their_way_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, make_scenes, free_scenes);
}

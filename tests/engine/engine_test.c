/* engine_test.c -- the batch loop: residency, order, cancellation, limits, and that company changes nothing. */
#include "tests/engine/golden.h"

#include <stdlib.h>
#include <string.h>

#include "engine/score.h"
#include "tests/engine/collector.h"
#include "tests/engine/tiny_model.h"

enum { REPLY = 12, COMPANY = 16, PROMPT = 70 };

static char *model; /* path of the tiny model */

static int make_model(void **state)
{
    (void)state;
    model = tiny_file(&(struct tiny_options){0});
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    tiny_remove(model);
    return 0;
}

static struct wm_engine *open_engine(const struct wm_engine_options *options)
{
    struct wm_engine *e;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_engine_options o = *options;
    if (!o.model)
        o.model = model;
    if (!o.backend)
        o.backend = "reference";
    o.threads = 2;
    if (!o.kv_bytes)
        o.kv_bytes = 64 << 20;
    if (wm_engine_open(&o, NULL, NULL, &e, &err) != WM_OK)
        fail_msg("%s", err.text);
    return e;
}

static void make_prompt(int32_t *ids, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        ids[i] = (int32_t)(TINY_BYTES + (seed >> 16) % 256);
    }
}

/* What the model says behind this prompt, computed without the batch loop. */
static void expect(const char *face, const int32_t *prompt, size_t n, int32_t reply, struct wm_tokens *out)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_score *s;
    struct wm_score_options o = {.model = {.path = model, .backend = face, .threads = 1}};
    if (wm_score_open(&o, &s, &err) != WM_OK ||
        wm_score_run(s, prompt, (int32_t)n, reply, NULL, NULL, out, &err) != WM_OK)
        fail_msg("%s", err.text);
    wm_score_close(s);
}

static void check_reply(const struct collector *c, const struct wm_tokens *want)
{
    assert_int_equal(c->finishes, 1);
    assert_int_equal(c->finish, WM_FINISH_LENGTH);
    assert_int_equal(c->ids.n, want->n);
    assert_memory_equal(c->ids.ids, want->ids, want->n * sizeof *want->ids);
}

static void the_same_reply_alone_and_in_company_at_every_budget(void **state)
{
    (void)state;
    static const int budgets[] = {0, 17, 24, 97};
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 1);
    for (const struct wm_ops *const *face = wm_faces; *face; face++) {
        struct wm_tokens want = {0};
        expect((*face)->name, prompt, PROMPT, REPLY, &want);
        for (size_t b = 0; b < COUNT(budgets); b++) {
            struct wm_engine *e =
                open_engine(&(struct wm_engine_options){.backend = (*face)->name, .step_rows = budgets[b]});
            struct collector subject, others[COMPANY];
            collector_init(&subject);
            for (size_t i = 0; i < COMPANY; i++) {
                int32_t other[PROMPT];
                size_t n = 1 + i * 4;
                make_prompt(other, n, (uint32_t)i + 100);
                collector_init(&others[i]);
                if (i == COMPANY / 2)
                    collector_submit(&subject, e, 1000, prompt, PROMPT, REPLY);
                collector_submit(&others[i], e, i + 1, other, n, REPLY);
            }
            collector_wait(&subject);
            check_reply(&subject, &want);
            for (size_t i = 0; i < COMPANY; i++) {
                collector_wait(&others[i]);
                assert_int_equal(others[i].ids.n, REPLY);
                collector_free(&others[i]);
            }
            collector_free(&subject);
            wm_engine_close(e);
        }
        wm_tokens_free(&want);
    }
}

static void the_second_turn_finds_the_first_in_the_cache(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine(&(struct wm_engine_options){0});
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 2);
    struct collector first, second;
    struct wm_tokens both = {0}, want = {0};
    collector_init(&first);
    collector_init(&second);
    collector_submit(&first, e, 7, prompt, PROMPT, REPLY);
    collector_wait(&first);
    assert_int_equal(first.usage.prompt_tokens, PROMPT);
    assert_int_equal(first.usage.cached_tokens, 0);
    assert_int_equal(first.usage.completion_tokens, REPLY);
    assert_true(first.usage.first_token_ms >= 0);

    assert_int_equal(wm_tokens_add(&both, prompt, PROMPT), WM_OK);
    assert_int_equal(wm_tokens_add(&both, first.ids.ids, first.ids.n), WM_OK);
    assert_int_equal(wm_tokens_add(&both, prompt, 9), WM_OK);
    collector_submit(&second, e, 7, both.ids, both.n, REPLY);
    collector_wait(&second);
    assert_int_equal(second.usage.cached_tokens,
                     PROMPT + REPLY - 1); /* the last token of a reply was never computed */
    expect("reference", both.ids, both.n, REPLY, &want);
    check_reply(&second, &want);

    struct wm_engine_stats stats;
    wm_engine_stats(e, &stats);
    assert_int_equal(stats.cached_tokens, PROMPT + REPLY - 1);
    assert_int_equal(stats.completion_tokens, 2 * REPLY);
    assert_int_equal(stats.finished, 2);
    assert_int_equal(stats.running + stats.queued, 0);
    wm_tokens_free(&both);
    wm_tokens_free(&want);
    collector_free(&first);
    collector_free(&second);
    wm_engine_close(e);
}

static void a_changed_history_is_computed_from_where_it_changed(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine(&(struct wm_engine_options){0});
    int32_t prompt[PROMPT];
    struct wm_tokens want = {0};
    make_prompt(prompt, PROMPT, 3);
    struct collector first, second;
    collector_init(&first);
    collector_init(&second);
    collector_submit(&first, e, 7, prompt, PROMPT, REPLY);
    collector_wait(&first);
    prompt[41] ^= 1; /* in the middle of the second block */
    expect("reference", prompt, PROMPT, REPLY, &want);
    collector_submit(&second, e, 7, prompt, PROMPT, REPLY);
    collector_wait(&second);
    assert_int_equal(second.usage.cached_tokens, 41);
    check_reply(&second, &want);
    wm_tokens_free(&want);
    collector_free(&first);
    collector_free(&second);
    wm_engine_close(e);
}

static void nothing_is_shared_between_owners_or_kept_for_nobody(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine(&(struct wm_engine_options){0});
    static const uint64_t owners[] = {0, 0, 1, 2};
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 4);
    for (size_t i = 0; i < COUNT(owners); i++) {
        struct collector c;
        collector_init(&c);
        collector_submit(&c, e, owners[i], prompt, PROMPT, 1);
        collector_wait(&c);
        assert_int_equal(c.usage.cached_tokens, 0);
        collector_free(&c);
    }
    assert_int_equal(wm_engine_kv_of(e, 0).device, 0);
    assert_true(wm_engine_kv_of(e, 1).device > 0);
    wm_engine_close(e);
}

static void prefill_alone_makes_the_prompt_ready(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine(&(struct wm_engine_options){0});
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 5);
    static const struct {
        int32_t max_tokens, cached;
    } turns[] = {{0, 0}, {0, PROMPT}, {1, PROMPT - 1}};
    for (size_t i = 0; i < COUNT(turns); i++) {
        struct collector c;
        collector_init(&c);
        collector_submit(&c, e, 3, prompt, PROMPT, turns[i].max_tokens);
        collector_wait(&c);
        assert_int_equal(c.finish, WM_FINISH_LENGTH);
        assert_int_equal(c.usage.cached_tokens, turns[i].cached);
        assert_int_equal(c.ids.n, turns[i].max_tokens);
        collector_free(&c);
    }
    wm_engine_close(e);
}

static void forgetting_an_owner_frees_its_blocks(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine(&(struct wm_engine_options){0});
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 6);
    struct collector first, second;
    collector_init(&first);
    collector_init(&second);
    collector_submit(&first, e, 3, prompt, PROMPT, 1);
    collector_wait(&first);
    wm_engine_forget(e, 3);
    wm_engine_forget(e, 99); /* unknown: nothing */
    collector_submit(&second, e, 3, prompt, PROMPT, 1);
    collector_wait(&second);
    assert_int_equal(second.usage.cached_tokens, 0);
    collector_free(&first);
    collector_free(&second);
    wm_engine_close(e);
}

/* Room for a few sequences only: the least recently used lose their blocks, nobody's answer changes. */
static void eviction_costs_time_and_changes_nothing(void **state)
{
    (void)state;
    enum { OWNERS = 6, ROUNDS = 2 };
    struct wm_model m;
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(
        wm_model_open(&(struct wm_model_options){.path = model, .backend = "reference", .max_rows = 1}, &m,
                      &err),
        WM_OK);
    struct wm_kv_shape shape = wm_program_kv_shape(m.arch, WM_GROUP_GLOBAL, 1);
    size_t block = m.ops->kv_block_bytes(&shape);
    wm_model_close(&m);
    struct wm_engine *e = open_engine(&(struct wm_engine_options){.kv_bytes = 8 * block});
    assert_int_equal(wm_engine_info(e)->context, 8 * WM_KV_BLOCK);
    for (int round = 0; round < ROUNDS; round++)
        for (uint32_t o = 1; o <= OWNERS; o++) {
            int32_t prompt[PROMPT];
            struct wm_tokens want = {0};
            struct collector c;
            make_prompt(prompt, PROMPT, o);
            expect("reference", prompt, PROMPT, 4, &want);
            collector_init(&c);
            collector_submit(&c, e, o, prompt, PROMPT, 4);
            collector_wait(&c);
            check_reply(&c, &want);
            collector_free(&c);
            wm_tokens_free(&want);
        }
    struct wm_engine_stats stats;
    wm_engine_stats(e, &stats);
    assert_true(stats.evicted_blocks > 0);
    assert_true(stats.kv_used_bytes <= stats.kv_total_bytes);
    assert_int_equal(stats.kv_total_bytes, 8 * block);
    wm_engine_close(e);
}

static void more_work_than_blocks_waits_and_is_all_done(void **state)
{
    (void)state;
    enum { REQUESTS = 12 };
    struct wm_engine *e = open_engine(&(struct wm_engine_options){.kv_bytes = 1 << 20}); /* some 60 blocks */
    struct collector c[REQUESTS];
    int32_t prompt[400];
    for (uint32_t i = 0; i < REQUESTS; i++) {
        make_prompt(prompt, COUNT(prompt), i + 1);
        collector_init(&c[i]);
        collector_submit(&c[i], e, i + 1, prompt, COUNT(prompt), 5);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        collector_wait(&c[i]);
        assert_int_equal(c[i].finish, WM_FINISH_LENGTH);
        assert_int_equal(c[i].ids.n, 5);
        collector_free(&c[i]);
    }
    wm_engine_close(e);
}

static void two_requests_of_one_owner_run_one_after_the_other(void **state)
{
    (void)state;
    enum { REQUESTS = 5 };
    struct wm_engine *e = open_engine(&(struct wm_engine_options){0});
    struct collector c[REQUESTS];
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 8);
    for (size_t i = 0; i < REQUESTS; i++) {
        collector_init(&c[i]);
        collector_submit(&c[i], e, 5, prompt, PROMPT, 3);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        collector_wait(&c[i]);
        assert_int_equal(c[i].usage.cached_tokens, i ? PROMPT - 1 : 0);
        if (i)
            assert_true(c[i].order > c[i - 1].order);
    }
    for (size_t i = 0; i < REQUESTS; i++)
        collector_free(&c[i]);
    wm_engine_close(e);
}

static void a_canceled_request_ends_at_the_next_step(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine(&(struct wm_engine_options){.max_running = 1});
    struct collector running, queued, after;
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 9);
    collector_init(&running);
    collector_init(&queued);
    collector_init(&after);
    running.cancel_in = e;
    collector_submit(&queued, e, 4, prompt, PROMPT, 300); /* runs first, holds the only place */
    collector_submit(&running, e, 5, prompt, PROMPT, 300);
    collector_wait_events(&queued, 1);
    wm_engine_cancel(e, queued.id);
    wm_engine_cancel(e, 12345678); /* unknown: nothing */
    collector_wait(&queued);
    collector_wait(&running);
    assert_int_equal(queued.finish, WM_FINISH_CANCELED);
    assert_int_equal(running.finish, WM_FINISH_CANCELED);
    assert_int_equal(running.ids.n, 1);
    assert_true(queued.ids.n < 300);
    collector_submit(&after, e, 5, prompt, PROMPT, 1); /* what was computed is still there */
    collector_wait(&after);
    assert_int_equal(after.usage.cached_tokens, PROMPT - 1);
    collector_free(&running);
    collector_free(&queued);
    collector_free(&after);
    wm_engine_close(e);
}

static void a_full_queue_says_try_again(void **state)
{
    (void)state;
    enum { QUEUE = 3, TRIES = 40 };
    struct wm_engine *e = open_engine(&(struct wm_engine_options){.max_running = 1, .max_queued = QUEUE});
    struct collector c[TRIES];
    int32_t prompt[PROMPT];
    int accepted = 0, refused = 0;
    make_prompt(prompt, PROMPT, 10);
    for (int i = 0; i < TRIES; i++) {
        struct wm_error err = WM_ERROR_INIT;
        collector_init(&c[i]);
        enum wm_status st = wm_engine_submit(e,
                                             &(struct wm_generate){.owner = (uint64_t)i + 1,
                                                                   .prompt = prompt,
                                                                   .prompt_len = PROMPT,
                                                                   .max_tokens = 20,
                                                                   .event = collector_event,
                                                                   .arg = &c[i]},
                                             &c[i].id, &err);
        accepted += st == WM_OK;
        refused += st == WM_EAGAIN;
        c[i].order = st == WM_OK ? 0 : -1;
    }
    assert_int_equal(accepted + refused, TRIES);
    assert_true(accepted >= QUEUE && refused > 0);
    for (int i = 0; i < TRIES; i++) {
        if (c[i].id)
            collector_wait(&c[i]);
        assert_int_equal(c[i].finishes, c[i].id ? 1 : 0);
        collector_free(&c[i]);
    }
    wm_engine_close(e);
}

static void closing_gives_every_request_its_last_event(void **state)
{
    (void)state;
    enum { REQUESTS = 20 };
    struct wm_engine *e = open_engine(&(struct wm_engine_options){.max_running = 4});
    struct collector c[REQUESTS];
    int32_t prompt[PROMPT];
    for (uint32_t i = 0; i < REQUESTS; i++) {
        make_prompt(prompt, PROMPT, i);
        collector_init(&c[i]);
        collector_submit(&c[i], e, i + 1, prompt, PROMPT, 400);
    }
    wm_engine_close(e);
    for (size_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(c[i].finishes, 1);
        assert_int_equal(c[i].finish, WM_FINISH_CANCELED);
        collector_free(&c[i]);
    }
}

/* A model whose end token is the third one that it would say anyway. */
static void a_stop_token_ends_the_reply_and_is_not_part_of_it(void **state)
{
    (void)state;
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 11);
    struct wm_tokens want = {0};
    expect("reference", prompt, PROMPT, REPLY, &want);
    size_t at = 2;
    while (want.ids[at] == want.ids[0] || want.ids[at] == want.ids[1])
        assert_true(++at < want.n);
    char *path = tiny_file(&(struct tiny_options){.eos = want.ids[at]});
    struct wm_engine *e = open_engine(&(struct wm_engine_options){.model = path});
    struct collector stopped, ignored;
    struct wm_error err = WM_ERROR_INIT;
    collector_init(&stopped);
    collector_init(&ignored);
    struct wm_generate g = {.owner = 1,
                            .prompt = prompt,
                            .prompt_len = PROMPT,
                            .max_tokens = REPLY,
                            .event = collector_event,
                            .arg = &stopped};
    assert_int_equal(wm_engine_submit(e, &g, &stopped.id, &err), WM_OK);
    collector_submit(&ignored, e, 2, prompt, PROMPT, REPLY); /* with ignore_eos */
    collector_wait(&stopped);
    collector_wait(&ignored);
    assert_int_equal(stopped.finish, WM_FINISH_STOP);
    assert_int_equal(stopped.ids.n, at);
    assert_memory_equal(stopped.ids.ids, want.ids, at * sizeof *want.ids);
    check_reply(&ignored, &want);
    wm_tokens_free(&want);
    collector_free(&stopped);
    collector_free(&ignored);
    wm_engine_close(e);
    tiny_remove(path);
}

static void a_seed_gives_its_tokens_whoever_else_is_there(void **state)
{
    (void)state;
    enum { RUNS = 6 };
    struct wm_engine *e = open_engine(&(struct wm_engine_options){0});
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 12);
    struct collector c[RUNS];
    for (size_t i = 0; i < RUNS; i++) { /* seeds 1 1 1 2 2 2; the first alone, the others together */
        struct wm_error err = WM_ERROR_INIT;
        collector_init(&c[i]);
        struct wm_generate g = {
            .owner = i + 1,
            .prompt = prompt,
            .prompt_len = PROMPT,
            .max_tokens = 20,
            .sampling = {.temperature = 1.5f, .top_p = 0.95f, .top_k = 50, .seed = 1 + i / 3},
            .ignore_eos = true,
            .event = collector_event,
            .arg = &c[i]};
        assert_int_equal(wm_engine_submit(e, &g, &c[i].id, &err), WM_OK);
        if (i == 0)
            collector_wait(&c[i]);
    }
    for (size_t i = 0; i < RUNS; i++) {
        collector_wait(&c[i]);
        assert_int_equal(c[i].ids.n, 20);
        assert_memory_equal(c[i].ids.ids, c[i / 3 * 3].ids.ids, 20 * sizeof *c[i].ids.ids);
    }
    assert_memory_not_equal(c[0].ids.ids, c[3].ids.ids, 20 * sizeof *c[0].ids.ids);
    for (size_t i = 0; i < RUNS; i++)
        collector_free(&c[i]);
    wm_engine_close(e);
}

static void requests_that_break_a_rule_are_refused_with_its_code(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine(&(struct wm_engine_options){0});
    static const int32_t good[] = {5}, negative[] = {-1}, beyond[] = {TINY_VOCABULARY};
    static int32_t long_prompt[TINY_CONTEXT + 1];
    struct {
        enum wm_status want;
        struct wm_generate g;
    } cases[] = {
        {WM_EINVAL, {.prompt = good, .prompt_len = 0, .max_tokens = 1}},
        {WM_EINVAL, {.prompt = good, .prompt_len = 1, .max_tokens = -1}},
        {WM_EINVAL, {.prompt = negative, .prompt_len = 1, .max_tokens = 1}},
        {WM_EINVAL, {.prompt = beyond, .prompt_len = 1, .max_tokens = 1}},
        {WM_EINVAL, {.prompt = good, .prompt_len = 1, .max_tokens = 1, .sampling = {.temperature = -1}}},
        {WM_EINVAL, {.prompt = good, .prompt_len = 1, .max_tokens = 1, .sampling = {.top_p = 1.5f}}},
        {WM_EINVAL, {.prompt = good, .prompt_len = 1, .max_tokens = 1, .sampling = {.top_k = -1}}},
        {WM_ELIMIT, {.prompt = good, .prompt_len = 1, .max_tokens = TINY_CONTEXT}},
        {WM_ELIMIT, {.prompt = good, .prompt_len = 1, .max_tokens = INT32_MAX}},
        {WM_ELIMIT, {.prompt = long_prompt, .prompt_len = TINY_CONTEXT + 1}},
        {WM_OK, {.prompt = long_prompt, .prompt_len = TINY_CONTEXT}},
        {WM_OK, {.prompt = good, .prompt_len = 1, .max_tokens = TINY_CONTEXT - 1, .ignore_eos = true}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct collector c;
        struct wm_error err = WM_ERROR_INIT;
        collector_init(&c);
        cases[i].g.event = collector_event;
        cases[i].g.arg = &c;
        assert_int_equal(wm_engine_submit(e, &cases[i].g, &c.id, &err), cases[i].want);
        if (cases[i].want == WM_OK)
            collector_wait(&c);
        else
            assert_true(err.text[0] != '\0');
        collector_free(&c);
    }
    wm_engine_close(e);
}

static void the_text_of_a_reply_is_whole_utf8(void **state)
{
    (void)state;
    struct wm_engine *e = open_engine(&(struct wm_engine_options){0});
    struct collector c;
    int32_t prompt[PROMPT];
    make_prompt(prompt, PROMPT, 13);
    collector_init(&c);
    collector_submit(&c, e, 1, prompt, PROMPT, 200);
    collector_wait(&c);
    assert_true(c.text.len > 0);
    json_t *as_json = json_stringn(c.text.data, c.text.len); /* jansson checks UTF-8 */
    assert_non_null(as_json);
    json_decref(as_json);
    collector_free(&c);
    wm_engine_close(e);
}

static void an_unknown_template_opens_but_does_not_render(void **state)
{
    (void)state;
    char *path = tiny_file(&(struct tiny_options){.template = "[INST] {{ message }} [/INST]"});
    struct wm_engine *e = open_engine(&(struct wm_engine_options){.model = path});
    struct wm_chat_message hi = {WM_ROLE_USER, "Hi", 2};
    struct wm_tokens out = {0};
    struct wm_error err = WM_ERROR_INIT;
    assert_int_equal(wm_engine_render(e, &hi, 1, true, true, &out, &err), WM_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "template"));
    wm_engine_close(e);
    tiny_remove(path);
}

static void options_and_files_that_cannot_be_are_refused(void **state)
{
    (void)state;
    const struct {
        enum wm_status want;
        struct wm_engine_options o;
    } cases[] = {
        {WM_ENOENT, {.model = "no/such/file.gguf"}},
        {WM_ENOENT, {.model = "."}},
        {WM_EFORMAT, {.model = "CMakeLists.txt"}},
        {WM_EINVAL, {.model = model, .backend = "abacus"}},
        {WM_EINVAL, {.model = model, .kv_bytes = 1}},
        {WM_EINVAL, {.model = model, .step_rows = -1}},
        {WM_EINVAL, {.model = model, .max_running = 1 << 20}},
        {WM_EINVAL, {.model = model, .threads = 1 << 20}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_engine *e = NULL;
        struct wm_error err = WM_ERROR_INIT;
        assert_int_equal(wm_engine_open(&cases[i].o, NULL, NULL, &e, &err), cases[i].want);
        assert_true(err.text[0] != '\0');
        assert_null(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_reply_alone_and_in_company_at_every_budget),
        cmocka_unit_test(the_second_turn_finds_the_first_in_the_cache),
        cmocka_unit_test(a_changed_history_is_computed_from_where_it_changed),
        cmocka_unit_test(nothing_is_shared_between_owners_or_kept_for_nobody),
        cmocka_unit_test(prefill_alone_makes_the_prompt_ready),
        cmocka_unit_test(forgetting_an_owner_frees_its_blocks),
        cmocka_unit_test(eviction_costs_time_and_changes_nothing),
        cmocka_unit_test(more_work_than_blocks_waits_and_is_all_done),
        cmocka_unit_test(two_requests_of_one_owner_run_one_after_the_other),
        cmocka_unit_test(a_canceled_request_ends_at_the_next_step),
        cmocka_unit_test(a_full_queue_says_try_again),
        cmocka_unit_test(closing_gives_every_request_its_last_event),
        cmocka_unit_test(a_stop_token_ends_the_reply_and_is_not_part_of_it),
        cmocka_unit_test(a_seed_gives_its_tokens_whoever_else_is_there),
        cmocka_unit_test(requests_that_break_a_rule_are_refused_with_its_code),
        cmocka_unit_test(the_text_of_a_reply_is_whole_utf8),
        cmocka_unit_test(an_unknown_template_opens_but_does_not_render),
        cmocka_unit_test(options_and_files_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}

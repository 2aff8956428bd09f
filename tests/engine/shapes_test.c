/* shapes_test.c -- the trained picture model of the tree in chats about held-out pictures: prompts are
 * rendered to the ids that transformers sees, replies are the words that transformers says, and later turns
 * find the earlier ones in the cache. */
#include "tests/engine/golden.h"

#include <stdlib.h>
#include <string.h>

#include "engine/score.h"
#include "tests/engine/collector.h"

static const char model[] = "tests/models/shapes", pictures[] = "tests/models/shapes_test";
enum { MAX_PICTURES = 4, MAX_REPLY = 48 };

static json_t *cases(void)
{
    json_error_t error;
    json_t *root = json_load_file("tests/models/shapes_test/cases.json", 0, &error);
    if (!root)
        fail_msg("cases.json:%d: %s", error.line, error.text);
    return root;
}

struct chat {
    struct wm_engine *engine;
    uint64_t owner;
    struct wm_tokens ids;
    struct wm_picture pictures[MAX_PICTURES];
    char paths[MAX_PICTURES][128];
    size_t n_pictures;
};

/* The next user's message, with the picture that comes with it, and the head of a reply. */
static void ask(struct chat *c, const json_t *turn)
{
    const char *file = json_string_value(json_object_get(turn, "picture")),
               *question = json_string_value(json_object_get(turn, "question"));
    struct wm_error err = WM_ERROR_INIT;
    struct wm_chat_picture shown = {.at = 0};
    if (file) {
        assert_true(c->n_pictures < MAX_PICTURES);
        snprintf(c->paths[c->n_pictures], sizeof c->paths[0], "%s/%s", pictures, file);
        if (wm_engine_look(c->engine, c->paths[c->n_pictures], &c->pictures[c->n_pictures], &err) != WM_OK)
            fail_msg("%s", err.text);
        shown.picture = &c->pictures[c->n_pictures++];
    }
    struct wm_chat_message message = {.role = WM_ROLE_USER,
                                      .text = question,
                                      .len = strlen(question),
                                      .pictures = &shown,
                                      .n_pictures = file ? 1 : 0};
    if (wm_engine_render(c->engine, &message, 1, c->ids.n == 0, true, &c->ids, &err) != WM_OK)
        fail_msg("%s", err.text);
}

static void hear(struct chat *c, const char *name, const json_t *turn, bool first)
{
    struct collector said;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_generate g = {.owner = c->owner,
                            .prompt = c->ids.ids,
                            .prompt_len = c->ids.n,
                            .pictures = c->pictures,
                            .n_pictures = c->n_pictures,
                            .max_tokens = MAX_REPLY,
                            .event = collector_event,
                            .arg = &said};
    collector_init(&said);
    check_ids(name, &c->ids, json_object_get(turn, "prompt_ids"));
    if (wm_engine_submit(c->engine, &g, &said.id, &err) != WM_OK)
        fail_msg("%s", err.text);
    collector_wait(&said);
    assert_int_equal(said.finish, WM_FINISH_STOP);
    const char *want = json_string_value(json_object_get(turn, "reply")), *got = said.text.data;
    if (!got || strcmp(got, want) != 0)
        fail_msg("%s: it says \"%s\", transformers says \"%s\"", name, got ? got : "", want);
    assert_true(first || said.usage.cached_tokens > 0);
    assert_int_equal(wm_tokens_add(&c->ids, said.ids.ids, said.ids.n), WM_OK);
    assert_int_equal(wm_engine_close_reply(c->engine, &c->ids, &err), WM_OK);
    collector_free(&said);
}

static void replies_are_those_of_transformers_word_for_word(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    struct chat c = {0};
    json_t *root = cases(), *one, *turn;
    size_t i, t;
    struct wm_engine_options o = {.model = model, .backend = "cpu", .threads = 2, .kv_bytes = 32 << 20};
    if (wm_engine_open(&o, NULL, NULL, &c.engine, &err) != WM_OK)
        fail_msg("%s", err.text);
    json_array_foreach(json_object_get(root, "cases"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "case"));
        c.owner = i + 1;
        c.ids.n = c.n_pictures = 0;
        json_array_foreach(json_object_get(one, "turns"), t, turn)
        {
            ask(&c, turn);
            hear(&c, name, turn, t == 0);
        }
    }
    assert_true(i > 20);
    wm_tokens_free(&c.ids);
    wm_engine_close(c.engine);
    json_decref(root);
}

/* Of each prompt the last row stays. */
struct row {
    size_t width;
    float *logits;
};

static enum wm_status keep_last(void *arg, int32_t position, const float *logits, struct wm_error *err)
{
    const struct row *row = arg;
    (void)position;
    (void)err;
    memcpy(row->logits, logits, row->width * sizeof *logits);
    return WM_OK;
}

static void logits_of_the_exact_face_are_those_of_transformers(void **state)
{
    (void)state;
    enum { CASES = 4, TOP = 5 };
    struct wm_error err = WM_ERROR_INIT;
    struct wm_score *score;
    struct wm_score_options o = {.model = {.path = model, .backend = "reference"}};
    if (wm_score_open(&o, &score, &err) != WM_OK)
        fail_msg("%s", err.text);
    struct row row = {.width = (size_t)wm_score_model(score)->arch->vocabulary};
    row.logits = malloc(row.width * sizeof *row.logits);
    assert_non_null(row.logits);
    json_t *root = cases();
    for (size_t i = 0; i < CASES; i++) {
        const json_t *turn =
            json_array_get(json_object_get(json_array_get(json_object_get(root, "cases"), i), "turns"), 0);
        struct wm_picture picture;
        struct wm_tokens ids = {0}, none = {0};
        char path[128];
        snprintf(path, sizeof path, "%s/%s", pictures, json_string_value(json_object_get(turn, "picture")));
        add_json_ids(&ids, json_object_get(turn, "prompt_ids"));
        if (wm_model_look(wm_score_model(score), path, &picture, &err) != WM_OK ||
            wm_score_show(score, &picture, 1, &err) != WM_OK ||
            wm_score_run(score, ids.ids, (int32_t)ids.n, 0, keep_last, &row, &none, &err) != WM_OK)
            fail_msg("%s", err.text);
        for (size_t k = 0; k < TOP; k++) {
            const json_t *top = json_object_get(turn, "top5_ids"),
                         *want = json_object_get(turn, "top5_logits");
            CHECK_NEAR((double)row.logits[json_integer_value(json_array_get(top, k))],
                       json_number_value(json_array_get(want, k)), 1e-4);
        }
        wm_tokens_free(&ids);
    }
    wm_score_close(score);
    json_decref(root);
    free(row.logits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_those_of_transformers_word_for_word),
        cmocka_unit_test(logits_of_the_exact_face_are_those_of_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* chat_test.c -- conversations as tokens, against the models' own templates. */
#include "tests/engine/golden.h"

#include <string.h>

#include "engine/chat.h"

enum { MAX_MESSAGES = 64 };

static struct wm_model_file *file;
static struct wm_tokenizer *tokenizer;
static struct wm_chat *chat; /* of the small model, or NULL */

static int open_small_model(void **state)
{
    (void)state;
    struct wm_error err = WM_ERROR_INIT;
    const char *path = small_model();
    if (path && (wm_model_file_open(path, &file, &err) != WM_OK ||
                 wm_tokenizer_new(file, &tokenizer, &err) != WM_OK ||
                 wm_chat_new(file, &(struct wm_chat_options){0}, tokenizer, &chat, &err) != WM_OK))
        fail_msg("%s", err.text);
    return 0;
}

static int close_small_model(void **state)
{
    (void)state;
    wm_chat_free(chat);
    wm_tokenizer_free(tokenizer);
    wm_model_file_close(file);
    return 0;
}

static size_t messages_of(const json_t *list, struct wm_chat_message *out)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    size_t i;
    json_t *m;
    json_array_foreach(list, i, m)
    {
        const json_t *content = json_object_get(m, "content");
        assert_true(i < MAX_MESSAGES);
        out[i] = (struct wm_chat_message){0};
        for (int r = 0; r < 3; r++)
            if (strcmp(json_string_value(json_object_get(m, "role")), roles[r]) == 0)
                out[i].role = (enum wm_role)r;
        out[i].text = json_string_value(content);
        out[i].len = json_string_length(content);
    }
    return json_array_size(list);
}

static void render(const struct wm_chat_message *messages, size_t n, bool first, bool open_reply,
                   struct wm_tokens *out)
{
    struct wm_error err = WM_ERROR_INIT;
    if (wm_chat_render(chat, messages, n, first, open_reply, out, &err) != WM_OK)
        fail_msg("%s", err.text);
}

static void chats_give_the_ids_of_the_models_own_template(void **state)
{
    (void)state;
    if (!chat)
        SKIP("no small model: WM_MODEL and build/models/ are empty");
    GOLDEN_OR_SKIP(golden, "chat/chatml.json");
    assert_string_equal(wm_chat_format(chat), "chatml");
    struct wm_tokens ids = {0};
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(golden, "chats"), i, c)
    {
        struct wm_chat_message messages[MAX_MESSAGES];
        size_t n = messages_of(json_object_get(c, "messages"), messages);
        ids.n = 0;
        render(messages, n, true, true, &ids);
        check_ids(json_string_value(json_object_get(c, "name")), &ids, json_object_get(c, "ids"));
    }
    wm_tokens_free(&ids);
    json_decref(golden);
}

static void a_list_rendered_piece_by_piece_is_the_list(void **state)
{
    (void)state;
    if (!chat)
        SKIP("no small model: WM_MODEL and build/models/ are empty");
    static const struct wm_chat_message messages[] = {
        {WM_ROLE_USER, "\nHi", 3}, {WM_ROLE_ASSISTANT, "Hello \n", 7}, {WM_ROLE_USER, "<|im_end|>", 10}};
    struct wm_tokens whole = {0}, pieces = {0};
    render(messages, COUNT(messages), true, true, &whole);
    for (size_t i = 0; i < COUNT(messages); i++)
        render(messages + i, 1, i == 0, i == COUNT(messages) - 1, &pieces);
    assert_int_equal(whole.n, pieces.n);
    assert_memory_equal(whole.ids, pieces.ids, whole.n * sizeof *whole.ids);
    wm_tokens_free(&whole);
    wm_tokens_free(&pieces);
}

static void a_closed_reply_reads_like_a_rendered_one(void **state)
{
    (void)state;
    if (!chat)
        SKIP("no small model: WM_MODEL and build/models/ are empty");
    struct wm_error err = WM_ERROR_INIT;
    struct wm_chat_message user = {WM_ROLE_USER, "Hi", 2}, reply = {WM_ROLE_ASSISTANT, "Hello", 5};
    struct wm_tokens rendered = {0}, closed = {0};
    render((struct wm_chat_message[]){user, reply}, 2, true, false, &rendered);
    render(&user, 1, true, true, &closed);
    assert_int_equal(wm_tokenizer_encode(tokenizer, "Hello", 5, &closed, &err), WM_OK);
    assert_int_equal(wm_chat_close_reply(chat, &closed, &err), WM_OK);
    assert_int_equal(rendered.n, closed.n);
    assert_memory_equal(rendered.ids, closed.ids, closed.n * sizeof *closed.ids);
    wm_tokens_free(&rendered);
    wm_tokens_free(&closed);
}

static void a_list_at_its_ceiling_stays_as_it_was(void **state)
{
    (void)state;
    if (!chat)
        SKIP("no small model: WM_MODEL and build/models/ are empty");
    struct wm_error err = WM_ERROR_INIT;
    struct wm_tokens ids = {.max = 8};
    struct wm_chat_message user = {WM_ROLE_USER, "Tell me a long story.", 21};
    assert_int_equal(wm_tokens_add(&ids, (int32_t[]){7, 7}, 2), WM_OK);
    assert_int_equal(wm_chat_render(chat, &user, 1, true, true, &ids, &err), WM_ELIMIT);
    assert_int_equal(ids.n, 2);
    wm_tokens_free(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chats_give_the_ids_of_the_models_own_template),
        cmocka_unit_test(a_list_rendered_piece_by_piece_is_the_list),
        cmocka_unit_test(a_closed_reply_reads_like_a_rendered_one),
        cmocka_unit_test(a_list_at_its_ceiling_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, open_small_model, close_small_model);
}

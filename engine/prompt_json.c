/* prompt_json.c -- see prompt_json.h. */
#include "engine/prompt_json.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_MESSAGES = 100000, MAX_TEXT = 16 << 20 };

static enum wm_status add_ids(const struct wm_tokenizer *tokenizer, const json_t *ids, struct wm_tokens *out,
                              struct wm_error *err)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *item = json_array_get(ids, i);
        json_int_t value = json_integer_value(item);
        if (!json_is_integer(item) || value < 0 || value >= wm_tokenizer_size(tokenizer))
            return wm_fail(err, WM_EINVAL, "\"ids\": item %zu must be a whole number from 0 to %d", i,
                           wm_tokenizer_size(tokenizer) - 1);
        enum wm_status st = wm_tokens_add(out, &(int32_t){(int32_t)value}, 1);
        if (st != WM_OK)
            return wm_fail(err, st, "\"ids\": too many tokens, or no memory for them");
    }
    return WM_OK;
}

static enum wm_status read_role(const json_t *message, enum wm_role *role)
{
    static const char *const names[] = {"system", "user", "assistant"};
    const char *name = json_string_value(json_object_get(message, "role"));
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *role = (enum wm_role)i;
            return WM_OK;
        }
    return WM_EINVAL;
}

/* A string, or the text parts of a list one behind the other. Anything else is refused, not left out. */
static enum wm_status read_content(const json_t *content, struct wm_buffer *out)
{
    if (json_is_string(content))
        return wm_buffer_add(out, json_string_value(content), json_string_length(content));
    if (!json_is_array(content))
        return WM_EINVAL;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *text = json_object_get(json_array_get(content, i), "text");
        enum wm_status st = text ? read_content(text, out) : WM_EINVAL;
        if (st != WM_OK || !json_is_string(text))
            return st == WM_OK ? WM_EINVAL : st;
    }
    return WM_OK;
}

static enum wm_status add_messages(const struct wm_chat *chat, const json_t *messages, struct wm_tokens *out,
                                   struct wm_error *err)
{
    size_t n = json_array_size(messages);
    if (n > MAX_MESSAGES)
        return wm_fail(err, WM_ELIMIT, "\"messages\": %zu messages, at most %d are taken", n, MAX_MESSAGES);
    enum wm_status st = WM_OK;
    struct wm_buffer text = WM_BUFFER(MAX_TEXT);
    for (size_t i = 0; i < n && st == WM_OK; i++) {
        const json_t *m = json_array_get(messages, i);
        struct wm_chat_message message = {0};
        text.len = 0;
        st = read_role(m, &message.role);
        if (st == WM_OK)
            st = read_content(json_object_get(m, "content"), &text);
        if (st != WM_OK) {
            wm_fail(err, st,
                    "\"messages\": message %zu must have the role system, user or assistant and a "
                    "\"content\" of text, at most "
                    "%d bytes",
                    i, MAX_TEXT);
            break;
        }
        message.text = text.data ? text.data : "";
        message.len = text.len;
        st = wm_chat_render(chat, &message, 1, i == 0, false, out, err);
    }
    if (st == WM_OK)
        st = wm_chat_render(chat, NULL, 0, n == 0, true, out, err);
    wm_buffer_free(&text);
    return st;
}

enum wm_status wm_prompt_from_json(const struct wm_tokenizer *tokenizer, const struct wm_chat *chat,
                                   const struct wm_error *chat_error, const json_t *prompt,
                                   struct wm_tokens *out, struct wm_error *err)
{
    const json_t *ids = json_object_get(prompt, "ids"), *text = json_object_get(prompt, "text"),
                 *messages = json_object_get(prompt, "messages");
    if (json_is_array(ids))
        return add_ids(tokenizer, ids, out, err);
    if (json_is_string(text))
        return wm_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), out, err);
    if (json_is_array(messages))
        return chat ? add_messages(chat, messages, out, err)
                    : wm_fail(err, chat_error->code, "%s", chat_error->text);
    return wm_fail(err, WM_EINVAL,
                   "the input must be an object with \"ids\" (a list), \"text\" or \"messages\" (a list)");
}

json_t *wm_ids_to_json(const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n && list; i++)
        if (json_array_append_new(list, json_integer(ids[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

/* prompt_json.c -- see prompt_json.h. */
#include "engine/prompt_json.h"

#include <stdlib.h>
#include <string.h>

#include "engine/tool_calls.h"

enum { MAX_MESSAGES = 100000, MAX_TEXT = 16 << 20, MAX_PICTURES = 1024 };

/* --- pictures --------------------------------------------------------------------------------------------- */

/* A path, or a file's address: "file:///a.png". */
static const char *path_of(const char *url)
{
    static const char scheme[] = "file://";
    return strncmp(url, scheme, sizeof scheme - 1) == 0 ? url + sizeof scheme - 1 : url;
}

/* Looks at the picture and appends it. Pictures move in memory when one is added: refer to them by their place. */
static enum wm_status add_picture(const struct wm_prompt_reader *r, const char *url, struct wm_prompt *out,
                                  struct wm_error *err)
{
    if (!r->look)
        return wm_fail(err, WM_EUNSUPPORTED, "the input has a picture, and this model does not see pictures");
    if (out->n_pictures == MAX_PICTURES)
        return wm_fail(err, WM_ELIMIT, "the input has more than %d pictures", MAX_PICTURES);
    struct wm_picture *grown = realloc(out->pictures, (out->n_pictures + 1) * sizeof *grown);
    if (!grown)
        return wm_fail(err, WM_ENOMEM, "no memory for %zu pictures", out->n_pictures + 1);
    out->pictures = grown;
    char *path = strdup(path_of(url));
    if (!path)
        return wm_fail(err, WM_ENOMEM, "no memory for a picture's path");
    struct wm_picture *p = &out->pictures[out->n_pictures];
    *p = (struct wm_picture){0};
    enum wm_status st = r->look(r->arg, path, p, err);
    if (st != WM_OK) {
        free(path);
        return st;
    }
    p->path = path;
    out->n_pictures++;
    return WM_OK;
}

/* --- {"ids", "images"} ------------------------------------------------------------------------------------ */

static enum wm_status add_ids(const struct wm_prompt_reader *r, const json_t *ids, const json_t *images,
                              struct wm_prompt *out, struct wm_error *err)
{
    int32_t size = wm_tokenizer_size(r->tokenizer);
    enum wm_status st = WM_OK;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *item = json_array_get(ids, i);
        json_int_t value = json_integer_value(item);
        if (!json_is_integer(item) || value < 0 || value >= size)
            return wm_fail(err, WM_EINVAL, "\"ids\": item %zu must be a whole number from 0 to %d", i,
                           size - 1);
        st = wm_tokens_add(&out->tokens, &(int32_t){(int32_t)value}, 1);
        if (st != WM_OK)
            return wm_fail(err, st, "\"ids\": too many tokens, or no memory for them");
    }
    for (size_t i = 0; i < json_array_size(images) && st == WM_OK; i++) {
        const json_t *path = json_array_get(images, i);
        st = json_is_string(path)
                 ? add_picture(r, json_string_value(path), out, err)
                 : wm_fail(err, WM_EINVAL, "\"images\": item %zu must be the path of a picture", i);
    }
    return st;
}

/* --- {"messages"} ----------------------------------------------------------------------------------------- */

/* A message being read: its text, and where its pictures and joints are. */
struct content {
    struct wm_buffer text;
    size_t begin; /* of the text that the message brings itself: what stands before tells of tools */
    size_t first; /* of its pictures, within the prompt's */
    struct wm_chat_picture *joints;
    bool *seen; /* joint i is a picture */
    size_t n, room;
};

static enum wm_status add_joint(struct content *c, bool picture)
{
    if (c->n == c->room) {
        size_t room = c->room ? 2 * c->room : 8;
        struct wm_chat_picture *joints = realloc(c->joints, room * sizeof *joints);
        if (joints)
            c->joints = joints;
        bool *seen = joints ? realloc(c->seen, room * sizeof *seen) : NULL;
        if (!seen)
            return WM_ENOMEM;
        c->seen = seen;
        c->room = room;
    }
    c->joints[c->n] = (struct wm_chat_picture){.at = c->text.len};
    c->seen[c->n++] = picture;
    return WM_OK;
}

static enum wm_status read_part(const struct wm_prompt_reader *r, const json_t *part, struct content *c,
                                struct wm_prompt *out, struct wm_error *err)
{
    const json_t *text = json_object_get(part, "text"), *image = json_object_get(part, "image_url");
    const json_t *url = json_is_object(image) ? json_object_get(image, "url") : image;
    if (json_is_string(text)) {
        enum wm_status st = c->text.len > c->begin ? add_joint(c, false) : WM_OK;
        return st == WM_OK ? wm_buffer_add(&c->text, json_string_value(text), json_string_length(text)) : st;
    }
    if (!json_is_string(url))
        return WM_EINVAL;
    enum wm_status st = add_picture(r, json_string_value(url), out, err);
    return st == WM_OK ? add_joint(c, true) : st;
}

/* A string, or a list of parts. Anything else is refused, not left out. */
static enum wm_status read_content(const struct wm_prompt_reader *r, const json_t *content, struct content *c,
                                   struct wm_prompt *out, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    if (json_is_string(content))
        return wm_buffer_add(&c->text, json_string_value(content), json_string_length(content));
    if (!json_is_array(content))
        return WM_EINVAL;
    for (size_t i = 0; i < json_array_size(content) && st == WM_OK; i++)
        st = read_part(r, json_array_get(content, i), c, out, err);
    return st;
}

/* The calls of an assistant's message, behind its text. */
static enum wm_status read_calls(const json_t *calls, struct content *c, struct wm_error *err)
{
    size_t n = json_array_size(calls);
    struct wm_tool_call list[WM_TOOL_CALLS_MAX];
    if (n > WM_TOOL_CALLS_MAX)
        return wm_fail(err, WM_ELIMIT, "\"tool_calls\": %zu calls, at most %d are taken", n,
                       WM_TOOL_CALLS_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *function = json_object_get(json_array_get(calls, i), "function");
        const json_t *name = json_object_get(function, "name"),
                     *arguments = json_object_get(function, "arguments");
        if (!json_is_string(name) || !json_is_string(arguments))
            return wm_fail(err, WM_EINVAL,
                           "\"tool_calls\": call %zu needs function.name and function.arguments", i);
        /* only read below */
        list[i] =
            (struct wm_tool_call){(char *)json_string_value(name), (char *)json_string_value(arguments)};
    }
    return wm_tool_calls_text(list, n, &c->text, err);
}

static enum wm_status read_role(const json_t *message, enum wm_role *role)
{
    static const struct {
        const char *name;
        enum wm_role role;
    } roles[] = {{"system", WM_ROLE_SYSTEM},
                 {"developer", WM_ROLE_SYSTEM},
                 {"user", WM_ROLE_USER},
                 {"assistant", WM_ROLE_ASSISTANT},
                 {"tool", WM_ROLE_TOOL}};
    const char *name = json_string_value(json_object_get(message, "role"));
    for (size_t i = 0; name && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(name, roles[i].name) == 0) {
            *role = roles[i].role;
            return WM_OK;
        }
    return WM_EINVAL;
}

/* What a message begins with because there are tools: `*tools` is NULL once the model has been told of them. */
static enum wm_status tell_of_tools(enum wm_role role, const json_t **tools, struct content *c,
                                    struct wm_error *err)
{
    const json_t *told = *tools;
    if (told && role == WM_ROLE_SYSTEM)
        return wm_buffer_puts(&c->text, wm_tools_system);
    if (!told || role != WM_ROLE_USER)
        return WM_OK;
    *tools = NULL;
    return wm_tools_text(told, &c->text, err);
}

static enum wm_status add_message(const struct wm_prompt_reader *r, const json_t *message, bool first,
                                  const json_t **tools, struct content *c, struct wm_prompt *out,
                                  struct wm_error *err)
{
    struct wm_chat_message m = {0};
    const json_t *content = json_object_get(message, "content"),
                 *calls = json_object_get(message, "tool_calls");
    c->text.len = c->n = 0;
    c->first = out->n_pictures;
    enum wm_status st = read_role(message, &m.role);
    if (st == WM_OK)
        st = tell_of_tools(m.role, tools, c, err);
    c->begin = c->text.len;
    m.calls = m.role == WM_ROLE_ASSISTANT && json_array_size(calls) > 0;
    if (st == WM_OK && !(m.calls && (!content || json_is_null(content))))
        st = read_content(r, content, c, out, err);
    if (st == WM_OK && m.calls)
        st = read_calls(calls, c, err);
    if (st != WM_OK)
        return st;
    for (size_t i = 0, picture = c->first; i < c->n; i++)
        if (c->seen[i])
            c->joints[i].picture = &out->pictures[picture++];
    m.text = c->text.data ? c->text.data : "";
    m.len = c->text.len;
    m.pictures = c->joints;
    m.n_pictures = c->n;
    return wm_chat_render(r->chat, &m, 1, first, false, &out->tokens, err);
}

static enum wm_status add_messages(const struct wm_prompt_reader *r, const json_t *messages,
                                   const json_t *tools, struct wm_prompt *out, struct wm_error *err)
{
    size_t n = json_array_size(messages);
    if (!r->chat)
        return wm_fail(err, r->chat_error->code, "%s", r->chat_error->text);
    if (n > MAX_MESSAGES)
        return wm_fail(err, WM_ELIMIT, "\"messages\": %zu messages, at most %d are taken", n, MAX_MESSAGES);
    enum wm_status st = WM_OK;
    struct content c = {.text = WM_BUFFER(MAX_TEXT)};
    for (size_t i = 0; i < n && st == WM_OK; i++) {
        st = add_message(r, json_array_get(messages, i), i == 0, &tools, &c, out, err);
        if (st != WM_OK)
            wm_fail(err, st,
                    "\"messages\": message %zu must have the role system, user, assistant or tool and a "
                    "\"content\": a text, or a list of {\"text\"} and {\"image_url\"}, at most %d bytes",
                    i, MAX_TEXT);
    }
    if (st == WM_OK)
        st = wm_chat_render(r->chat, NULL, 0, n == 0, true, &out->tokens, err);
    wm_buffer_free(&c.text);
    free(c.joints);
    free(c.seen);
    return st;
}

/* --- any -------------------------------------------------------------------------------------------------- */

enum wm_status wm_prompt_from_json(const struct wm_prompt_reader *reader, const json_t *prompt,
                                   struct wm_prompt *out, struct wm_error *err)
{
    const json_t *ids = json_object_get(prompt, "ids"), *text = json_object_get(prompt, "text"),
                 *messages = json_object_get(prompt, "messages");
    if (json_is_array(ids))
        return add_ids(reader, ids, json_object_get(prompt, "images"), out, err);
    if (json_is_string(text))
        return wm_tokenizer_encode(reader->tokenizer, json_string_value(text), json_string_length(text),
                                   &out->tokens, err);
    if (json_is_array(messages))
        return add_messages(reader, messages, json_object_get(prompt, "tools"), out, err);
    return wm_fail(err, WM_EINVAL,
                   "the input must be an object with \"ids\" (a list), \"text\" or \"messages\" (a list)");
}

void wm_prompt_free(struct wm_prompt *p)
{
    for (size_t i = 0; i < p->n_pictures; i++)
        free((char *)p->pictures[i].path);
    free(p->pictures);
    wm_tokens_free(&p->tokens);
    *p = (struct wm_prompt){0};
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

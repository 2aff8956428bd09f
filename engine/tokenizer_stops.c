/* tokenizer_stops.c -- which tokens end a reply, as far as files beside the tokenizer and well-known names tell.
 *
 * A folder says it in generation_config.json, config.json and tokenizer_config.json, and not always in all of them.
 * The names are those of Llama's own ends of text, message and turn, which a file may forget.
 */
#include <jansson.h>

#include "engine/tokenizer_parts.h"

static enum wm_status add_id(struct wm_tokenizer *t, const struct wm_model_file *file, const char *document,
                             const json_t *id, struct wm_error *err)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= t->size)
        return wm_fail(err, WM_EFORMAT, "%s: %s: eos_token_id must hold ids from 0 to %d",
                       wm_model_file_name(file), document, t->size - 1);
    wm_tokenizer_add_stop(t, (int32_t)json_integer_value(id));
    return WM_OK;
}

/* `eos_token_id`: an id, a list of them, or null; `eos_token`: a name, or an object that holds it as `content`. */
static enum wm_status add_from(struct wm_tokenizer *t, const struct wm_model_file *file, const char *document,
                               const json_t *root, struct wm_error *err)
{
    const json_t *ids = json_object_get(root, "eos_token_id"), *name = json_object_get(root, "eos_token");
    enum wm_status st = WM_OK;
    if (ids && !json_is_null(ids) && !json_is_array(ids))
        st = add_id(t, file, document, ids, err);
    for (size_t i = 0; i < json_array_size(ids) && st == WM_OK; i++)
        st = add_id(t, file, document, json_array_get(ids, i), err);
    if (json_is_object(name))
        name = json_object_get(name, "content");
    if (json_is_string(name))
        wm_tokenizer_add_stop(t, wm_tokenizer_control(t, json_string_value(name)));
    return st;
}

enum wm_status wm_tokenizer_read_stops(struct wm_tokenizer *t, const struct wm_model_file *file,
                                       struct wm_error *err)
{
    static const char *const documents[] = {"generation_config.json", "config.json", "tokenizer_config.json"};
    static const char *const names[] = {"<|end_of_text|>", "<|eom|>", "<|eot|>", "<|eom_id|>", "<|eot_id|>"};
    enum wm_status st = WM_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        wm_tokenizer_add_stop(t, wm_tokenizer_control(t, names[i]));
    for (size_t i = 0; file && i < sizeof documents / sizeof *documents && st == WM_OK; i++) {
        const char *bytes;
        size_t len;
        json_error_t where;
        if (!wm_model_file_document(file, documents[i], &bytes, &len))
            continue;
        json_t *root = json_loadb(bytes, len, 0, &where);
        st = root ? add_from(t, file, documents[i], root, err)
                  : wm_fail(err, WM_EFORMAT, "%s: %s is not JSON: %s (line %d)", wm_model_file_name(file),
                            documents[i], where.text, where.line);
        if (st == WM_OK)
            st = add_from(t, file, documents[i], json_object_get(root, "text_config"), err);
        json_decref(root);
    }
    return st;
}

/* chat_template.c -- see chat_template.h. */
#include "engine/chat_template.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static enum wm_status keep(const struct wm_model_file *file, const char *bytes, size_t len, char **out,
                           size_t *out_len, struct wm_error *err)
{
    if (len > WM_CHAT_TEMPLATE_MAX)
        return wm_fail(err, WM_ELIMIT, "%s: a chat template of %zu bytes; %d are taken",
                       wm_model_file_name(file), len, WM_CHAT_TEMPLATE_MAX);
    char *text = malloc(len + 1);
    if (!text)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for its chat template", wm_model_file_name(file));
    if (len)
        memcpy(text, bytes, len);
    text[len] = '\0';
    *out = text;
    *out_len = len;
    return WM_OK;
}

/* The template within a document: a string, or a list of {"name", "template"}. NULL: none. */
static const json_t *template_of(const json_t *document)
{
    const json_t *value = json_object_get(document, "chat_template"), *item;
    if (json_is_string(value))
        return value;
    size_t i;
    json_array_foreach(value, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        const json_t *text = json_object_get(item, "template");
        if (name && strcmp(name, "default") == 0 && json_is_string(text))
            return text;
    }
    return NULL;
}

static enum wm_status look_into(const struct wm_model_file *file, const char *name, char **out, size_t *len,
                                struct wm_error *err)
{
    const char *bytes;
    size_t n;
    json_error_t where;
    if (!wm_model_file_document(file, name, &bytes, &n))
        return WM_OK;
    json_t *document = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(document)) {
        json_decref(document);
        return wm_fail(err, WM_EFORMAT, "%s: %s is not a JSON object: %s (line %d)", wm_model_file_name(file),
                       name, where.text, where.line);
    }
    const json_t *text = template_of(document);
    enum wm_status st =
        text ? keep(file, json_string_value(text), json_string_length(text), out, len, err) : WM_OK;
    json_decref(document);
    return st;
}

enum wm_status wm_chat_template_find(const struct wm_model_file *file, char **out, size_t *len,
                                     struct wm_error *err)
{
    *out = NULL;
    *len = 0;
    if (!file)
        return WM_OK;
    const struct wm_meta *m = wm_model_file_meta(file, "tokenizer.chat_template");
    const char *bytes;
    size_t n;
    if (m && m->kind == WM_META_STRING)
        return keep(file, m->string.bytes, m->string.len, out, len, err);
    if (wm_model_file_document(file, "chat_template.jinja", &bytes, &n))
        return keep(file, bytes, n, out, len, err);
    enum wm_status st = look_into(file, "tokenizer_config.json", out, len, err);
    if (st == WM_OK && !*out)
        st = look_into(file, "chat_template.json", out, len, err);
    return st;
}

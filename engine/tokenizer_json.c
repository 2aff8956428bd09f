/* tokenizer_json.c -- a tokenizer from Hugging Face's tokenizer.json.
 *
 * The format describes a pipeline of many possible parts; ours is one of them: no normalizer, a pre-tokenizer that we
 * know by its text, byte-level BPE. What asks for anything else is refused by name. The decoder and the
 * post-processor say what follows from that (bytes of the tokens one behind the other; a begin token, which the chat
 * format places), so they are not read.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tokenizer_parts.h"

/* What stands at an id, borrowed from the JSON. */
struct entry {
    const char *text; /* NULL: nothing */
    size_t len;
    enum wm_token_kind kind;
};

static bool is_type(const json_t *part, const char *type)
{
    const char *is = json_string_value(json_object_get(part, "type"));
    return is && strcmp(is, type) == 0;
}

/* --- which pipeline --------------------------------------------------------------------------------------- */

/* A ByteLevel step; does it split with GPT-2's expression itself? */
static bool is_byte_level(const json_t *step, bool splits)
{
    const json_t *regex = json_object_get(step, "use_regex");
    return is_type(step, "ByteLevel") && !json_is_true(json_object_get(step, "add_prefix_space")) &&
           splits == !json_is_false(regex); /* older files do not say, and split */
}

static const struct wm_pretokenizer *rule_of(const json_t *pre)
{
    static const char gpt2[] = "gpt-2", smollm[] = "smollm";
    if (is_byte_level(pre, true))
        return wm_pretokenizer_find(gpt2, strlen(gpt2));
    const json_t *steps = json_object_get(pre, "pretokenizers");
    const json_t *first = json_array_get(steps, 0), *second = json_array_get(steps, 1);
    if (!is_type(pre, "Sequence") || json_array_size(steps) != 2)
        return NULL;
    if (is_type(first, "Digits") && json_is_true(json_object_get(first, "individual_digits")) &&
        is_byte_level(second, true))
        return wm_pretokenizer_find(smollm, strlen(smollm));
    const char *behavior = json_string_value(json_object_get(first, "behavior"));
    const char *regex = json_string_value(json_object_get(json_object_get(first, "pattern"), "Regex"));
    if (is_type(first, "Split") && regex && behavior && strcmp(behavior, "Isolated") == 0 &&
        !json_is_true(json_object_get(first, "invert")) && is_byte_level(second, false))
        return wm_pretokenizer_for(regex);
    return NULL;
}

static bool is_set(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return v && !json_is_null(v) && !json_is_false(v) && !(json_is_string(v) && json_string_length(v) == 0);
}

static enum wm_status read_pipeline(struct wm_tokenizer *t, const char *name, const json_t *root,
                                    const json_t *model, struct wm_error *err)
{
    static const char *const refused[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                          "byte_fallback"};
    if (!is_type(model, "BPE") && is_set(model, "type"))
        return wm_fail(err, WM_EUNSUPPORTED,
                       "%s: model.type must be \"BPE\" (byte-level BPE), the only kind this build has", name);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (is_set(model, refused[i]))
            return wm_fail(err, WM_EUNSUPPORTED, "%s: model.%s is set, and this build does without", name,
                           refused[i]);
    if (is_set(root, "normalizer"))
        return wm_fail(err, WM_EUNSUPPORTED, "%s: it has a normalizer, and this build takes text as it is",
                       name);
    t->pre = rule_of(json_object_get(root, "pre_tokenizer"));
    if (!t->pre)
        return wm_fail(err, WM_EUNSUPPORTED,
                       "%s: its pre_tokenizer splits text by a rule this build does not know; it knows %s",
                       name, wm_pretokenizer_names());
    t->whole_pieces_first = json_is_true(json_object_get(model, "ignore_merges"));
    return WM_OK;
}

/* --- tokens ----------------------------------------------------------------------------------------------- */

/* An id within the limit, or -1. */
static int32_t id_of(const json_t *value)
{
    json_int_t id = json_integer_value(value);
    return json_is_integer(value) && id >= 0 && id < WM_TOKENIZER_MAX ? (int32_t)id : -1;
}

/* Places a token. An added token may stand in the vocabulary too, with the same id; two others may not share one. */
static enum wm_status place(struct entry *entries, const char *name, int32_t id, struct entry entry,
                            struct wm_error *err)
{
    if (id < 0 || entry.len == 0 || entry.len > WM_TOKEN_BYTES_MAX)
        return wm_fail(
            err, WM_EFORMAT,
            "%s: a token of %zu bytes with the id %d: ids are whole numbers below %d, texts have 1 to %d "
            "bytes",
            name, entry.len, id, WM_TOKENIZER_MAX, WM_TOKEN_BYTES_MAX);
    if (entries[id].text && entry.kind == WM_TOKEN_NORMAL)
        return wm_fail(err, WM_EFORMAT, "%s: two tokens have the id %d", name, id);
    entries[id] = entry;
    return WM_OK;
}

static enum wm_status add_all(struct wm_tokenizer *t, const char *name, const struct entry *entries,
                              int32_t size, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    for (int32_t id = 0; id < size && st == WM_OK; id++) {
        const struct entry *e = &entries[id];
        st = e->text ? wm_vocabulary_add(t, e->text, e->len, e->kind, e->kind == WM_TOKEN_NORMAL)
                     : wm_vocabulary_add(t, "", 0, WM_TOKEN_UNUSED, false);
    }
    if (st == WM_OK)
        st = wm_vocabulary_index(t);
    return st == WM_OK
               ? st
               : wm_fail(err, st, "%s: no memory for %d tokens, or their texts are too long", name, size);
}

static int32_t size_of(json_t *vocabulary, const json_t *added)
{
    const char *text;
    json_t *value;
    size_t i;
    int32_t size = 0;
    json_object_foreach(vocabulary, text, value) size = id_of(value) >= size ? id_of(value) + 1 : size;
    json_array_foreach(added, i, value)
    {
        int32_t id = id_of(json_object_get(value, "id"));
        size = id >= size ? id + 1 : size;
    }
    return size;
}

static enum wm_status read_tokens(struct wm_tokenizer *t, const char *name, const json_t *root,
                                  const json_t *model, struct wm_error *err)
{
    json_t *vocabulary = json_object_get(model, "vocab");
    const json_t *added = json_object_get(root, "added_tokens");
    const char *text;
    json_t *value;
    size_t i;
    if (!json_is_object(vocabulary))
        return wm_fail(err, WM_EFORMAT, "%s: model.vocab must be an object of tokens and ids", name);
    int32_t size = size_of(vocabulary, added);
    struct entry *entries = calloc((size_t)size + 1, sizeof *entries);
    enum wm_status st = entries ? WM_OK : wm_fail(err, WM_ENOMEM, "%s: no memory for %d tokens", name, size);
    json_object_foreach(vocabulary, text, value)
    {
        if (st != WM_OK)
            break;
        st = place(entries, name, id_of(value), (struct entry){text, strlen(text), WM_TOKEN_NORMAL}, err);
    }
    json_array_foreach(added, i, value)
    {
        const json_t *content = json_object_get(value, "content");
        if (st != WM_OK)
            break;
        st = place(entries, name, id_of(json_object_get(value, "id")),
                   (struct entry){json_string_value(content), json_string_length(content),
                                  json_is_true(json_object_get(value, "special")) ? WM_TOKEN_CONTROL
                                                                                  : WM_TOKEN_USER},
                   err);
    }
    if (st == WM_OK)
        st = add_all(t, name, entries, size, err);
    free(entries);
    return st;
}

/* --- merges ----------------------------------------------------------------------------------------------- */

/* "left right", or ["left", "right"]. */
static enum wm_status read_merge(struct wm_tokenizer *t, const json_t *merge, int32_t rank)
{
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    const char *text = json_string_value(merge);
    size_t len = json_string_length(merge);
    if (json_is_string(left) && json_is_string(right) && json_array_size(merge) == 2)
        return wm_vocabulary_merge(t, json_string_value(left), json_string_length(left),
                                   json_string_value(right), json_string_length(right), rank);
    const char *space = len ? memchr(text + 1, ' ', len - 1) : NULL;
    return space ? wm_vocabulary_merge(t, text, (size_t)(space - text), space + 1,
                                       len - (size_t)(space + 1 - text), rank)
                 : WM_EFORMAT;
}

static enum wm_status read_merges(struct wm_tokenizer *t, const char *name, const json_t *merges,
                                  struct wm_error *err)
{
    if (!json_is_array(merges) || json_array_size(merges) > WM_MERGES_MAX)
        return wm_fail(err, WM_EFORMAT, "%s: model.merges must be a list, of at most %d", name,
                       WM_MERGES_MAX);
    for (size_t i = 0; i < json_array_size(merges); i++) {
        enum wm_status st = read_merge(t, json_array_get(merges, i), (int32_t)i);
        if (st == WM_EFORMAT)
            return wm_fail(err, st, "%s: model.merges: number %zu does not join two tokens into a third",
                           name, i);
        if (st != WM_OK)
            return wm_fail(err, st, "%s: no memory for its merges", name);
    }
    return WM_OK;
}

enum wm_status wm_tokenizer_read_json(struct wm_tokenizer *t, const char *name, const char *bytes, size_t len,
                                      struct wm_error *err)
{
    json_error_t where;
    json_t *root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &where);
    const json_t *model = json_object_get(root, "model");
    enum wm_status st = WM_OK;
    if (!root)
        st = wm_fail(err, WM_EFORMAT, "%s: not JSON: %s (line %d, column %d)", name, where.text, where.line,
                     where.column);
    else if (!json_is_object(model))
        st = wm_fail(err, WM_EFORMAT, "%s: \"model\" is missing: not a tokenizer.json", name);
    if (st == WM_OK)
        st = read_pipeline(t, name, root, model, err);
    if (st == WM_OK)
        st = read_tokens(t, name, root, model, err);
    if (st == WM_OK)
        st = read_merges(t, name, json_object_get(model, "merges"), err);
    json_decref(root);
    return st;
}

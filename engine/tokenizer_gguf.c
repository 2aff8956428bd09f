/* tokenizer_gguf.c -- a tokenizer from the keys tokenizer.ggml.* of a GGUF file.
 *
 * Files of the architecture llama4 are cut by Llama 4's rule whatever tokenizer.ggml.pre says: some converters write
 * "default" there, which silently gives a tenth more tokens (source: ollama issue 17698). Where the merges are
 * missing, ids are ranks.
 */
#include <string.h>

#include "engine/tokenizer_parts.h"

static bool is_text(const struct wm_meta *m, const char *text)
{
    return m && m->kind == WM_META_STRING && m->string.len == strlen(text) &&
           memcmp(m->string.bytes, text, m->string.len) == 0;
}

static const struct wm_meta *array_of(const struct wm_model_file *file, const char *key, enum wm_meta_kind of,
                                      uint64_t max, enum wm_status *st, struct wm_error *err)
{
    const struct wm_meta *m = wm_model_file_meta(file, key);
    if (!m || m->kind != WM_META_ARRAY || m->array.of != of || m->array.count > max) {
        *st = wm_fail(err, WM_EFORMAT, "%s: key %s must be an array of %s, at most %llu",
                      wm_model_file_name(file), key, of == WM_META_STRING ? "strings" : "whole numbers",
                      (unsigned long long)max);
        return NULL;
    }
    return m;
}

static enum wm_status read_rule(struct wm_tokenizer *t, const struct wm_model_file *file, bool llama4,
                                struct wm_error *err)
{
    static const char meta[] = "llama4";
    const struct wm_meta *pre = wm_model_file_meta(file, "tokenizer.ggml.pre");
    if (!is_text(wm_model_file_meta(file, "tokenizer.ggml.model"), "gpt2"))
        return wm_fail(
            err, WM_EUNSUPPORTED,
            "%s: key tokenizer.ggml.model must be \"gpt2\" (byte-level BPE), the only kind this build has",
            wm_model_file_name(file));
    if (llama4)
        t->pre = wm_pretokenizer_find(meta, strlen(meta));
    else if (pre && pre->kind == WM_META_STRING)
        t->pre = wm_pretokenizer_find(pre->string.bytes, pre->string.len);
    if (!t->pre)
        return wm_fail(err, WM_EUNSUPPORTED, "%s: key tokenizer.ggml.pre is %s; this build splits text as %s",
                       wm_model_file_name(file), pre ? "of another tokenizer" : "missing",
                       wm_pretokenizer_names());
    t->whole_pieces_first = t->pre->whole_pieces_first;
    return WM_OK;
}

static enum wm_status read_tokens(struct wm_tokenizer *t, const struct wm_model_file *file,
                                  struct wm_error *err)
{
    enum wm_status st = WM_OK;
    const struct wm_meta *tokens =
        array_of(file, "tokenizer.ggml.tokens", WM_META_STRING, WM_TOKENIZER_MAX, &st, err);
    const struct wm_meta *kinds = NULL;
    if (!tokens)
        return st;
    if (wm_model_file_meta(file, "tokenizer.ggml.token_type")) {
        kinds = array_of(file, "tokenizer.ggml.token_type", WM_META_INT, WM_TOKENIZER_MAX, &st, err);
        if (!kinds)
            return st;
        if (kinds->array.count != tokens->array.count)
            return wm_fail(err, WM_EFORMAT, "%s: %llu tokens, but %llu token types", wm_model_file_name(file),
                           (unsigned long long)tokens->array.count, (unsigned long long)kinds->array.count);
    }
    const uint8_t *at = tokens->array.data;
    const char *bytes;
    size_t len;
    while (wm_meta_next_string(tokens, &at, &bytes, &len)) {
        int64_t kind = kinds ? wm_meta_array_int(kinds, (uint64_t)t->size) : WM_TOKEN_NORMAL;
        if (len == 0 || len > WM_TOKEN_BYTES_MAX || kind < WM_TOKEN_NORMAL || kind > WM_TOKEN_BYTE)
            return wm_fail(err, WM_EFORMAT, "%s: token %d has %zu bytes and type %lld",
                           wm_model_file_name(file), t->size, len, (long long)kind);
        st = wm_vocabulary_add(t, bytes, len, (enum wm_token_kind)kind, kind == WM_TOKEN_NORMAL);
        if (st != WM_OK)
            return wm_fail(err, st, "%s: no memory for %llu tokens, or their texts are too long",
                           wm_model_file_name(file), (unsigned long long)tokens->array.count);
    }
    st = wm_vocabulary_index(t);
    return st == WM_OK ? st : wm_fail(err, st, "%s: no memory to index the tokens", wm_model_file_name(file));
}

/* "left right", both in the byte alphabet, which has no space. */
static enum wm_status read_merge(struct wm_tokenizer *t, const char *text, size_t len, int32_t rank)
{
    const char *space = len && len <= 4 * WM_TOKEN_BYTES_MAX ? memchr(text + 1, ' ', len - 1) : NULL;
    return space ? wm_vocabulary_merge(t, text, (size_t)(space - text), space + 1,
                                       len - (size_t)(space + 1 - text), rank)
                 : WM_EFORMAT;
}

static enum wm_status read_merges(struct wm_tokenizer *t, const struct wm_model_file *file,
                                  struct wm_error *err)
{
    enum wm_status st = WM_OK;
    const struct wm_meta *merges =
        array_of(file, "tokenizer.ggml.merges", WM_META_STRING, WM_MERGES_MAX, &st, err);
    if (!merges)
        return st;
    const uint8_t *at = merges->array.data;
    const char *bytes;
    size_t len;
    for (int32_t rank = 0; wm_meta_next_string(merges, &at, &bytes, &len); rank++) {
        st = read_merge(t, bytes, len, rank);
        if (st == WM_EFORMAT)
            return wm_fail(err, st, "%s: merge %d does not join two tokens into a third",
                           wm_model_file_name(file), rank);
        if (st != WM_OK)
            return wm_fail(err, st, "%s: no memory for its merges", wm_model_file_name(file));
    }
    return WM_OK;
}

static enum wm_status read_stops(struct wm_tokenizer *t, const struct wm_model_file *file,
                                 struct wm_error *err)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t id;
        if (!wm_model_file_meta(file, keys[i]))
            continue;
        enum wm_status st = wm_model_file_int(file, keys[i], 0, t->size - 1, 0, &id, err);
        if (st != WM_OK)
            return st;
        wm_tokenizer_add_stop(t, (int32_t)id);
    }
    return WM_OK;
}

enum wm_status wm_tokenizer_read_gguf(struct wm_tokenizer *t, const struct wm_model_file *file,
                                      struct wm_error *err)
{
    bool llama4 = is_text(wm_model_file_meta(file, "general.architecture"), "llama4");
    enum wm_status st = read_rule(t, file, llama4, err);
    if (st == WM_OK)
        st = read_tokens(t, file, err);
    if (st == WM_OK && llama4 && !wm_model_file_meta(file, "tokenizer.ggml.merges")) {
        st = wm_vocabulary_merge_by_rank(t);
        if (st != WM_OK)
            wm_fail(err, st, "%s: no memory for its merges", wm_model_file_name(file));
    } else if (st == WM_OK)
        st = read_merges(t, file, err);
    return st == WM_OK ? read_stops(t, file, err) : st;
}

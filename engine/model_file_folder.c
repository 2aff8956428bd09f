/* model_file_folder.c -- a Hugging Face folder: model.safetensors, or the shards that
 * model.safetensors.index.json lists, beside the documents that describe the model.
 *
 * The index says which file holds which tensor. It is checked both ways: each tensor that it names must be in
 * that file, so that a shard of another download is seen here and not in the answers; a tensor that it does
 * not name is left to wm_parts_check.
 *
 * LIMITS  64 MB for a document and for the index, WM_FILE_MAX_PIECES shards, which lie in the folder itself.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_file_parts.h"

enum { MAX_DOCUMENT = 64 << 20, MAX_FILE_NAME = 255 };

static const char one_file[] = "model.safetensors", index_file[] = "model.safetensors.index.json";

static const char *const documents[] = {
    "config.json",         "generation_config.json",  "preprocessor_config.json",
    "tokenizer.json",      "tokenizer_config.json",   "tokenizer.model",
    "chat_template.jinja", "special_tokens_map.json", "chat_template.json",
};
enum { DOCUMENTS = sizeof documents / sizeof *documents };

static enum wm_status open_documents(struct wm_model_file *f, const struct wm_source *source,
                                     struct wm_error *err)
{
    f->documents = calloc(DOCUMENTS, sizeof *f->documents);
    if (!f->documents)
        return wm_fail(err, WM_ENOMEM, "%s: no memory to open it", f->name);
    for (size_t i = 0; i < DOCUMENTS; i++) {
        struct wm_error why = WM_ERROR_INIT;
        enum wm_status st =
            wm_piece_open(source, documents[i], MAX_DOCUMENT, &f->documents[f->n_documents], &why);
        if (st != WM_OK && st != WM_ENOENT)
            return wm_fail(err, st, "%s", why.text);
        f->n_documents += st == WM_OK;
    }
    return WM_OK;
}

static enum wm_status read_shard(struct wm_model_file *f, const struct wm_source *source, const char *name,
                                 struct wm_error *err)
{
    struct wm_piece piece;
    const struct wm_piece *kept = NULL;
    struct wm_contents c = {0};
    enum wm_status st = wm_piece_open(source, name, UINT64_MAX, &piece, err);
    if (st == WM_OK)
        st = wm_model_file_keep(f, &piece, &kept, err);
    if (st == WM_OK)
        st = wm_safetensors_read(kept, &c, err);
    if (st == WM_OK)
        st = wm_contents_add_tensors(&f->contents, &c, err);
    wm_contents_free(&c);
    return st;
}

/* --- the index ------------------------------------------------------------------------------------------ */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file of this folder and nothing else: no path, nothing hidden, nothing that would not fit a sentence. */
static bool is_plain_name(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (name[i] < ' ' || name[i] > '~' || name[i] == '/')
            return false;
    return len > 0 && len <= MAX_FILE_NAME && name[0] != '.';
}

/* The names of the files in the map, each once, sorted. They belong to `map`; the caller frees the list. */
static enum wm_status list_shards(const struct wm_model_file *f, json_t *map, const char ***out,
                                  size_t *count, struct wm_error *err)
{
    const char *tensor;
    json_t *value;
    size_t n = 0, total = json_object_size(map);
    if (total == 0 || total > WM_FILE_MAX_TENSORS)
        return wm_fail(err, WM_EFORMAT, "%s: %s: weight_map must be an object of 1 to %d tensors", f->name,
                       index_file, WM_FILE_MAX_TENSORS);
    const char **names = calloc(total, sizeof *names);
    if (!names)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for its index", f->name);
    *out = names;
    json_object_foreach(map, tensor, value)
    {
        names[n] = json_string_value(value);
        if (!names[n] || !is_plain_name(names[n]))
            return wm_fail(err, WM_EFORMAT,
                           "%s: %s: the file of each tensor must be the plain name of a file in this folder",
                           f->name, index_file);
        n++;
    }
    qsort(names, n, sizeof *names, by_text);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            names[(*count)++] = names[i];
    return *count <= WM_FILE_MAX_PIECES
               ? WM_OK
               : wm_fail(err, WM_ELIMIT, "%s: %s lists %zu files, at most %d are opened", f->name, index_file,
                         *count, WM_FILE_MAX_PIECES);
}

/* Each tensor of the map is in the file that the map names; the contents are sorted. */
static enum wm_status check_map(const struct wm_model_file *f, json_t *map, struct wm_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(map, name, value)
    {
        const char *want = json_string_value(value);
        const struct wm_tensor *t = wm_model_file_tensor(f, name);
        if (!t || !wm_is_file(t->file, want))
            return wm_fail(err, WM_EFORMAT,
                           "%s: %s says that %.80s holds tensor %.200s, but it does not: the files belong to "
                           "different models, or one was not fetched whole",
                           f->name, index_file, want, name);
    }
    return WM_OK;
}

static enum wm_status read_shards(struct wm_model_file *f, const struct wm_source *source, json_t *map,
                                  struct wm_error *err)
{
    const char **names = NULL;
    size_t count = 0;
    enum wm_status st = list_shards(f, map, &names, &count, err);
    for (size_t i = 0; i < count && st == WM_OK; i++)
        st = read_shard(f, source, names[i], err);
    free(names);
    snprintf(f->form, sizeof f->form, "safetensors, %zu files", count);
    if (st == WM_OK)
        st = wm_contents_index(&f->contents, f->name, err);
    return st == WM_OK ? check_map(f, map, err) : st;
}

/* --- the folder ----------------------------------------------------------------------------------------- */

/* WM_ENOENT: there is no index. */
static enum wm_status load_index(const struct wm_source *source, json_t **out, struct wm_error *err)
{
    struct wm_piece piece;
    json_error_t why;
    enum wm_status st = wm_piece_open(source, index_file, MAX_DOCUMENT, &piece, err);
    if (st != WM_OK)
        return st;
    *out = json_loadb((const char *)piece.bytes, piece.len, JSON_REJECT_DUPLICATES, &why);
    if (!*out)
        st = wm_fail(err, WM_EFORMAT, "%s: line %d, column %d: %s", piece.name, why.line, why.column,
                     why.text);
    wm_piece_close(&piece);
    return st;
}

enum wm_status wm_folder_read(struct wm_model_file *f, const struct wm_source *source, struct wm_error *err)
{
    struct wm_error none = WM_ERROR_INIT;
    json_t *index = NULL;
    enum wm_status st = open_documents(f, source, err);
    if (st != WM_OK)
        return st;
    st = load_index(source, &index, &none);
    if (st == WM_OK) {
        st = read_shards(f, source, json_object_get(index, "weight_map"), err);
        json_decref(index);
        return st;
    }
    if (st != WM_ENOENT)
        return wm_fail(err, st, "%s", none.text);
    snprintf(f->form, sizeof f->form, "safetensors");
    none = (struct wm_error)WM_ERROR_INIT;
    st = read_shard(f, source, one_file, &none);
    if (st == WM_ENOENT)
        return wm_fail(
            err, WM_ENOENT,
            "model %s: the folder has neither %s nor %s; for a GGUF give the path of the file itself",
            f->name, one_file, index_file);
    return st == WM_OK ? st : wm_fail(err, st, "%s", none.text);
}

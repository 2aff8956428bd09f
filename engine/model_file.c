/* model_file.c -- see model_file.h. Lookup, and the checks that every container shares. */
#include "engine/model_file.h"

#include <stdlib.h>
#include <string.h>

#include "engine/model_file_parts.h"

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct wm_meta *)a)->key, ((const struct wm_meta *)b)->key);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct wm_tensor *)a)->name, ((const struct wm_tensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const struct wm_tensor *x = a, *y = b;
    return (x->data > y->data) - (x->data < y->data);
}

bool wm_is_printable(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] <= ' ' || bytes[i] > '~')
            return false;
    return true;
}

bool wm_is_file(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, name) == 0;
}

void wm_contents_by_place(struct wm_contents *c)
{
    if (c->n_tensors)
        qsort(c->tensors, c->n_tensors, sizeof *c->tensors, by_place);
}

enum wm_status wm_contents_index(struct wm_contents *c, const char *name, struct wm_error *err)
{
    if (c->n_metas)
        qsort(c->metas, c->n_metas, sizeof *c->metas, by_key);
    if (c->n_tensors)
        qsort(c->tensors, c->n_tensors, sizeof *c->tensors, by_name);
    for (size_t i = 1; i < c->n_metas; i++)
        if (by_key(&c->metas[i - 1], &c->metas[i]) == 0)
            return wm_fail(err, WM_EFORMAT, "%s: malformed: key %s comes twice: which one was meant?", name,
                           c->metas[i].key);
    for (size_t i = 1; i < c->n_tensors; i++)
        if (by_name(&c->tensors[i - 1], &c->tensors[i]) == 0)
            return wm_fail(err, WM_EFORMAT, "%s: malformed: tensor %s comes twice: which one was meant?",
                           name, c->tensors[i].name);
    return WM_OK;
}

void wm_contents_free(struct wm_contents *c)
{
    for (size_t i = 0; i < c->n_metas; i++)
        free((char *)c->metas[i].key);
    for (size_t i = 0; i < c->n_tensors; i++)
        free((char *)c->tensors[i].name);
    free(c->metas);
    free(c->tensors);
    *c = (struct wm_contents){0};
}

enum wm_status wm_contents_add_tensors(struct wm_contents *to, struct wm_contents *from, struct wm_error *err)
{
    size_t n = to->n_tensors + from->n_tensors;
    if (n > WM_FILE_MAX_TENSORS)
        return wm_fail(err, WM_ELIMIT, "its files hold %zu tensors, at most %d are read", n,
                       WM_FILE_MAX_TENSORS);
    struct wm_tensor *all = realloc(to->tensors, (n + 1) * sizeof *all);
    if (!all)
        return wm_fail(err, WM_ENOMEM, "no memory for %zu tensors", n);
    to->tensors = all;
    if (from->n_tensors)
        memcpy(all + to->n_tensors, from->tensors, from->n_tensors * sizeof *all);
    to->n_tensors = n;
    from->n_tensors = 0; /* their names have moved */
    wm_contents_free(from);
    return WM_OK;
}

void wm_model_file_close(struct wm_model_file *f)
{
    if (!f)
        return;
    wm_contents_free(&f->contents);
    for (size_t i = 0; i < f->n_pieces; i++)
        wm_piece_close(&f->pieces[i]);
    for (size_t i = 0; i < f->n_documents; i++)
        wm_piece_close(&f->documents[i]);
    free(f->pieces);
    free(f->documents);
    free(f->name);
    free(f);
}

const char *wm_model_file_name(const struct wm_model_file *f)
{
    return f->name;
}

const char *wm_model_file_form(const struct wm_model_file *f)
{
    return f->form;
}

bool wm_model_file_is_gguf(const struct wm_model_file *f)
{
    return strncmp(f->form, "GGUF", 4) == 0;
}

uint64_t wm_model_file_bytes(const struct wm_model_file *f)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < f->n_pieces; i++)
        bytes += f->pieces[i].len;
    return bytes;
}

bool wm_model_file_document(const struct wm_model_file *f, const char *name, const char **bytes, size_t *len)
{
    for (size_t i = 0; i < f->n_documents; i++) {
        const struct wm_piece *d = &f->documents[i];
        if (!wm_is_file(d->name, name))
            continue;
        *bytes = (const char *)d->bytes;
        *len = d->len;
        return true;
    }
    return false;
}

/* --- metadata ------------------------------------------------------------------------------------------- */

size_t wm_model_file_metas(const struct wm_model_file *f)
{
    return f->contents.n_metas;
}

const struct wm_meta *wm_model_file_meta_at(const struct wm_model_file *f, size_t i)
{
    return i < f->contents.n_metas ? &f->contents.metas[i] : NULL;
}

const struct wm_meta *wm_model_file_meta(const struct wm_model_file *f, const char *key)
{
    const struct wm_contents *c = &f->contents;
    return c->n_metas ? bsearch(&(struct wm_meta){.key = key}, c->metas, c->n_metas, sizeof *c->metas, by_key)
                      : NULL;
}

enum wm_status wm_model_file_int(const struct wm_model_file *f, const char *key, int64_t min, int64_t max,
                                 int64_t fallback, int64_t *out, struct wm_error *err)
{
    const struct wm_meta *m = wm_model_file_meta(f, key);
    if (m && m->kind != WM_META_INT)
        return wm_fail(err, WM_EFORMAT, "%s: key %s must be a whole number", f->name, key);
    int64_t v = m ? m->integer : fallback;
    if (v < min || v > max)
        return m ? wm_fail(err, WM_EFORMAT, "%s: key %s is %lld, it must be %lld to %lld", f->name, key,
                           (long long)v, (long long)min, (long long)max)
                 : wm_fail(err, WM_EFORMAT, "%s: key %s is missing", f->name, key);
    *out = v;
    return WM_OK;
}

enum wm_status wm_model_file_float(const struct wm_model_file *f, const char *key, double min, double max,
                                   double fallback, double *out, struct wm_error *err)
{
    const struct wm_meta *m = wm_model_file_meta(f, key);
    if (m && m->kind != WM_META_FLOAT && m->kind != WM_META_INT)
        return wm_fail(err, WM_EFORMAT, "%s: key %s must be a number", f->name, key);
    double v = !m ? fallback : m->kind == WM_META_INT ? (double)m->integer : m->real;
    if (!(v >= min && v <= max)) /* NaN fails too */
        return m ? wm_fail(err, WM_EFORMAT, "%s: key %s is %g, it must be %g to %g", f->name, key, v, min,
                           max)
                 : wm_fail(err, WM_EFORMAT, "%s: key %s is missing", f->name, key);
    *out = v;
    return WM_OK;
}

enum wm_status wm_model_file_bool(const struct wm_model_file *f, const char *key, bool fallback, bool *out,
                                  struct wm_error *err)
{
    const struct wm_meta *m = wm_model_file_meta(f, key);
    if (m && m->kind != WM_META_BOOL)
        return wm_fail(err, WM_EFORMAT, "%s: key %s must be true or false", f->name, key);
    *out = m ? m->integer != 0 : fallback;
    return WM_OK;
}

enum wm_status wm_model_file_text(const struct wm_model_file *f, const char *key, const char **bytes,
                                  size_t *len, struct wm_error *err)
{
    const struct wm_meta *m = wm_model_file_meta(f, key);
    if (m && m->kind != WM_META_STRING)
        return wm_fail(err, WM_EFORMAT, "%s: key %s must be a text", f->name, key);
    *bytes = m ? m->string.bytes : NULL;
    *len = m ? m->string.len : 0;
    return WM_OK;
}

bool wm_meta_next_string(const struct wm_meta *meta, const uint8_t **at, const char **bytes, size_t *len)
{
    if (*at >= meta->array.end)
        return false;
    wm_gguf_step_string(at, bytes, len);
    return true;
}

int64_t wm_meta_array_int(const struct wm_meta *meta, uint64_t i)
{
    return wm_gguf_scalar_int(meta->array.element,
                              meta->array.data + i * wm_gguf_scalar_bytes(meta->array.element));
}

double wm_meta_array_float(const struct wm_meta *meta, uint64_t i)
{
    return wm_gguf_scalar_float(meta->array.element,
                                meta->array.data + i * wm_gguf_scalar_bytes(meta->array.element));
}

/* --- tensors -------------------------------------------------------------------------------------------- */

const char *wm_tensor_type_name(uint32_t type)
{
    const struct wm_type_info *info = wm_type_info(type);
    switch (type) {
#define X(id, number, name, bytes)                                                                           \
    case number:                                                                                             \
        return name;
        WM_PLAIN_TYPES(X)
#undef X
    default:
        return info ? info->name : NULL;
    }
}

size_t wm_model_file_tensors(const struct wm_model_file *f)
{
    return f->contents.n_tensors;
}

const struct wm_tensor *wm_model_file_tensor_at(const struct wm_model_file *f, size_t i)
{
    return i < f->contents.n_tensors ? &f->contents.tensors[i] : NULL;
}

const struct wm_tensor *wm_model_file_tensor(const struct wm_model_file *f, const char *name)
{
    const struct wm_contents *c = &f->contents;
    return c->n_tensors ? bsearch(&(struct wm_tensor){.name = name}, c->tensors, c->n_tensors,
                                  sizeof *c->tensors, by_name)
                        : NULL;
}

enum wm_status wm_model_file_matrix(const struct wm_model_file *f, const char *name, int64_t rows,
                                    int64_t cols, struct wm_matrix *out, struct wm_error *err)
{
    const struct wm_tensor *t = wm_model_file_tensor(f, name);
    if (!t)
        return wm_fail(err, WM_EFORMAT, "%s: tensor %s is missing", f->name, name);
    if (t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1)
        return wm_fail(err, WM_EFORMAT,
                       "%s: tensor %s is [%lld, %lld, %lld, %lld], the metadata ask for [%lld, %lld]",
                       f->name, name, (long long)t->dims[0], (long long)t->dims[1], (long long)t->dims[2],
                       (long long)t->dims[3], (long long)cols, (long long)rows);
    const struct wm_type_info *info = wm_type_info(t->type);
    if (!info)
        return wm_fail(err, WM_EUNSUPPORTED,
                       "%s: tensor %s has type %u (%s), which this build cannot read; `wingman model info` "
                       "lists the types",
                       f->name, name, t->type,
                       wm_tensor_type_name(t->type) ? wm_tensor_type_name(t->type) : "unknown");
    *out = (struct wm_matrix){
        .data = t->data, .type = info->type, .rows = rows, .cols = cols, .mapped = t->mapped};
    return WM_OK;
}

enum wm_status wm_model_file_vector(const struct wm_model_file *f, const char *name, int64_t n, float *out,
                                    struct wm_error *err)
{
    struct wm_matrix m;
    enum wm_status st = wm_model_file_matrix(f, name, 1, n, &m, err);
    if (st == WM_OK)
        wm_dequantize(m.type, m.data, (size_t)n, out);
    return st;
}

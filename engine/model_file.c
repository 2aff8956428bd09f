/* model_file.c -- see model_file.h. Mapping, lookup, and the checks that every container shares. */
#include "engine/model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/model_file_parts.h"

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct wm_meta *)a)->key, ((const struct wm_meta *)b)->key);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct wm_tensor *)a)->name, ((const struct wm_tensor *)b)->name);
}

/* Sorts, so that lookup is a binary search, and refuses doubles: which one was meant? */
static enum wm_status index_names(struct wm_model_file *f, struct wm_error *err)
{
    qsort(f->metas, f->n_metas, sizeof *f->metas, by_key);
    qsort(f->tensors, f->n_tensors, sizeof *f->tensors, by_name);
    for (size_t i = 1; i < f->n_metas; i++)
        if (by_key(&f->metas[i - 1], &f->metas[i]) == 0)
            return wm_fail(err, WM_EFORMAT, "%s: malformed: key %s comes twice", f->name, f->metas[i].key);
    for (size_t i = 1; i < f->n_tensors; i++)
        if (by_name(&f->tensors[i - 1], &f->tensors[i]) == 0)
            return wm_fail(err, WM_EFORMAT, "%s: malformed: tensor %s comes twice", f->name,
                           f->tensors[i].name);
    return WM_OK;
}

static enum wm_status new_file(const char *name, const void *bytes, size_t len, bool mapped,
                               struct wm_model_file **out, struct wm_error *err)
{
    struct wm_model_file *f = calloc(1, sizeof *f);
    char *copy = strdup(name);
    if (!f || !copy) {
        free(f);
        free(copy);
        if (mapped)
            munmap((void *)bytes, len);
        return wm_fail(err, WM_ENOMEM, "%s: no memory to open it", name);
    }
    f->name = copy;
    f->bytes = bytes;
    f->len = len;
    f->mapped = mapped;
    enum wm_status st = wm_gguf_read(f, err);
    if (st == WM_OK)
        st = index_names(f, err);
    if (st != WM_OK) {
        wm_model_file_close(f);
        return st;
    }
    *out = f;
    return WM_OK;
}

enum wm_status wm_model_file_parse(const char *name, const void *bytes, size_t len,
                                   struct wm_model_file **out, struct wm_error *err)
{
    return new_file(name, bytes, len, false, out, err);
}

enum wm_status wm_model_file_open(const char *path, struct wm_model_file **out, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    void *bytes = MAP_FAILED;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return wm_fail(err, errno == ENOENT ? WM_ENOENT : WM_EIO, "model %s: %s", path, strerror(errno));
    if (fstat(fd, &info) != 0)
        st = wm_fail(err, WM_EIO, "model %s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        st = wm_fail(err, WM_EINVAL, "model %s: not a file; give the path of a GGUF file", path);
    else if (info.st_size == 0)
        st = wm_fail(err, WM_EFORMAT, "model %s: the file is empty", path);
    else if ((bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        st = wm_fail(err, WM_EIO, "model %s: cannot be mapped: %s", path, strerror(errno));
    close(fd);
    return st == WM_OK ? new_file(path, bytes, (size_t)info.st_size, true, out, err) : st;
}

void wm_model_file_close(struct wm_model_file *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n_metas; i++)
        free((char *)f->metas[i].key);
    for (size_t i = 0; i < f->n_tensors; i++)
        free((char *)f->tensors[i].name);
    free(f->metas);
    free(f->tensors);
    if (f->mapped)
        munmap((void *)f->bytes, f->len);
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

uint64_t wm_model_file_bytes(const struct wm_model_file *f)
{
    return f->len;
}

/* --- metadata ------------------------------------------------------------------------------------------------ */

size_t wm_model_file_metas(const struct wm_model_file *f)
{
    return f->n_metas;
}

const struct wm_meta *wm_model_file_meta_at(const struct wm_model_file *f, size_t i)
{
    return i < f->n_metas ? &f->metas[i] : NULL;
}

const struct wm_meta *wm_model_file_meta(const struct wm_model_file *f, const char *key)
{
    return bsearch(&(struct wm_meta){.key = key}, f->metas, f->n_metas, sizeof *f->metas, by_key);
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

/* --- tensors ------------------------------------------------------------------------------------------------- */

size_t wm_model_file_tensors(const struct wm_model_file *f)
{
    return f->n_tensors;
}

const struct wm_tensor *wm_model_file_tensor_at(const struct wm_model_file *f, size_t i)
{
    return i < f->n_tensors ? &f->tensors[i] : NULL;
}

const struct wm_tensor *wm_model_file_tensor(const struct wm_model_file *f, const char *name)
{
    return bsearch(&(struct wm_tensor){.name = name}, f->tensors, f->n_tensors, sizeof *f->tensors, by_name);
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
                       "%s: tensor %s has ggml type %u, which this build cannot read; `wingman model info` "
                       "lists the types",
                       f->name, name, t->type);
    *out = (struct wm_matrix){
        .data = t->data, .type = info->type, .rows = rows, .cols = cols, .mapped = f->mapped};
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

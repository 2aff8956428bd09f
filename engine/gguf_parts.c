/* gguf_parts.c -- a GGUF that was split into several files, each with a head of its own.
 *
 * The parts are named NAME-00001-of-00003.gguf and so on. Each says which one it is (split.no, from 0), how
 * many there are (split.count) and how many tensors all of them hold (split.tensors.count); the first has the
 * metadata of the model. A part that is missing, of another model, or given twice would be a model with other
 * weights: all three keys are checked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_file_parts.h"

enum { TAIL = sizeof "-00001-of-00003.gguf" - 1, DIGITS = 5 };

/* NAME-00001-of-00003.gguf: where the tail begins and how many parts it tells of; false when it is named otherwise. */
static bool read_name(const char *name, size_t *tail, int *count)
{
    size_t len = strlen(name);
    int part;
    if (len <= TAIL)
        return false;
    *tail = len - TAIL;
    const char *t = name + *tail;
    for (int i = 0; i < DIGITS; i++)
        if (t[1 + i] < '0' || t[1 + i] > '9' || t[10 + i] < '0' || t[10 + i] > '9')
            return false;
    return sscanf(t, "-%5d-of-%5d", &part, count) == 2 && strcmp(t + 15, ".gguf") == 0;
}

static enum wm_status part_int(const struct wm_contents *c, const char *file, const char *key, int64_t *out,
                               struct wm_error *err)
{
    for (size_t i = 0; i < c->n_metas; i++)
        if (strcmp(c->metas[i].key, key) == 0 && c->metas[i].kind == WM_META_INT) {
            *out = c->metas[i].integer;
            return WM_OK;
        }
    return wm_fail(err, WM_EFORMAT, "%s: key %s is missing: it is no part of a split model", file, key);
}

/* The key must have that value. */
static enum wm_status expect(const struct wm_contents *c, const char *file, const char *key, int64_t want,
                             struct wm_error *err)
{
    int64_t value = 0;
    enum wm_status st = part_int(c, file, key, &value, err);
    if (st == WM_OK && value != want)
        st = wm_fail(err, WM_EFORMAT,
                     "%s: key %s is %lld where %lld belongs: the part of another model, or renamed", file,
                     key, (long long)value, (long long)want);
    return st;
}

static enum wm_status read_part(struct wm_model_file *f, const struct wm_source *source, const char *name,
                                int no, int count, int64_t *tensors, struct wm_error *err)
{
    struct wm_piece piece;
    const struct wm_piece *kept = NULL;
    struct wm_contents c = {0};
    uint32_t version;
    struct wm_error why = WM_ERROR_INIT;
    enum wm_status st = wm_piece_open(source, name, UINT64_MAX, &piece, &why);
    if (st != WM_OK)
        return wm_fail(err, st, "%s: part %d of %d: %s", f->name, no + 1, count, why.text);
    st = wm_model_file_keep(f, &piece, &kept, err);
    if (st == WM_OK)
        st = wm_gguf_read(kept, &c, &version, err);
    if (st == WM_OK)
        st = expect(&c, kept->name, "split.no", no, err);
    if (st == WM_OK)
        st = expect(&c, kept->name, "split.count", count, err);
    if (st == WM_OK)
        st = no == 0 ? part_int(&c, kept->name, "split.tensors.count", tensors, err)
                     : expect(&c, kept->name, "split.tensors.count", *tensors, err);
    if (st == WM_OK && no == 0) { /* its metadata are the model's */
        f->contents = c;
        return WM_OK;
    }
    if (st == WM_OK)
        st = wm_contents_add_tensors(&f->contents, &c, err);
    wm_contents_free(&c);
    return st;
}

enum wm_status wm_gguf_read_parts(struct wm_model_file *f, const struct wm_source *source, const char *name,
                                  struct wm_error *err)
{
    size_t tail = 0;
    int count = 0;
    int64_t tensors = 0;
    if (!read_name(name, &tail, &count) || count < 1 || count > WM_FILE_MAX_PIECES)
        return wm_fail(
            err, WM_EFORMAT,
            "%s: a part of a split model, but not named like one: give it back its name, which ends "
            "in -00001-of-00003.gguf or the like",
            f->name);
    char *part = malloc(strlen(name) + 1);
    if (!part)
        return wm_fail(err, WM_ENOMEM, "%s: no memory to open %d parts", f->name, count);
    enum wm_status st = WM_OK;
    for (int no = 0; no < count && st == WM_OK; no++) {
        snprintf(part, strlen(name) + 1, "%.*s-%05d-of-%05d.gguf", (int)tail, name, no + 1, count);
        st = read_part(f, source, part, no, count, &tensors, err);
    }
    free(part);
    if (st == WM_OK && (int64_t)f->contents.n_tensors != tensors)
        st = wm_fail(err, WM_EFORMAT, "%s: its %d parts hold %zu tensors, split.tensors.count says %lld",
                     f->name, count, f->contents.n_tensors, (long long)tensors);
    return st;
}

/* model_file_open.c -- from a path to the bytes: mapping the files of a model and choosing their reader.
 *
 * The mappings are private and read-only, and nothing is advised: heads are read once from front to back,
 * weights either whole and in order (packing) or row by row (a face that computes in place), and the kernel's
 * own read-ahead serves both. What lies behind the heads is not touched here, so a model of 400 GB opens as
 * fast as a small one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/model_file_parts.h"

/* --- pieces --------------------------------------------------------------------------------------------- */

static enum wm_status map(int fd, const char *path, uint64_t max, struct wm_piece *out, struct wm_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return wm_fail(err, WM_EIO, "model %s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return wm_fail(err, WM_EINVAL, "model %s: neither a file nor a folder", path);
    if (info.st_size == 0)
        return wm_fail(err, WM_EFORMAT, "model %s: the file is empty", path);
    if ((uint64_t)info.st_size > max)
        return wm_fail(err, WM_ELIMIT, "model %s: %lld bytes, at most %llu are read of such a file", path,
                       (long long)info.st_size, (unsigned long long)max);
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return wm_fail(err, WM_EIO, "model %s: cannot be mapped: %s", path, strerror(errno));
    *out = (struct wm_piece){.bytes = bytes, .len = (size_t)info.st_size, .mapped = true};
    return WM_OK;
}

static enum wm_status open_on_disk(const char *folder, const char *name, uint64_t max, struct wm_piece *out,
                                   struct wm_error *err)
{
    char *path;
    if (asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0)
        return wm_fail(err, WM_ENOMEM, "model %s: no memory to open it", name);
    enum wm_status st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold us */
    if (fd < 0)
        st = wm_fail(err, errno == ENOENT ? WM_ENOENT : WM_EIO, "model %s: %s", path, strerror(errno));
    else
        st = map(fd, path, max, out, err);
    if (fd >= 0)
        close(fd);
    if (st == WM_OK)
        out->name = path;
    else
        free(path);
    return st;
}

static enum wm_status open_in_memory(const struct wm_source *source, const char *name, uint64_t max,
                                     struct wm_piece *out, struct wm_error *err)
{
    const struct wm_model_member *m = source->members;
    size_t i = 0;
    while (i < source->count && strcmp(m[i].name, name) != 0)
        i++;
    if (i == source->count)
        return wm_fail(err, WM_ENOENT, "model %s: no such file", name);
    if (m[i].len > max)
        return wm_fail(err, WM_ELIMIT, "model %s: %zu bytes, at most %llu are read of such a file", name,
                       m[i].len, (unsigned long long)max);
    char *copy = strdup(name);
    if (!copy)
        return wm_fail(err, WM_ENOMEM, "model %s: no memory to open it", name);
    *out = (struct wm_piece){.name = copy, .bytes = m[i].bytes, .len = m[i].len};
    return WM_OK;
}

enum wm_status wm_piece_open(const struct wm_source *source, const char *name, uint64_t max,
                             struct wm_piece *out, struct wm_error *err)
{
    return source->folder ? open_on_disk(source->folder, name, max, out, err)
                          : open_in_memory(source, name, max, out, err);
}

void wm_piece_close(struct wm_piece *p)
{
    if (p->mapped)
        munmap((void *)p->bytes, p->len);
    free(p->name);
    *p = (struct wm_piece){0};
}

enum wm_status wm_model_file_keep(struct wm_model_file *f, struct wm_piece *piece,
                                  const struct wm_piece **kept, struct wm_error *err)
{
    struct wm_piece *more = realloc(f->pieces, (f->n_pieces + 1) * sizeof *more);
    if (!more) {
        wm_piece_close(piece);
        return wm_fail(err, WM_ENOMEM, "%s: no memory for %zu files", f->name, f->n_pieces + 1);
    }
    f->pieces = more;
    f->pieces[f->n_pieces] = *piece;
    *kept = &f->pieces[f->n_pieces++];
    *piece = (struct wm_piece){0};
    return WM_OK;
}

/* --- models --------------------------------------------------------------------------------------------- */

/* "split.count" of what was read, 1 when it is not split. */
static enum wm_status count_splits(const struct wm_contents *c, const char *name, int64_t *count,
                                   struct wm_error *err)
{
    *count = 1;
    for (size_t i = 0; i < c->n_metas; i++)
        if (strcmp(c->metas[i].key, "split.count") == 0) {
            if (c->metas[i].kind != WM_META_INT || c->metas[i].integer < 0 ||
                c->metas[i].integer > WM_FILE_MAX_PIECES)
                return wm_fail(err, WM_EFORMAT, "%s: key split.count must be a number up to %d", name,
                               WM_FILE_MAX_PIECES);
            *count = c->metas[i].integer;
        }
    return WM_OK;
}

/* By its name, or by the brace where its header would begin. */
static bool is_safetensors(const struct wm_piece *p)
{
    static const char end[] = ".safetensors";
    size_t n = strlen(p->name), len = sizeof end - 1;
    if (p->len >= 4 && memcmp(p->bytes, "GGUF", 4) == 0)
        return false;
    return (n > len && strcmp(p->name + n - len, end) == 0) || (p->len > 8 && p->bytes[8] == '{');
}

static enum wm_status read_gguf(struct wm_model_file *f, const struct wm_source *source, const char *name,
                                const struct wm_piece *piece, struct wm_error *err)
{
    uint32_t version = 0;
    int64_t splits = 1;
    enum wm_status st = wm_gguf_read(piece, &f->contents, &version, err);
    if (st == WM_OK)
        st = count_splits(&f->contents, piece->name, &splits, err);
    snprintf(f->form, sizeof f->form, "GGUF %u", version);
    if (st != WM_OK || splits <= 1)
        return st;
    snprintf(f->form, sizeof f->form, "GGUF %u, %lld files", version, (long long)splits);
    wm_contents_free(&f->contents);
    wm_piece_close(&f->pieces[--f->n_pieces]); /* all of them are opened in order */
    return wm_gguf_read_parts(f, source, name, err);
}

static enum wm_status read_file(struct wm_model_file *f, const struct wm_source *source, const char *name,
                                struct wm_error *err)
{
    struct wm_piece piece;
    const struct wm_piece *kept = NULL;
    enum wm_status st = wm_piece_open(source, name, UINT64_MAX, &piece, err);
    if (st == WM_OK)
        st = wm_model_file_keep(f, &piece, &kept, err);
    if (st != WM_OK)
        return st;
    if (!is_safetensors(kept))
        return read_gguf(f, source, name, kept, err);
    snprintf(f->form, sizeof f->form, "safetensors");
    return wm_safetensors_read(kept, &f->contents, err);
}

/* `name` is the file within `source`, NULL for all of it. */
static enum wm_status new_model(const char *path, const struct wm_source *source, const char *name,
                                struct wm_model_file **out, struct wm_error *err)
{
    struct wm_model_file *f = calloc(1, sizeof *f);
    if (!f)
        return wm_fail(err, WM_ENOMEM, "%s: no memory to open it", path);
    f->name = strdup(path);
    enum wm_status st = f->name ? WM_OK : wm_fail(err, WM_ENOMEM, "%s: no memory to open it", path);
    if (st == WM_OK)
        st = name ? read_file(f, source, name, err) : wm_folder_read(f, source, err);
    if (st == WM_OK)
        st = wm_contents_index(&f->contents, f->name, err);
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
    const struct wm_model_member member = {name, bytes, len};
    return new_model(name, &(struct wm_source){.members = &member, .count = 1}, name, out, err);
}

enum wm_status wm_model_file_parse_folder(const char *name, const struct wm_model_member *members,
                                          size_t count, struct wm_model_file **out, struct wm_error *err)
{
    return new_model(name, &(struct wm_source){.members = members, .count = count}, NULL, out, err);
}

enum wm_status wm_model_file_open(const char *path, struct wm_model_file **out, struct wm_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return wm_fail(err, errno == ENOENT ? WM_ENOENT : WM_EIO, "model %s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return new_model(path, &(struct wm_source){.folder = path}, NULL, out, err);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *folder = strndup(path, (size_t)(name - path)); /* "": the working folder; keeps its slash */
    if (!folder)
        return wm_fail(err, WM_ENOMEM, "model %s: no memory to open it", path);
    if (slash && slash > path)
        folder[slash - path] = '\0';
    enum wm_status st = new_model(path, &(struct wm_source){.folder = folder}, name, out, err);
    free(folder);
    return st;
}

/* model.c -- see model.h. Opens the parts of a model in order; closing takes them down in reverse. */
#include "engine/model.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DEFAULT_THREADS = 8, MAX_THREADS = 256, SAMPLED_BYTES = 4096 };

/* Raise it when the same file would give other tokens or other KV than before. */
static const char format_version[] = "wingman 1";

/* SHA-256, cut to 128 bits, over what the container says of itself (metadata, tokenizer, shapes) and the first bytes of every
 * tensor: reading a few hundred gigabytes whole would cost a start minutes, and no two trainings agree in these. */
static enum wm_status fingerprint(struct wm_model *m, struct wm_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    int ok = sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) &&
             EVP_DigestUpdate(sha, format_version, sizeof format_version);
    for (size_t i = 0; ok && i < wm_model_file_metas(m->file); i++) {
        const struct wm_meta *v = wm_model_file_meta_at(m->file, i);
        ok = EVP_DigestUpdate(sha, v->key, strlen(v->key) + 1) &&
             EVP_DigestUpdate(sha, &v->kind, sizeof v->kind);
        if (v->kind == WM_META_STRING)
            ok = ok && EVP_DigestUpdate(sha, v->string.bytes, v->string.len);
        else if (v->kind == WM_META_ARRAY)
            ok = ok && EVP_DigestUpdate(sha, v->array.data, (size_t)(v->array.end - v->array.data));
        else
            ok = ok && EVP_DigestUpdate(sha, &v->integer, sizeof v->integer); /* a float's bits too */
    }
    for (size_t i = 0; ok && i < wm_model_file_tensors(m->file); i++) {
        const struct wm_tensor *t = wm_model_file_tensor_at(m->file, i);
        ok = EVP_DigestUpdate(sha, t->name, strlen(t->name) + 1) &&
             EVP_DigestUpdate(sha, &t->type, sizeof t->type) &&
             EVP_DigestUpdate(sha, t->dims, sizeof t->dims) &&
             EVP_DigestUpdate(sha, t->data, t->bytes < SAMPLED_BYTES ? t->bytes : SAMPLED_BYTES);
    }
    ok = ok && EVP_DigestFinal_ex(sha, digest, NULL);
    EVP_MD_CTX_free(sha);
    if (!ok)
        return wm_fail(err, WM_ENOMEM, "%s: its fingerprint could not be computed",
                       wm_model_file_name(m->file));
    for (int i = 0; i < (WM_FINGERPRINT_BYTES - 1) / 2; i++)
        snprintf(m->fingerprint + 2 * i, 3, "%02x", digest[i]);
    return WM_OK;
}

/* general.name as far as it is printable ASCII, or the file's own name. */
static void name_it(struct wm_model *m)
{
    const struct wm_meta *v = wm_model_file_meta(m->file, "general.name");
    const char *path = wm_model_file_name(m->file), *slash = strrchr(path, '/');
    const char *text = slash ? slash + 1 : path;
    size_t len = strlen(text), n = 0;
    if (v && v->kind == WM_META_STRING && v->string.len) {
        text = v->string.bytes;
        len = v->string.len;
    }
    for (size_t i = 0; i < len && n + 1 < sizeof m->name; i++)
        m->name[n++] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    m->name[n] = '\0';
}

enum wm_status wm_model_read(struct wm_model_file *file, struct wm_model *m, struct wm_error *err)
{
    *m = (struct wm_model){.file = file};
    name_it(m);
    enum wm_status st = wm_program_find(file, &m->program, err);
    if (st == WM_OK)
        st = m->program->shape(file, &m->shape, err);
    if (st == WM_OK)
        st = wm_tokenizer_new(file, &m->tokenizer, err);
    if (st == WM_OK && wm_tokenizer_size(m->tokenizer) != m->shape.vocabulary)
        st = wm_fail(err, WM_EFORMAT, "%s: the tokenizer has %d tokens, token_embd.weight has %d rows",
                     wm_model_file_name(file), wm_tokenizer_size(m->tokenizer), m->shape.vocabulary);
    if (st == WM_OK &&
        wm_chat_new(file, &(struct wm_chat_options){0}, m->tokenizer, &m->chat, &m->chat_error) == WM_ENOMEM)
        st = wm_fail(err, WM_ENOMEM, "%s", m->chat_error.text);
    return st == WM_OK ? fingerprint(m, err) : st;
}

int wm_threads(int asked)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return asked ? asked : cores < 1 ? 1 : cores > MAX_DEFAULT_THREADS ? MAX_DEFAULT_THREADS : (int)cores;
}

/* The named face; with "auto" the last one that opens, since faces are listed from plain to fast. */
static enum wm_status open_face(struct wm_model *m, const char *name, int threads, struct wm_error *err)
{
    struct wm_backend_options options = {.threads = wm_threads(threads)};
    if (options.threads < 1 || options.threads > MAX_THREADS)
        return wm_fail(err, WM_EINVAL, "%d threads: 1 to %d are allowed", threads, MAX_THREADS);
    if (strcmp(name, "auto") != 0) {
        m->ops = wm_face(name);
        return m->ops ? m->ops->open(&options, &m->backend, err)
                      : wm_fail(err, WM_EINVAL, "there is no backend '%s' in this build; try auto", name);
    }
    struct wm_error why = WM_ERROR_INIT; /* of the first that did not open */
    for (const struct wm_ops *const *face = wm_faces; *face; face++) {
        struct wm_backend *backend;
        if ((*face)->open(&options, &backend, &why) != WM_OK)
            continue;
        if (m->ops)
            m->ops->close(m->backend);
        m->ops = *face;
        m->backend = backend;
    }
    return m->ops ? WM_OK : wm_fail(err, why.code, "no backend of this build opens here: %s", why.text);
}

enum wm_status wm_model_open(const struct wm_model_options *options, struct wm_model *m, struct wm_error *err)
{
    struct wm_model_file *file = NULL;
    *m = (struct wm_model){0};
    enum wm_status st = wm_model_file_open(options->path, &file, err);
    if (st == WM_OK)
        st = wm_model_read(file, m, err);
    if (st == WM_OK)
        st = open_face(m, options->backend ? options->backend : "auto", options->threads, err);
    if (st == WM_OK)
        st = m->program->load(m->file, &m->shape, m->ops, m->backend, options->max_rows, options->progress,
                              options->arg, &m->forward, err);
    if (st != WM_OK)
        wm_model_close(m);
    return st;
}

void wm_model_close(struct wm_model *m)
{
    if (m->forward)
        m->program->free(m->forward);
    if (m->ops)
        m->ops->close(m->backend);
    wm_chat_free(m->chat);
    wm_tokenizer_free(m->tokenizer);
    wm_model_file_close(m->file);
    *m = (struct wm_model){0};
}

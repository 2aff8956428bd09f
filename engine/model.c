/* model.c -- see model.h. Opens the parts of a model in order; closing takes them down in reverse. */
#include "engine/model.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/picture_file.h"

enum { MAX_DEFAULT_THREADS = 8, MAX_THREADS = 256, SAMPLED_BYTES = 4096 };

/* Raise it when the same file would give other tokens or other KV than before. */
static const char format_version[] = "wingman 2";

/* What a folder keeps beside its weights and what changes tokens, KV, or both. */
static const char *const documents[] = {
    "config.json",           "generation_config.json", "preprocessor_config.json", "tokenizer.json",
    "tokenizer_config.json", "tokenizer.model",        "chat_template.jinja",      "chat_template.json"};

static bool digest_meta(EVP_MD_CTX *sha, const struct wm_meta *v)
{
    if (!EVP_DigestUpdate(sha, v->key, strlen(v->key) + 1) ||
        !EVP_DigestUpdate(sha, &v->kind, sizeof v->kind))
        return false;
    if (v->kind == WM_META_STRING)
        return EVP_DigestUpdate(sha, v->string.bytes, v->string.len);
    if (v->kind == WM_META_ARRAY)
        return EVP_DigestUpdate(sha, v->array.data, (size_t)(v->array.end - v->array.data));
    return EVP_DigestUpdate(sha, &v->integer, sizeof v->integer); /* a float's bits too */
}

static bool digest_tensor(EVP_MD_CTX *sha, const struct wm_tensor *t)
{
    return EVP_DigestUpdate(sha, t->name, strlen(t->name) + 1) &&
           EVP_DigestUpdate(sha, &t->type, sizeof t->type) &&
           EVP_DigestUpdate(sha, t->dims, sizeof t->dims) &&
           EVP_DigestUpdate(sha, t->data, t->bytes < SAMPLED_BYTES ? t->bytes : SAMPLED_BYTES);
}

static bool digest_file(EVP_MD_CTX *sha, const struct wm_model_file *f)
{
    bool ok = true;
    for (size_t i = 0; ok && i < wm_model_file_metas(f); i++)
        ok = digest_meta(sha, wm_model_file_meta_at(f, i));
    for (size_t i = 0; ok && i < sizeof documents / sizeof *documents; i++) {
        const char *bytes;
        size_t len;
        if (wm_model_file_document(f, documents[i], &bytes, &len))
            ok = EVP_DigestUpdate(sha, documents[i], strlen(documents[i]) + 1) &&
                 EVP_DigestUpdate(sha, bytes, len);
    }
    for (size_t i = 0; ok && i < wm_model_file_tensors(f); i++)
        ok = digest_tensor(sha, wm_model_file_tensor_at(f, i));
    return ok;
}

/* SHA-256, cut to 128 bits, over what the files say of themselves (metadata, tokenizer, shapes), the chat
 * format, and the first bytes of every tensor: reading a few hundred gigabytes whole would cost a start
 * minutes, and no two trainings agree in these. */
static enum wm_status fingerprint(struct wm_model *m, struct wm_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const char *format = m->chat ? wm_chat_format(m->chat) : "";
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    bool ok = sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) &&
              EVP_DigestUpdate(sha, format_version, sizeof format_version) &&
              EVP_DigestUpdate(sha, format, strlen(format) + 1) && digest_file(sha, m->file) &&
              (!m->projector || digest_file(sha, m->projector)) && EVP_DigestFinal_ex(sha, digest, NULL);
    EVP_MD_CTX_free(sha);
    if (!ok)
        return wm_fail(err, WM_ENOMEM, "%s: its fingerprint could not be computed",
                       wm_model_file_name(m->file));
    for (int i = 0; i < (WM_FINGERPRINT_BYTES - 1) / 2; i++)
        snprintf(m->fingerprint + 2 * i, 3, "%02x", digest[i]);
    return WM_OK;
}

/* general.name as far as it is printable ASCII, or the name of the file or folder. */
static void name_it(struct wm_model *m)
{
    const struct wm_meta *v = wm_model_file_meta(m->file, "general.name");
    const char *path = wm_model_file_name(m->file), *text = path;
    size_t len = strlen(path), n = 0;
    while (len > 1 && path[len - 1] == '/')
        len--;
    for (size_t i = 0; i + 1 < len; i++)
        if (path[i] == '/')
            text = path + i + 1;
    len -= (size_t)(text - path);
    if (v && v->kind == WM_META_STRING && v->string.len) {
        text = v->string.bytes;
        len = v->string.len;
    }
    for (size_t i = 0; i < len && n + 1 < sizeof m->name; i++)
        m->name[n++] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    m->name[n] = '\0';
}

static enum wm_status read_text_side(struct wm_model *m, const char *chat_format, struct wm_error *err)
{
    const struct wm_vision_arch *v = &m->arch->vision;
    enum wm_status st = wm_tokenizer_new(m->file, &m->tokenizer, err);
    if (st == WM_OK && wm_tokenizer_size(m->tokenizer) != m->arch->vocabulary)
        st = wm_fail(err, WM_EFORMAT, "%s: the tokenizer has %d tokens, the embeddings have %d rows",
                     wm_model_file_name(m->file), wm_tokenizer_size(m->tokenizer), m->arch->vocabulary);
    if (st != WM_OK)
        return st;
    struct wm_chat_options chat = {.format = chat_format, .tile_tokens = v->layers ? wm_tile_tokens(v) : 0};
    if (wm_chat_new(m->file, &chat, m->tokenizer, &m->chat, &m->chat_error) == WM_ENOMEM)
        return wm_fail(err, WM_ENOMEM, "%s", m->chat_error.text);
    m->patch_id = v->layers ? wm_tokenizer_control(m->tokenizer, "<|patch|>") : -1;
    if (v->layers && m->patch_id < 0)
        return wm_fail(
            err, WM_EFORMAT,
            "%s: it has a vision tower, but its tokenizer has no token <|patch|> for the tower's rows",
            wm_model_file_name(m->file));
    return WM_OK;
}

enum wm_status wm_model_read(struct wm_model_file *file, struct wm_model_file *projector,
                             const char *chat_format, struct wm_model *m, struct wm_error *err)
{
    *m = (struct wm_model){.file = file, .projector = projector, .patch_id = -1};
    name_it(m);
    m->arch = calloc(1, sizeof *m->arch);
    if (!m->arch)
        return wm_fail(err, WM_ENOMEM, "%s: no memory to open it", wm_model_file_name(file));
    m->parts = (struct wm_parts){.text = file, .projector = projector, .arch = m->arch};
    enum wm_status st = wm_arch_read(file, projector, m->arch, err);
    if (st == WM_OK)
        st = wm_parts_check(&m->parts, err);
    if (st == WM_OK)
        st = read_text_side(m, chat_format, err);
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
    struct wm_model_file *file = NULL, *projector = NULL;
    *m = (struct wm_model){0};
    enum wm_status st = wm_model_file_open(options->path, &file, err);
    if (st == WM_OK && options->projector)
        st = wm_model_file_open(options->projector, &projector, err);
    if (st != WM_OK) {
        wm_model_file_close(file);
        return st;
    }
    st = wm_model_read(file, projector, options->chat_format, m, err);
    if (st == WM_OK)
        st = open_face(m, options->backend ? options->backend : "auto", options->threads, err);
    if (st == WM_OK)
        st = wm_program_load(&m->parts, m->ops, m->backend, options->max_rows, options->progress,
                             options->arg, &m->program, err);
    if (st == WM_OK && m->arch->vision.layers)
        st = wm_vision_load(&m->parts, m->ops, m->backend, &m->vision, err);
    if (st != WM_OK)
        wm_model_close(m);
    return st;
}

void wm_model_close(struct wm_model *m)
{
    wm_vision_free(m->vision);
    wm_program_free(m->program);
    if (m->ops)
        m->ops->close(m->backend);
    wm_chat_free(m->chat);
    wm_tokenizer_free(m->tokenizer);
    free(m->arch);
    wm_model_file_close(m->projector);
    wm_model_file_close(m->file);
    *m = (struct wm_model){0};
}

size_t wm_model_weight_bytes(const struct wm_model *m)
{
    return wm_program_weight_bytes(m->program) + (m->vision ? wm_vision_weight_bytes(m->vision) : 0);
}

enum wm_status wm_model_look(const struct wm_model *m, const char *path, struct wm_picture *out,
                             struct wm_error *err)
{
    return m->arch->vision.layers
               ? wm_picture_look(&m->arch->vision, path, out, err)
               : wm_fail(
                     err, WM_EUNSUPPORTED,
                     "%s does not see pictures: it has no vision tower, or that is a file of its own, which "
                     "model.projector (--projector) names",
                     m->name);
}

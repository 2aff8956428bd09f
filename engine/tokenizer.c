/* tokenizer.c -- byte-level byte-pair encoding, whoever wrote the tokenizer down.
 *
 * WHY     One token list must come from one text on every machine: the cache compares tokens, the model was trained
 *         on them. So this is the published algorithm, byte for byte, and what a file asks for beyond it is refused.
 *
 * HOW     text -> well-formed UTF-8 -> pieces (pretokenize.c) -> single-byte tokens -> merges (bpe.c).
 *         Tokenizers come as keys of a GGUF (tokenizer_gguf.c), as tokenizer.json (tokenizer_json.c) or as Meta's
 *         tokenizer.model (tokenizer_ranks.c); all become the one vocabulary of vocabulary.c.
 *
 * ALWAYS  (1) Control tokens are in no table that encoding looks into: no text can spell them.
 *         (2) Every id in the merge table is below `size`.
 *
 * LIMITS  2^21 tokens of 1,024 bytes, 2^22 merges, texts of 16 MiB, 16 stop tokens. A byte that has no token is
 *         dropped, as in the model's own tokenizer. A merge between strings that are no tokens is malformed.
 */
#include "engine/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tokenizer_parts.h"
#include "kernels/base/utf8.h"

static const size_t max_text = 16u << 20;

/* --- reading ---------------------------------------------------------------------------------------------- */

static enum wm_status read_document(struct wm_tokenizer *t, const char *name, const char *bytes, size_t len,
                                    struct wm_error *err)
{
    return len && bytes[0] == '{' ? wm_tokenizer_read_json(t, name, bytes, len, err)
                                  : wm_tokenizer_read_ranks(t, name, bytes, len, err);
}

/* A folder's tokenizer.json, or else tokenizer.model; a GGUF's keys. */
static enum wm_status read_file(struct wm_tokenizer *t, const struct wm_model_file *file,
                                struct wm_error *err)
{
    static const char *const documents[] = {"tokenizer.json", "tokenizer.model"};
    const char *bytes;
    size_t len;
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        if (wm_model_file_document(file, documents[i], &bytes, &len)) {
            char name[512];
            snprintf(name, sizeof name, "%s/%s", wm_model_file_name(file), documents[i]);
            return read_document(t, name, bytes, len, err);
        }
    if (wm_model_file_document(file, "config.json", &bytes, &len))
        return wm_fail(err, WM_ENOENT, "%s: the folder has neither tokenizer.json nor tokenizer.model",
                       wm_model_file_name(file));
    return wm_tokenizer_read_gguf(t, file, err);
}

static enum wm_status finish(struct wm_tokenizer *t, enum wm_status st, const struct wm_model_file *file,
                             struct wm_tokenizer **out, struct wm_error *err)
{
    if (st == WM_OK)
        st = wm_tokenizer_read_stops(t, file, err);
    if (st == WM_OK)
        *out = t;
    else
        wm_tokenizer_free(t);
    return st;
}

enum wm_status wm_tokenizer_new(const struct wm_model_file *file, struct wm_tokenizer **out,
                                struct wm_error *err)
{
    struct wm_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for its tokenizer", wm_model_file_name(file));
    return finish(t, read_file(t, file, err), file, out, err);
}

enum wm_status wm_tokenizer_parse(const char *name, const char *bytes, size_t len, struct wm_tokenizer **out,
                                  struct wm_error *err)
{
    struct wm_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for its tokenizer", name);
    return finish(t, read_document(t, name, bytes, len, err), NULL, out, err);
}

void wm_tokenizer_free(struct wm_tokenizer *t)
{
    if (!t)
        return;
    wm_buffer_free(&t->text);
    free(t->start);
    free(t->kind);
    free(t->slots);
    wm_merges_free(t->merges);
    free(t);
}

int32_t wm_tokenizer_size(const struct wm_tokenizer *t)
{
    return t->size;
}

/* --- text to ids ------------------------------------------------------------------------------------------ */

static enum wm_status encode_piece(const struct wm_tokenizer *t, struct wm_bpe *bpe, struct wm_tokens *bytes,
                                   const char *text, size_t len, struct wm_tokens *out)
{
    if (t->whole_pieces_first) {
        int32_t id = wm_vocabulary_find(t, text, len);
        if (id >= 0)
            return wm_tokens_add(out, &id, 1);
    }
    bytes->n = 0;
    for (size_t i = 0; i < len; i++) {
        int32_t id = t->of_byte[(uint8_t)text[i]];
        enum wm_status st = id >= 0 ? wm_tokens_add(bytes, &id, 1) : WM_OK;
        if (st != WM_OK)
            return st;
    }
    return wm_bpe_merge(bpe, bytes->ids, bytes->n, out);
}

enum wm_status wm_tokenizer_encode(const struct wm_tokenizer *t, const char *text, size_t len,
                                   struct wm_tokens *out, struct wm_error *err)
{
    if (len > max_text)
        return wm_fail(err, WM_ELIMIT,
                       "a text of %zu bytes is longer than the %zu that are tokenized at once", len,
                       max_text);
    struct wm_buffer clean = WM_BUFFER(3 * max_text); /* one ill-formed byte becomes three */
    struct wm_tokens bytes = {0};
    size_t before = out->n;
    struct wm_bpe *bpe = wm_bpe_new(t->merges);
    enum wm_status st = bpe ? WM_OK : WM_ENOMEM;
    if (st == WM_OK && !wm_utf8_valid(text, len)) {
        st = wm_utf8_sanitize(&clean, text, len);
        text = clean.data;
        len = clean.len;
    }
    for (size_t at = 0, end = 0, window = 0; st == WM_OK && at < len;) {
        if (at == end)
            end += wm_pretokenizer_stretch(t->pre, text + at, len - at, &window);
        size_t n = t->pre->piece(text + at, end - at);
        st = encode_piece(t, bpe, &bytes, text + at, n, out);
        at += n;
    }
    wm_bpe_free(bpe);
    wm_tokens_free(&bytes);
    wm_buffer_free(&clean);
    if (st == WM_OK)
        return WM_OK;
    out->n = before;
    return wm_fail(err, st, "tokenizing %zu bytes: %s", len,
                   st == WM_ELIMIT ? "too many tokens" : "no memory");
}

/* --- ids to text ------------------------------------------------------------------------------------------ */

const char *wm_tokenizer_bytes(const struct wm_tokenizer *t, int32_t id, size_t *len)
{
    *len = 0;
    if (id < 0 || id >= t->size || t->kind[id] == WM_TOKEN_CONTROL || t->kind[id] == WM_TOKEN_UNUSED)
        return "";
    return wm_vocabulary_bytes(t, id, len);
}

int32_t wm_tokenizer_control(const struct wm_tokenizer *t, const char *name)
{
    for (int32_t id = 0; id < t->size; id++) {
        size_t len;
        const char *bytes = wm_vocabulary_bytes(t, id, &len);
        if (t->kind[id] == WM_TOKEN_CONTROL && len == strlen(name) && memcmp(bytes, name, len) == 0)
            return id;
    }
    return -1;
}

int32_t wm_tokenizer_control_at(const struct wm_tokenizer *t, const char *text, size_t len, size_t *n)
{
    int32_t found = -1;
    *n = 0;
    for (int32_t id = 0; id < t->size && (text[0] == '<' || text[0] == '['); id++) { /* how they all begin */
        size_t own;
        const char *bytes = wm_vocabulary_bytes(t, id, &own);
        if (t->kind[id] == WM_TOKEN_CONTROL && own > *n && own <= len && memcmp(bytes, text, own) == 0) {
            *n = own;
            found = id;
        }
    }
    return found;
}

const char *wm_tokenizer_spelling(const struct wm_tokenizer *t, int32_t id, size_t *len)
{
    *len = 0;
    return id >= 0 && id < t->size ? wm_vocabulary_bytes(t, id, len) : "";
}

bool wm_tokenizer_stops(const struct wm_tokenizer *t, int32_t id)
{
    for (int i = 0; i < t->n_stops; i++)
        if (t->stops[i] == id)
            return true;
    return false;
}

void wm_tokenizer_add_stop(struct wm_tokenizer *t, int32_t id)
{
    if (id >= 0 && t->n_stops < WM_STOPS_MAX && !wm_tokenizer_stops(t, id))
        t->stops[t->n_stops++] = id;
}

static enum wm_status show(struct wm_decoder *d, const char *bytes, size_t len, bool all,
                           struct wm_buffer *out)
{
    struct wm_buffer joined = WM_BUFFER(sizeof d->tail + WM_TOKEN_BYTES_MAX * 3);
    enum wm_status st = wm_buffer_add(&joined, d->tail, d->n);
    if (st == WM_OK)
        st = wm_buffer_add(&joined, bytes, len);
    size_t held = st == WM_OK && !all ? wm_utf8_incomplete_tail(joined.data, joined.len) : 0;
    if (st == WM_OK)
        st = wm_utf8_sanitize(out, joined.data, joined.len - held);
    if (st == WM_OK) {
        memcpy(d->tail, joined.data + joined.len - held, held);
        d->n = held;
    }
    wm_buffer_free(&joined);
    return st;
}

enum wm_status wm_decoder_push(struct wm_decoder *d, const struct wm_tokenizer *t, int32_t id,
                               struct wm_buffer *out)
{
    size_t len;
    const char *bytes = wm_tokenizer_bytes(t, id, &len);
    return len ? show(d, bytes, len, false, out) : WM_OK;
}

enum wm_status wm_decoder_flush(struct wm_decoder *d, struct wm_buffer *out)
{
    return d->n ? show(d, "", 0, true, out) : WM_OK;
}

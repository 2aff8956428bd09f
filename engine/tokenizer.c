/* tokenizer.c -- byte-level byte-pair encoding, as GGUF describes it.
 *
 * WHY     One token list must come from one text on every machine: the cache compares tokens, the model was trained on
 *         them. So this is the published algorithm, byte for byte, and what the file asks for beyond it is refused.
 *
 * HOW     text -> well-formed UTF-8 -> pieces (pretokenize.c) -> single-byte tokens -> merges (bpe.c).
 *         GGUF spells tokens and merges in GPT-2's byte alphabet, in which each byte is a printable character; they are
 *         turned back into bytes once, here. All tokens' bytes lie in one block, found by id through `start`,
 *         and by bytes through a hash table of the ordinary tokens.
 *
 * ALWAYS  (1) Control tokens are in no table that encoding looks into: no text can spell them.
 *         (2) Every id in the merge table is below `size`.
 *
 * LIMITS  2^21 tokens of 1,024 bytes, 2^22 merges, texts of 16 MiB, 16 stop tokens. A byte that has no token is dropped, as in the
 *         model's own tokenizer. A merge between strings that are no tokens is malformed.
 */
#include "engine/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "engine/bpe.h"
#include "engine/pretokenize.h"
#include "kernels/base/utf8.h"

enum { MAX_TOKENS = 1 << 21, MAX_MERGES = 1 << 22, MAX_TOKEN_BYTES = 1024, MAX_STOPS = 16 };
static const size_t max_text = 16u << 20;
static const size_t max_all_tokens = 256u << 20; /* bytes */

/* tokenizer.ggml.token_type */
enum token_kind { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE };

struct wm_tokenizer {
    int32_t size;
    const struct wm_pretokenizer *pre;
    struct wm_buffer text; /* bytes of all tokens, one behind the other */
    uint32_t *start;       /* [size + 1] offsets into text */
    uint8_t *kind;         /* [size] */
    int32_t *slots;        /* ids of ordinary tokens by hash of their bytes; -1: empty */
    size_t slot_mask;
    struct wm_merges *merges;
    int32_t of_byte[256]; /* single-byte tokens; -1: none */
    int32_t stops[MAX_STOPS];
    int n_stops;
};

/* GPT-2's alphabet: bytes that print stand for themselves, the others follow from U+0100 on in order. */
static bool stands_for_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* byte_of[c] = byte + 1, for the characters of the alphabet; 0 for others. */
enum { ALPHABET_END = 0x100 + 68 };

static void make_alphabet(uint16_t byte_of[ALPHABET_END])
{
    int next = 0x100;
    memset(byte_of, 0, ALPHABET_END * sizeof *byte_of);
    for (int byte = 0; byte < 256; byte++)
        byte_of[stands_for_itself(byte) ? byte : next++] = (uint16_t)(byte + 1);
}

/* Appends the bytes that text[0..len) spells; a character outside the alphabet stands for its own UTF-8. */
static enum wm_status add_spelled(struct wm_buffer *out, const uint16_t *byte_of, const char *text,
                                  size_t len)
{
    enum wm_status st = WM_OK;
    for (size_t at = 0; at < len && st == WM_OK;) {
        uint32_t code;
        size_t n = wm_utf8_decode(text + at, len - at, &code, NULL);
        if (code < ALPHABET_END && byte_of[code])
            st = wm_buffer_add(out, &(char){(char)(byte_of[code] - 1)}, 1);
        else
            st = wm_buffer_add(out, text + at, n);
        at += n;
    }
    return st;
}

/* --- lookup ----------------------------------------------------------------------------------------------------- */

static size_t hash_of(const char *bytes, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

static const char *bytes_of(const struct wm_tokenizer *t, int32_t id, size_t *len)
{
    *len = t->start[id + 1] - t->start[id];
    return t->text.data + t->start[id];
}

/* The slot of these bytes, or the empty one where they would go. */
static int32_t *slot_of(const struct wm_tokenizer *t, const char *bytes, size_t len)
{
    size_t at = hash_of(bytes, len) & t->slot_mask;
    for (; t->slots[at] >= 0; at = (at + 1) & t->slot_mask) {
        size_t n;
        const char *other = bytes_of(t, t->slots[at], &n);
        if (n == len && memcmp(other, bytes, len) == 0)
            break;
    }
    return &t->slots[at];
}

/* --- reading the file ------------------------------------------------------------------------------------------- */

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

static enum wm_status read_rule(struct wm_tokenizer *t, const struct wm_model_file *file,
                                struct wm_error *err)
{
    const struct wm_meta *model = wm_model_file_meta(file, "tokenizer.ggml.model");
    const struct wm_meta *pre = wm_model_file_meta(file, "tokenizer.ggml.pre");
    if (!model || model->kind != WM_META_STRING || model->string.len != 4 ||
        memcmp(model->string.bytes, "gpt2", 4) != 0)
        return wm_fail(
            err, WM_EUNSUPPORTED,
            "%s: key tokenizer.ggml.model must be \"gpt2\" (byte-level BPE), the only kind this build has",
            wm_model_file_name(file));
    if (pre && pre->kind == WM_META_STRING)
        t->pre = wm_pretokenizer_find(pre->string.bytes, pre->string.len);
    if (!t->pre)
        return wm_fail(err, WM_EUNSUPPORTED, "%s: key tokenizer.ggml.pre is %s; this build splits text as %s",
                       wm_model_file_name(file), pre ? "of another tokenizer" : "missing",
                       wm_pretokenizer_names());
    return WM_OK;
}

static enum wm_status read_tokens(struct wm_tokenizer *t, const struct wm_model_file *file,
                                  const uint16_t *byte_of, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    const struct wm_meta *tokens =
        array_of(file, "tokenizer.ggml.tokens", WM_META_STRING, MAX_TOKENS, &st, err);
    const struct wm_meta *kinds = NULL;
    if (!tokens)
        return st;
    t->size = (int32_t)tokens->array.count;
    if (wm_model_file_meta(file, "tokenizer.ggml.token_type")) {
        kinds = array_of(file, "tokenizer.ggml.token_type", WM_META_INT, MAX_TOKENS, &st, err);
        if (!kinds)
            return st;
        if (kinds->array.count != tokens->array.count)
            return wm_fail(err, WM_EFORMAT, "%s: %d tokens, but %llu token types", wm_model_file_name(file),
                           t->size, (unsigned long long)kinds->array.count);
    }
    t->start = calloc((size_t)t->size + 1, sizeof *t->start);
    t->kind = calloc((size_t)t->size + 1, sizeof *t->kind);
    if (!t->start || !t->kind)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for %d tokens", wm_model_file_name(file), t->size);

    const uint8_t *at = tokens->array.data;
    const char *bytes;
    size_t len;
    for (int32_t id = 0; wm_meta_next_string(tokens, &at, &bytes, &len); id++) {
        int64_t kind = kinds ? wm_meta_array_int(kinds, (uint64_t)id) : TOKEN_NORMAL;
        if (len == 0 || len > MAX_TOKEN_BYTES || kind < TOKEN_NORMAL || kind > TOKEN_BYTE)
            return wm_fail(err, WM_EFORMAT, "%s: token %d has %zu bytes and type %lld",
                           wm_model_file_name(file), id, len, (long long)kind);
        t->kind[id] = (uint8_t)kind;
        st = kind == TOKEN_NORMAL ? add_spelled(&t->text, byte_of, bytes, len)
                                  : wm_buffer_add(&t->text, bytes, len);
        if (st != WM_OK)
            return wm_fail(err, st, "%s: the tokens take more than %zu bytes", wm_model_file_name(file),
                           max_all_tokens);
        t->start[id + 1] = (uint32_t)t->text.len;
    }
    return WM_OK;
}

static enum wm_status index_tokens(struct wm_tokenizer *t, const struct wm_model_file *file,
                                   struct wm_error *err)
{
    size_t slots = 16;
    while (slots < 2 * (size_t)t->size)
        slots *= 2;
    t->slot_mask = slots - 1;
    t->slots = malloc(slots * sizeof *t->slots);
    if (!t->slots)
        return wm_fail(err, WM_ENOMEM, "%s: no memory to index the tokens", wm_model_file_name(file));
    memset(t->slots, 0xff, slots * sizeof *t->slots);
    memset(t->of_byte, 0xff, sizeof t->of_byte);
    for (int32_t id = 0; id < t->size; id++) {
        size_t len;
        const char *bytes = bytes_of(t, id, &len);
        if (t->kind[id] != TOKEN_NORMAL)
            continue;
        int32_t *slot = slot_of(t, bytes, len);
        if (*slot < 0)
            *slot = id; /* of two tokens with the same bytes the first counts */
        if (len == 1)
            t->of_byte[(uint8_t)bytes[0]] = *slot;
    }
    return WM_OK;
}

/* "left right", both in the byte alphabet, which has no space. */
static enum wm_status read_merge(struct wm_tokenizer *t, const uint16_t *byte_of, const char *text,
                                 size_t len, int32_t rank)
{
    const char *space = len ? memchr(text + 1, ' ', len - 1) : NULL;
    if (!space)
        return WM_EFORMAT;
    struct wm_buffer joined = WM_BUFFER(2 * MAX_TOKEN_BYTES);
    enum wm_status st = add_spelled(&joined, byte_of, text, (size_t)(space - text));
    size_t cut = joined.len;
    if (st == WM_OK)
        st = add_spelled(&joined, byte_of, space + 1, len - (size_t)(space + 1 - text));
    if (st == WM_OK) {
        int32_t left = *slot_of(t, joined.data, cut),
                right = *slot_of(t, joined.data + cut, joined.len - cut);
        int32_t whole = *slot_of(t, joined.data, joined.len);
        if (left < 0 || right < 0 || whole < 0)
            st = WM_EFORMAT;
        else
            wm_merges_add(t->merges, left, right, rank, whole);
    }
    wm_buffer_free(&joined);
    return st;
}

static enum wm_status read_merges(struct wm_tokenizer *t, const struct wm_model_file *file,
                                  const uint16_t *byte_of, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    const struct wm_meta *merges =
        array_of(file, "tokenizer.ggml.merges", WM_META_STRING, MAX_MERGES, &st, err);
    if (!merges)
        return st;
    t->merges = wm_merges_new((size_t)merges->array.count);
    if (!t->merges)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for its merges", wm_model_file_name(file));
    const uint8_t *at = merges->array.data;
    const char *bytes;
    size_t len;
    for (int32_t rank = 0; wm_meta_next_string(merges, &at, &bytes, &len); rank++) {
        st = len > 4 * MAX_TOKEN_BYTES ? WM_EFORMAT : read_merge(t, byte_of, bytes, len, rank);
        if (st == WM_EFORMAT || st == WM_ELIMIT)
            return wm_fail(err, WM_EFORMAT, "%s: merge %d does not join two tokens into a third",
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

enum wm_status wm_tokenizer_new(const struct wm_model_file *file, struct wm_tokenizer **out,
                                struct wm_error *err)
{
    uint16_t byte_of[ALPHABET_END];
    make_alphabet(byte_of);
    struct wm_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return wm_fail(err, WM_ENOMEM, "%s: no memory for its tokenizer", wm_model_file_name(file));
    t->text.max = max_all_tokens;
    enum wm_status st = read_rule(t, file, err);
    if (st == WM_OK)
        st = read_tokens(t, file, byte_of, err);
    if (st == WM_OK)
        st = index_tokens(t, file, err);
    if (st == WM_OK)
        st = read_merges(t, file, byte_of, err);
    if (st == WM_OK)
        st = read_stops(t, file, err);
    if (st != WM_OK) {
        wm_tokenizer_free(t);
        return st;
    }
    *out = t;
    return WM_OK;
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

/* --- text to ids -------------------------------------------------------------------------------------------------- */

static enum wm_status encode_piece(const struct wm_tokenizer *t, struct wm_bpe *bpe, struct wm_tokens *bytes,
                                   const char *text, size_t len, struct wm_tokens *out)
{
    if (t->pre->whole_pieces_first) {
        int32_t id = *slot_of(t, text, len);
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
    for (size_t at = 0; st == WM_OK && at < len;) {
        size_t n = t->pre->piece(text + at, len - at);
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

/* --- ids to text -------------------------------------------------------------------------------------------------- */

const char *wm_tokenizer_bytes(const struct wm_tokenizer *t, int32_t id, size_t *len)
{
    *len = 0;
    if (id < 0 || id >= t->size || t->kind[id] == TOKEN_CONTROL || t->kind[id] == TOKEN_UNUSED)
        return "";
    return bytes_of(t, id, len);
}

int32_t wm_tokenizer_control(const struct wm_tokenizer *t, const char *name)
{
    for (int32_t id = 0; id < t->size; id++) {
        size_t len;
        const char *bytes = bytes_of(t, id, &len);
        if (t->kind[id] == TOKEN_CONTROL && len == strlen(name) && memcmp(bytes, name, len) == 0)
            return id;
    }
    return -1;
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
    if (id >= 0 && t->n_stops < MAX_STOPS && !wm_tokenizer_stops(t, id))
        t->stops[t->n_stops++] = id;
}

static enum wm_status show(struct wm_decoder *d, const char *bytes, size_t len, bool all,
                           struct wm_buffer *out)
{
    struct wm_buffer joined = WM_BUFFER(sizeof d->tail + MAX_TOKEN_BYTES * 3);
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

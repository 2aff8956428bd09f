/* vocabulary.c -- the tokens of a tokenizer, by id and by bytes, and the merges between them. See tokenizer_parts.h.
 *
 * HOW     All tokens' bytes lie in one block, found by id through `start` and by bytes through a hash table of the
 *         ordinary tokens. Files spell tokens in GPT-2's byte alphabet: bytes that print stand for themselves, the
 *         other 68 follow from U+0100 on in order. They become bytes once, here.
 *
 *         Where ids are ranks (tiktoken's form, as Meta publishes its tokenizers), the merges are implied: of all
 *         pairs whose joined bytes are a token, the one with the lowest id. They are written out at load, so that
 *         merging is one algorithm: 440,000 of them for Llama 4, a tenth of a second.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/tokenizer_parts.h"
#include "kernels/base/utf8.h"

static const size_t max_all_tokens = 256u << 20; /* bytes */

/* --- the byte alphabet ------------------------------------------------------------------------------------ */

static bool stands_for_itself(uint32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

/* The byte that a character spells, or -1. Those that do not stand for themselves are 0..0x20, 0x7f..0xa0 and
 * 0xad. */
static int byte_of(uint32_t code)
{
    enum { AFTER = 0x100, LOW = 0x21, MIDDLE = 0x22 };
    if (stands_for_itself(code))
        return (int)code;
    if (code < AFTER || code > AFTER + LOW + MIDDLE)
        return -1;
    uint32_t i = code - AFTER;
    return (int)(i < LOW ? i : i < LOW + MIDDLE ? 0x7f + (i - LOW) : 0xad);
}

/* Writes the bytes that text[0..len) spells, never more than `len`; returns their number. A character outside the
 * alphabet stands for its own UTF-8. */
static size_t spell(char *out, const char *text, size_t len)
{
    size_t n = 0;
    for (size_t at = 0; at < len;) {
        uint32_t code;
        size_t taken = wm_utf8_decode(text + at, len - at, &code, NULL);
        int byte = byte_of(code);
        if (byte >= 0) {
            out[n++] = (char)byte;
        } else {
            memcpy(out + n, text + at, taken);
            n += taken;
        }
        at += taken;
    }
    return n;
}

/* --- tokens ----------------------------------------------------------------------------------------------- */

static enum wm_status make_room(struct wm_tokenizer *t)
{
    enum { FIRST_ROOM = 1024 };
    if (t->size < t->room)
        return WM_OK;
    if (t->size >= WM_TOKENIZER_MAX)
        return WM_ELIMIT;
    int32_t room = t->room ? 2 * t->room : FIRST_ROOM;
    uint32_t *start = realloc(t->start, ((size_t)room + 1) * sizeof *start);
    if (!start)
        return WM_ENOMEM;
    t->start = start;
    uint8_t *kind = realloc(t->kind, (size_t)room * sizeof *kind);
    if (!kind)
        return WM_ENOMEM;
    t->kind = kind;
    t->room = room;
    return WM_OK;
}

enum wm_status wm_vocabulary_add(struct wm_tokenizer *t, const char *bytes, size_t len,
                                 enum wm_token_kind kind, bool spelled)
{
    enum wm_status st = make_room(t);
    t->text.max = max_all_tokens;
    uint32_t start = (uint32_t)t->text.len;
    if (st == WM_OK)
        st = wm_buffer_reserve(&t->text, len);
    if (st != WM_OK)
        return st;
    if (spelled)
        t->text.len += spell(t->text.data + t->text.len, bytes, len);
    else
        (void)wm_buffer_add(&t->text, bytes, len);
    t->kind[t->size] = (uint8_t)kind;
    t->start[t->size] = start;
    t->start[++t->size] = (uint32_t)t->text.len;
    return WM_OK;
}

const char *wm_vocabulary_bytes(const struct wm_tokenizer *t, int32_t id, size_t *len)
{
    *len = t->start[id + 1] - t->start[id];
    return *len ? t->text.data + t->start[id] : "";
}

static size_t hash_of(const char *bytes, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

/* The slot of these bytes, or the empty one where they would go. */
static int32_t *slot_of(const struct wm_tokenizer *t, const char *bytes, size_t len)
{
    size_t at = hash_of(bytes, len) & t->slot_mask;
    for (; t->slots[at] >= 0; at = (at + 1) & t->slot_mask) {
        size_t n;
        const char *other = wm_vocabulary_bytes(t, t->slots[at], &n);
        if (n == len && memcmp(other, bytes, len) == 0)
            break;
    }
    return &t->slots[at];
}

int32_t wm_vocabulary_find(const struct wm_tokenizer *t, const char *bytes, size_t len)
{
    return *slot_of(t, bytes, len);
}

enum wm_status wm_vocabulary_index(struct wm_tokenizer *t)
{
    size_t slots = 16;
    while (slots < 2 * (size_t)t->size)
        slots *= 2;
    t->slot_mask = slots - 1;
    t->slots = malloc(slots * sizeof *t->slots);
    t->merges = wm_merges_new();
    if (!t->slots || !t->merges)
        return WM_ENOMEM;
    memset(t->slots, 0xff, slots * sizeof *t->slots);
    memset(t->of_byte, 0xff, sizeof t->of_byte);
    for (int32_t id = 0; id < t->size; id++) {
        size_t len;
        const char *bytes = wm_vocabulary_bytes(t, id, &len);
        if (t->kind[id] != WM_TOKEN_NORMAL || len == 0)
            continue;
        int32_t *slot = slot_of(t, bytes, len);
        if (*slot < 0)
            *slot = id; /* of two tokens with the same bytes the first counts */
        if (len == 1)
            t->of_byte[(uint8_t)bytes[0]] = *slot;
    }
    return WM_OK;
}

/* --- merges ----------------------------------------------------------------------------------------------- */

enum wm_status wm_vocabulary_merge(struct wm_tokenizer *t, const char *left, size_t left_len,
                                   const char *right, size_t right_len, int32_t rank)
{
    char joined[4 * WM_TOKEN_BYTES_MAX];
    if (left_len > sizeof joined / 2 || right_len > sizeof joined / 2)
        return WM_EFORMAT;
    size_t cut = spell(joined, left, left_len), len = cut + spell(joined + cut, right, right_len);
    if (cut == 0 || cut == len)
        return WM_EFORMAT;
    int32_t first = wm_vocabulary_find(t, joined, cut),
            second = wm_vocabulary_find(t, joined + cut, len - cut),
            whole = wm_vocabulary_find(t, joined, len);
    return first < 0 || second < 0 || whole < 0 ? WM_EFORMAT
                                                : wm_merges_add(t->merges, first, second, rank, whole);
}

enum wm_status wm_vocabulary_merge_by_rank(struct wm_tokenizer *t)
{
    enum wm_status st = WM_OK;
    for (int32_t id = 0; id < t->size && st == WM_OK; id++) {
        size_t len;
        const char *bytes = wm_vocabulary_bytes(t, id, &len);
        if (t->kind[id] != WM_TOKEN_NORMAL || len == 0 || wm_vocabulary_find(t, bytes, len) != id)
            continue;
        for (size_t cut = 1; cut < len && st == WM_OK; cut++) {
            int32_t left = wm_vocabulary_find(t, bytes, cut);
            int32_t right = left >= 0 ? wm_vocabulary_find(t, bytes + cut, len - cut) : -1;
            if (right >= 0)
                st = wm_merges_add(t->merges, left, right, id, id);
        }
    }
    return st;
}

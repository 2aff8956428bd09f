/* tokenizer_parts.h -- the inside of a tokenizer, for the files that read one: tokenizer_gguf.c, tokenizer_json.c,
 * tokenizer_ranks.c.
 *
 * A reader fills an empty struct wm_tokenizer: it adds the tokens in the order of their ids, indexes them, chooses
 * the rule that cuts text, and adds the merges. What it found wrong is one sentence; the caller frees what was begun.
 */
#ifndef WM_ENGINE_TOKENIZER_PARTS_H
#define WM_ENGINE_TOKENIZER_PARTS_H

#include "engine/bpe.h"
#include "engine/pretokenize.h"
#include "engine/tokenizer.h"

enum { WM_TOKENIZER_MAX = 1 << 21, WM_MERGES_MAX = 1 << 22, WM_TOKEN_BYTES_MAX = 1024, WM_STOPS_MAX = 16 };

/* Numbered as GGUF's tokenizer.ggml.token_type. */
enum wm_token_kind {
    WM_TOKEN_NORMAL = 1,
    WM_TOKEN_UNKNOWN,
    WM_TOKEN_CONTROL,
    WM_TOKEN_USER, /* added beside the vocabulary, shown as it is spelled */
    WM_TOKEN_UNUSED,
    WM_TOKEN_BYTE
};

struct wm_tokenizer {
    int32_t size, room;
    struct wm_buffer text; /* bytes of all tokens, one behind the other */
    uint32_t *start;       /* [size + 1] offsets into text */
    uint8_t *kind;         /* [size] */
    int32_t *slots;        /* ids of ordinary tokens by hash of their bytes; -1: empty */
    size_t slot_mask;
    int32_t of_byte[256]; /* single-byte tokens; -1: none */

    const struct wm_pretokenizer *pre;
    bool whole_pieces_first; /* as the rule says, unless the file knows better */
    struct wm_merges *merges;
    int32_t stops[WM_STOPS_MAX];
    int n_stops;
};

/* --- vocabulary.c ----------------------------------------------------------------------------------------- */

/* Appends a token; `spelled`: its text is in GPT-2's byte alphabet, in which every byte is a printable character.
 * WM_ELIMIT: past WM_TOKENIZER_MAX tokens or the bytes that all may take. Its length is the reader's to check. */
enum wm_status wm_vocabulary_add(struct wm_tokenizer *t, const char *bytes, size_t len,
                                 enum wm_token_kind kind, bool spelled);

/* After the last token; then merges may come. */
enum wm_status wm_vocabulary_index(struct wm_tokenizer *t);

/* The ordinary token of these bytes, or -1. */
int32_t wm_vocabulary_find(const struct wm_tokenizer *t, const char *bytes, size_t len);

/* All bytes of a token, a control token's name too; 0 <= id < size. */
const char *wm_vocabulary_bytes(const struct wm_tokenizer *t, int32_t id, size_t *len);

/* Adds the merge of two tokens in the byte alphabet. WM_EFORMAT: one of them, or both joined, is no token. */
enum wm_status wm_vocabulary_merge(struct wm_tokenizer *t, const char *left, size_t left_len,
                                   const char *right, size_t right_len, int32_t rank);

/* Makes the merges of a vocabulary whose ids are ranks: any two tokens may join that make a third, the lowest
 * first. */
enum wm_status wm_vocabulary_merge_by_rank(struct wm_tokenizer *t);

/* --- the readers ------------------------------------------------------------------------------------------ */

enum wm_status wm_tokenizer_read_gguf(struct wm_tokenizer *t, const struct wm_model_file *file,
                                      struct wm_error *err);
enum wm_status wm_tokenizer_read_json(struct wm_tokenizer *t, const char *name, const char *bytes, size_t len,
                                      struct wm_error *err);
enum wm_status wm_tokenizer_read_ranks(struct wm_tokenizer *t, const char *name, const char *bytes,
                                       size_t len, struct wm_error *err);

/* After any reader: end tokens by name, and as the documents of `file` (may be NULL) say. tokenizer_stops.c */
enum wm_status wm_tokenizer_read_stops(struct wm_tokenizer *t, const struct wm_model_file *file,
                                       struct wm_error *err);

#endif

/* tokenizer.h -- text to token ids and back, as the model file says. Design and limits: tokenizer.c.
 *
 * A tokenizer does not change once made: any thread may use it, several at once.
 */
#ifndef WM_ENGINE_TOKENIZER_H
#define WM_ENGINE_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/model_file.h"
#include "engine/tokens.h"
#include "kernels/base/buffer.h"
#include "kernels/base/error.h"

struct wm_tokenizer;

/* Reads a folder's tokenizer.json or tokenizer.model, a GGUF's `tokenizer.ggml.*`. WM_EUNSUPPORTED names what the
 * file asks for and what there is. `file` is needed only here. */
enum wm_status wm_tokenizer_new(const struct wm_model_file *file, struct wm_tokenizer **out,
                                struct wm_error *err);

/* The same from a bare tokenizer.json, or Meta's tokenizer.model, in memory; `name` is for the sentences. */
enum wm_status wm_tokenizer_parse(const char *name, const char *bytes, size_t len, struct wm_tokenizer **out,
                                  struct wm_error *err);
void wm_tokenizer_free(struct wm_tokenizer *t); /* NULL is fine */

/* Ids are [0, size). A model may have rows for more: its vocabulary is padded, and those ids have no text. */
int32_t wm_tokenizer_size(const struct wm_tokenizer *t);

/* Appends the ids of `text`. Ill-formed UTF-8 becomes U+FFFD first; bytes without a token are dropped; nothing
 * in a text ever becomes a control token. WM_ELIMIT: past 16 MiB or the ceiling of `out`. On failure `out` is as
 * before. */
enum wm_status wm_tokenizer_encode(const struct wm_tokenizer *t, const char *text, size_t len,
                                   struct wm_tokens *out, struct wm_error *err);

/* The bytes of a token, borrowed. Control and unknown tokens have none. */
const char *wm_tokenizer_bytes(const struct wm_tokenizer *t, int32_t id, size_t *len);

/* The control token spelled so ("<|im_end|>"), or -1. */
int32_t wm_tokenizer_control(const struct wm_tokenizer *t, const char *name);

/* The longest control token that text[0..len) begins with, its length in *n; or -1. Never for text from people. */
int32_t wm_tokenizer_control_at(const struct wm_tokenizer *t, const char *text, size_t len, size_t *n);

/* How any token is spelled, control tokens too: for people. */
const char *wm_tokenizer_spelling(const struct wm_tokenizer *t, int32_t id, size_t *len);

/* Does this token end a reply? By the file's end ids (end of text, of turn, of message) and wm_tokenizer_add_stop. */
bool wm_tokenizer_stops(const struct wm_tokenizer *t, int32_t id);

/* Before the tokenizer is shared: `id` ends replies too. -1 is ignored. */
void wm_tokenizer_add_stop(struct wm_tokenizer *t, int32_t id);

/* --- tokens to text, one by one --------------------------------------------------------------------------- */

/* Holds back the bytes of a character that is not whole yet. Start with {0}. */
struct wm_decoder {
    char tail[4];
    size_t n;
};

/* Appends what may be shown after this token: always whole UTF-8. On failure the decoder is as before. */
enum wm_status wm_decoder_push(struct wm_decoder *d, const struct wm_tokenizer *t, int32_t id,
                               struct wm_buffer *out);

/* Appends what is still held back, as U+FFFD. */
enum wm_status wm_decoder_flush(struct wm_decoder *d, struct wm_buffer *out);

#endif

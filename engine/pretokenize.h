/* pretokenize.h -- cuts text into the pieces that byte-pair encoding never merges across.
 *
 * Each tokenizer was trained with one rule, named in GGUF by `tokenizer.ggml.pre`. The wrong rule gives a model tokens it
 * has hardly seen, without any error: so an unknown name is refused, never guessed.
 */
#ifndef WM_ENGINE_PRETOKENIZE_H
#define WM_ENGINE_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

struct wm_pretokenizer {
    const char *name;
    bool whole_pieces_first; /* a piece that is a token is that token, whatever the merges say */
    /* Length in bytes of the piece at the start of text[0..len): len >= 1, valid UTF-8. Never 0. */
    size_t (*piece)(const char *text, size_t len);
};

/* NULL: no rule of that name. Any thread. */
const struct wm_pretokenizer *wm_pretokenizer_find(const char *name, size_t len);

/* "gpt-2, smollm, ...", for a sentence. */
const char *wm_pretokenizer_names(void);

#endif

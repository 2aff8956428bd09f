/* pretokenize.h -- cuts text into the pieces that byte-pair encoding never merges across.
 *
 * Each tokenizer was trained with one rule. The wrong rule gives a model tokens it has hardly seen, without any
 * error: so an unknown name or expression is refused, never guessed. Any thread.
 */
#ifndef WM_ENGINE_PRETOKENIZE_H
#define WM_ENGINE_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

struct wm_pretokenizer {
    const char *name;        /* as GGUF's key tokenizer.ggml.pre has it */
    bool whole_pieces_first; /* a piece that is a token is that token, whatever the merges say */
    bool in_stretches;       /* long texts are cut by wm_pretokenizer_stretch first */
    /* Length in bytes of the piece at the start of text[0..len): len >= 1, valid UTF-8. Never 0. */
    size_t (*piece)(const char *text, size_t len);
};

/* By a name that GGUF files use; NULL: no rule of that name. */
const struct wm_pretokenizer *wm_pretokenizer_find(const char *name, size_t len);

/* By the regular expression that tokenizer.json splits with; NULL: none that we know. */
const struct wm_pretokenizer *wm_pretokenizer_for(const char *expression);

/* "gpt-2, smollm, ...", for a sentence. */
const char *wm_pretokenizer_names(void);

/* Length in bytes of the part at the start of text[0..len), len >= 1, that is cut into pieces by itself. `*window`
 * counts characters between calls on one text; it starts at 0. */
size_t wm_pretokenizer_stretch(const struct wm_pretokenizer *p, const char *text, size_t len, size_t *window);

#endif

/* chat.h -- how a model's conversations are written down as tokens.
 *
 * A format is recognised by the template in the model file; the template itself (a program in a template language) is
 * not run. Control tokens are placed by id, so what people write can never spell one. Any thread.
 */
#ifndef WM_ENGINE_CHAT_H
#define WM_ENGINE_CHAT_H

#include <stdbool.h>

#include "engine/engine.h"
#include "engine/model_file.h"
#include "engine/tokenizer.h"

struct wm_chat; /* a format with the ids and default texts of one model */

struct wm_chat_options {
    const char *format;  /* "chatml", "llama3", "llama4"; NULL or "auto": recognise it */
    int32_t tile_tokens; /* slots that one tile of a picture takes; 0: the model does not see */
};

/* Takes the format that `options` names or, when it names none, recognises it: by the template in `file`, or without
 * one by the control tokens of the vocabulary. `file` may be NULL: a tokenizer alone. WM_EUNSUPPORTED: a template
 * that we do not know, or no format fits; WM_EFORMAT: the format's control tokens are not in the vocabulary.
 * Registers the format's end tokens with `tokenizer`, which must outlive the chat. */
enum wm_status wm_chat_new(const struct wm_model_file *file, const struct wm_chat_options *options,
                           struct wm_tokenizer *tokenizer, struct wm_chat **out, struct wm_error *err);
void wm_chat_free(struct wm_chat *c); /* NULL is fine */

const char *wm_chat_format(const struct wm_chat *c); /* "chatml" */

/* What a person should know: that the model's own template writes something else, or could not be compared
 * (chat_check.h). One sentence; NULL: nothing. */
const char *wm_chat_warning(const struct wm_chat *c);

/* The token whose rows are the picture's ("<|patch|>"), one for each of a tile's tokens; -1: the format has none. */
int32_t wm_chat_patch(const struct wm_chat *c);

/* Slots that the picture takes in a prompt: tiles, the global one too, times their tokens. */
int32_t wm_chat_picture_slots(const struct wm_chat *c, const struct wm_picture *picture);

/* As wm_engine_render and wm_engine_close_reply. On failure `out` is as before. */
enum wm_status wm_chat_render(const struct wm_chat *c, const struct wm_chat_message *messages, size_t n,
                              bool first, bool open_reply, struct wm_tokens *out, struct wm_error *err);
enum wm_status wm_chat_close_reply(const struct wm_chat *c, struct wm_tokens *out, struct wm_error *err);

#endif

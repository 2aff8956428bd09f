/* chat_check.h -- does our way of writing conversations down agree with the template that the model brings? Any
 * thread. */
#ifndef WM_ENGINE_CHAT_CHECK_H
#define WM_ENGINE_CHAT_CHECK_H

#include "engine/chat.h"

/* Renders known conversations both ways and compares the tokens. Appends one sentence to `report` about the first
 * difference, or about why the template could not be run; nothing when they agree. Only WM_ENOMEM is a failure. */
enum wm_status wm_chat_check(const struct wm_chat *c, const struct wm_tokenizer *tokenizer, const char *name,
                             const char *template, size_t len, struct wm_buffer *report);

#endif

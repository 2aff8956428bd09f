/* prompt_json.h -- a prompt as JSON says it: {"ids"}, {"text"} or {"messages"}. Any thread. */
#ifndef WM_ENGINE_PROMPT_JSON_H
#define WM_ENGINE_PROMPT_JSON_H

#include <jansson.h>

#include "engine/chat.h"
#include "engine/tokenizer.h"

/* Appends the tokens of a prompt object:
 *   {"ids": [1, 2]}          as they are; within the vocabulary
 *   {"text": "..."}          plain text: no special tokens
 *   {"messages": [{"role": "user", "content": "..." or [{"type": "text", "text": "..."}]}]}   with the header of a reply
 * `chat` may be NULL, with the reason in `chat_error`: then messages are refused for that reason. */
enum wm_status wm_prompt_from_json(const struct wm_tokenizer *tokenizer, const struct wm_chat *chat,
                                   const struct wm_error *chat_error, const json_t *prompt,
                                   struct wm_tokens *out, struct wm_error *err);

/* A new JSON array of ids; NULL: no memory. */
json_t *wm_ids_to_json(const int32_t *ids, size_t n);

#endif

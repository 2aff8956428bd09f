/* prompt_json.h -- a prompt as JSON says it: {"ids"}, {"text"} or {"messages"}, with pictures by their paths. Any
 * thread. */
#ifndef WM_ENGINE_PROMPT_JSON_H
#define WM_ENGINE_PROMPT_JSON_H

#include <jansson.h>

#include "engine/chat.h"
#include "engine/tokenizer.h"

/* What reading a prompt needs. */
struct wm_prompt_reader {
    const struct wm_tokenizer *tokenizer;
    const struct wm_chat *chat;        /* NULL: messages are refused, */
    const struct wm_error *chat_error; /* for this reason */
    /* As wm_engine_look; NULL: pictures are refused. */
    enum wm_status (*look)(void *arg, const char *path, struct wm_picture *out, struct wm_error *err);
    void *arg;
};

/* Tokens, and the pictures whose slots they hold, in order. Start with {0}. */
struct wm_prompt {
    struct wm_tokens tokens;
    struct wm_picture *pictures; /* their paths belong to the prompt */
    size_t n_pictures;
};

/* Appends a prompt object to `out`:
 *   {"ids": [1, 2], "images": ["a.png"]}   ids as they are, within the vocabulary; "images", optional, in the order
 *                                          of their slots
 *   {"text": "..."}                        plain text: no special tokens
 *   {"messages": [{"role": "user", "content": "..." or [PART, ...]}], "tools": [...]}   with the header of a reply
 *       PART is {"type": "text", "text": "..."} or {"type": "image_url", "image_url": {"url": PATH}}; roles, tool
 *       calls and tools as in OpenAI's API (tool_calls.h)
 * After a failure `out` may hold a part; free it as always. */
enum wm_status wm_prompt_from_json(const struct wm_prompt_reader *reader, const json_t *prompt,
                                   struct wm_prompt *out, struct wm_error *err);
void wm_prompt_free(struct wm_prompt *p);

/* A new JSON array of ids; NULL: no memory. */
json_t *wm_ids_to_json(const int32_t *ids, size_t n);

#endif

/* prompt.h -- a conversation as the model's token list. Design: prompt.c. Any thread, no state. */
#ifndef WM_SESSIONS_PROMPT_H
#define WM_SESSIONS_PROMPT_H

#include "sessions/brain.h"

/* A row of the transcript. */
struct wm_row {
    int64_t id;
    int64_t turn; /* 0: waits for its turn */
    enum wm_role role;
    char *text;
    char *caption;   /* what stands behind its pictures, when it has some; NULL: nothing */
    int32_t *tokens; /* as stored; NULL: to be rendered */
    size_t n_tokens;
    struct wm_picture *pictures; /* whose slots the tokens hold, or will: media_rows.h frees them */
    size_t n_pictures;
    bool rendered; /* out: tokens are new and want to be stored */
};

struct wm_prompt_ask {
    const struct wm_brain *brain;
    const int32_t *head; /* system prompt, rendered */
    size_t n_head;
    struct wm_row *rows; /* past turns in order, then the rows of this turn */
    size_t n_rows;
    int32_t reply_tokens; /* wanted */
};

struct wm_prompt {
    struct wm_tokens tokens;     /* ends with the header of the reply */
    size_t n_header;             /* tokens of that header */
    struct wm_picture *pictures; /* of all rows in it, in order; their paths are the rows' own */
    size_t n_pictures;
    int64_t cut;        /* turns up to this one are not in it; 0: all are */
    int32_t max_tokens; /* of the reply: what was wanted, or what the context leaves */
};

/* Renders what has no tokens yet, leaves out what has no room, and concatenates. The rows outlive the prompt. */
enum wm_status wm_prompt_build(const struct wm_prompt_ask *ask, struct wm_prompt *out, struct wm_error *err);
void wm_prompt_drop(struct wm_prompt *prompt); /* empties it; a zeroed one is fine */

#endif

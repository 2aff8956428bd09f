/* score.h -- what a model thinks of a token list, position by position: for exactness, not for conversations.
 *
 * Runs on the caller's thread with a KV pool of its own.
 */
#ifndef WM_ENGINE_SCORE_H
#define WM_ENGINE_SCORE_H

#include "engine/model.h"
#include "engine/prompt_json.h"
#include "engine/ranked.h"
#include "engine/tokens.h"

struct wm_score; /* a model with room for one sequence, or several equal ones */

struct wm_score_options {
    struct wm_model_options model; /* max_rows is set here */
    int32_t slice;                 /* rows of prefill per run; 0: 256 */
    int32_t company; /* other sequences in each run, which get different tokens; for tests. 0: alone */
};

enum wm_status wm_score_open(const struct wm_score_options *options, struct wm_score **out,
                             struct wm_error *err);
void wm_score_close(struct wm_score *s); /* NULL is fine */
const struct wm_model *wm_score_model(const struct wm_score *s);

/* A prompt as JSON says it (prompt_json.h), with this model's tokenizer, chat format and eyes. */
enum wm_status wm_score_prompt(const struct wm_score *s, const json_t *prompt, struct wm_prompt *out,
                               struct wm_error *err);

/* Shows it pictures: the next runs' ids hold their slots, in order, in place of those shown before. None: n
 * is 0. WM_EUNSUPPORTED: the model does not see. Else as wm_engine_look, and WM_EFORMAT for a file that has
 * changed. */
enum wm_status wm_score_show(struct wm_score *s, const struct wm_picture *pictures, size_t n,
                             struct wm_error *err);

/* What the tower made of the pictures shown: their rows, and rows [row, row + rows) of them as [rows, width
 * of the model]. */
int32_t wm_score_shown(const struct wm_score *s);
enum wm_status wm_score_embeddings(struct wm_score *s, int32_t row, int32_t rows, float *out,
                                   struct wm_error *err);

/* Called for each position in order with its logits [vocabulary], borrowed. A failure stops the run. */
typedef enum wm_status (*wm_score_row)(void *arg, int32_t position, const float *logits,
                                       struct wm_error *err);

/* Runs ids[0..n) and calls `row` (may be NULL) for each, then appends `greedy` more tokens (the likeliest
 * each, end tokens included) to *out, calling `row` for each but the last. WM_EINVAL for an id outside the
 * vocabulary and for more or fewer slots than the pictures shown fill, WM_ELIMIT past the context. */
enum wm_status wm_score_run(struct wm_score *s, const int32_t *ids, int32_t n, int32_t greedy,
                            wm_score_row row, void *arg, struct wm_tokens *out, struct wm_error *err);

#endif

/* encoder.h -- pictures as the rows that stand in a prompt: each is read and encoded once, and kept for a
 * while. Engine thread. Design: encoder.c. */
#ifndef WM_ENGINE_ENCODER_H
#define WM_ENGINE_ENCODER_H

#include "engine/model.h"
#include "engine/picture_reader.h"

struct wm_encoder;
struct wm_encoding; /* one picture, on its way to rows */

/* `model` sees. `replies` is where readings come back to; whoever owns it hands them to wm_encoder_take. */
enum wm_status wm_encoder_new(struct wm_model *model, struct wm_mailbox *replies, struct wm_encoder **out,
                              struct wm_error *err);
void wm_encoder_free(struct wm_encoder *e); /* every encoding was released; NULL is fine */

/* Asks for a picture's rows: found, on their way, or begun now. Release it once. WM_EINVAL: the
 * same file with another grid, so one of the two is wrong; WM_ENOMEM. */
enum wm_status wm_encoder_want(struct wm_encoder *e, const struct wm_picture *picture,
                               struct wm_encoding **out);
void wm_encoder_release(struct wm_encoder *e, struct wm_encoding *x);

const struct wm_act *wm_encoding_rows(const struct wm_encoding *x);     /* NULL: not yet */
const struct wm_error *wm_encoding_failed(const struct wm_encoding *x); /* NULL: it has not */

/* A reading has come back. Takes it. */
void wm_encoder_take(struct wm_encoder *e, struct wm_reading *reading);

/* Runs the tower for one tile, if one is there. False: there was nothing to do. */
bool wm_encoder_step(struct wm_encoder *e);

struct wm_encoder_counts {
    uint64_t encoded, reused; /* pictures, ever: by the tower; found or already on their way */
    uint64_t bytes;           /* of rows held now */
};
struct wm_encoder_counts wm_encoder_counts(const struct wm_encoder *e);

#endif

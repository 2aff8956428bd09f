/* mailbox.h -- carries letters from any thread to the one thread that owns a piece of state.
 * Design, invariants, limits: mailbox.c.
 */
#ifndef WM_BASE_MAILBOX_H
#define WM_BASE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/error.h"

struct wm_mailbox; /* opaque */

/* Embed as the first member of what is posted. */
struct wm_letter {
    struct wm_letter *next;
};

/* `capacity` letters. `wake` (may be NULL) is called on the poster's thread, with no lock held, when the box
 * turns non-empty: an event loop rings its own bell there. Without it the owner waits in wm_mailbox_wait. */
enum wm_status wm_mailbox_new(size_t capacity, void (*wake)(void *arg), void *arg, struct wm_mailbox **out,
                              struct wm_error *err);

/* Any thread. WM_OK: the box owns `letter`. WM_EAGAIN: full; WM_ECANCELED: closed. On both the caller still
 * owns it. */
enum wm_status wm_mailbox_post(struct wm_mailbox *box, struct wm_letter *letter);

/* Any thread. As post, but past the capacity: for answers to letters already accepted, whose number is
 * bounded by what was accepted. Only WM_ECANCELED fails. */
enum wm_status wm_mailbox_post_reply(struct wm_mailbox *box, struct wm_letter *letter);

/* Owner. All letters, oldest first, as a list; NULL when there is none. Never waits. */
struct wm_letter *wm_mailbox_take(struct wm_mailbox *box);

/* Owner. Waits for a letter, at most `timeout_ms` (< 0: no limit), or for wm_mailbox_close. Returns what
 * wm_mailbox_take would. */
struct wm_letter *wm_mailbox_wait(struct wm_mailbox *box, int64_t timeout_ms);

/* Any thread. Later posts are refused and the owner's wait returns at once; what is inside can be taken. */
void wm_mailbox_close(struct wm_mailbox *box);
bool wm_mailbox_closed(struct wm_mailbox *box);

/* After every poster has stopped. Letters still inside are the caller's to take first. NULL is fine. */
void wm_mailbox_free(struct wm_mailbox *box);

#endif

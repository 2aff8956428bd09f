/* desk.h -- the way back to the director for callbacks that may come after it has gone.
 *
 * The transport and the engine outlive sessions and may call back late. Whoever waits for such a call holds the desk;
 * what is posted after its closing is dropped. Any thread.
 */
#ifndef WM_SESSIONS_DESK_H
#define WM_SESSIONS_DESK_H

#include "sessions/job.h"

struct wm_desk;

/* One hold belongs to the caller. `box` must live until wm_desk_shut. */
enum wm_status wm_desk_new(struct wm_mailbox *box, struct wm_desk **out, struct wm_error *err);
void wm_desk_hold(struct wm_desk *desk);
/* Delivers the note, or drops it when the desk is shut, and gives up the hold. */
void wm_desk_post(struct wm_desk *desk, struct wm_note *note);
/* After this nothing reaches the mailbox; gives up the maker's hold. NULL is fine. */
void wm_desk_shut(struct wm_desk *desk);
void wm_desk_release(struct wm_desk *desk);

#endif

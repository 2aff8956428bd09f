/* share.h -- how much of the writer's time goes to jobs while webhooks wait. Design: share.c.
 * Store thread only; time is passed in.
 */
#ifndef WM_SESSIONS_SHARE_H
#define WM_SESSIONS_SHARE_H

#include <stdbool.h>
#include <stdint.h>

struct wm_share {
    int cores;         /* of this machine */
    int64_t credit_us; /* that jobs may use now; < 0: they have overdrawn */
    int64_t earned_us; /* when credit was last earned */
    bool flood;
    /* what the flood is told by */
    int64_t window_us;                  /* when the window began */
    uint64_t bodies;                    /* that came in it */
    uint64_t cost_us;                   /* of one body's events; 0: not known yet */
    uint64_t read_before, spent_before; /* of wm_share_events, when cost_us was made */
};

void wm_share_init(struct wm_share *s, int64_t now_us, int cores);

/* A round took so many bodies; by now the director has read `read` of all and spent `spent_us` on it. */
void wm_share_round(struct wm_share *s, int64_t now_us, uint64_t bodies, uint64_t read, uint64_t spent_us);

/* Microseconds that jobs may use now; none when <= 0. `alone`: no body waits. */
int64_t wm_share_credit(struct wm_share *s, int64_t now_us, bool alone);

/* Jobs have used so much, perhaps more than their credit. */
void wm_share_spend(struct wm_share *s, int64_t used_us);

/* Milliseconds until there is credit, when no body comes; 0: there is. */
int64_t wm_share_wait_ms(const struct wm_share *s);

#endif

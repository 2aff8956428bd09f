/* deadlines.c -- a wheel of deadlines.
 *
 * WHY     Every request moves its connection's deadline several times, and almost none is ever reached. The library's
 *         own timers sit in one sorted list: with thousands of idle connections each move walks past all of them.
 *
 * HOW     Slots of 100 ms on a wheel. A deadline that moves to later, the usual case, only changes a number: the
 *         connection stays where it is, and when its slot comes the wheel sees that it is not due and puts it where it
 *         belongs now. A deadline that moves to earlier changes its slot.
 *
 * ALWAYS  A thing is looked at no later than one tick after its deadline, and never before.
 *
 * LIMITS  The wheel is 102 s round; what lies further out is looked at once on the way.
 */
#include "gateway/http/deadlines.h"

#include <stddef.h>

static void unlink_timed(struct wm_http_timed *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->link = NULL;
}

static void place(struct wm_http_wheel *w, struct wm_http_timed *t)
{
    int64_t tick = t->due_ms / WM_HTTP_TICK_MS + 1; /* the first tick that begins after the deadline */
    if (tick < w->tick)
        tick = w->tick;
    if (tick >= w->tick + WM_HTTP_SLOTS)
        tick = w->tick + WM_HTTP_SLOTS - 1;
    struct wm_http_timed **slot = &w->slots[tick % WM_HTTP_SLOTS];
    t->slot_tick = tick;
    t->next = *slot;
    t->link = slot;
    if (t->next)
        t->next->link = &t->next;
    *slot = t;
}

void wm_http_wheel_start(struct wm_http_wheel *w, int64_t now_ms)
{
    *w = (struct wm_http_wheel){.tick = now_ms / WM_HTTP_TICK_MS};
}

void wm_http_wheel_set(struct wm_http_wheel *w, struct wm_http_timed *t, int64_t due_ms)
{
    t->due_ms = due_ms;
    if (t->link && due_ms / WM_HTTP_TICK_MS + 1 >= t->slot_tick)
        return;
    if (t->link)
        unlink_timed(t);
    place(w, t);
}

void wm_http_wheel_remove(struct wm_http_timed *t)
{
    if (t->link)
        unlink_timed(t);
}

void wm_http_wheel_turn(struct wm_http_wheel *w, int64_t now_ms, void (*late)(struct wm_http_timed *t))
{
    for (int64_t last = now_ms / WM_HTTP_TICK_MS; w->tick <= last;) {
        struct wm_http_timed *due = w->slots[w->tick % WM_HTTP_SLOTS];
        w->slots[w->tick % WM_HTTP_SLOTS] = NULL;
        if (due)
            due->link = &due; /* the list is ours now; late() may free its members, the next one too */
        w->tick++;
        while (due) {
            struct wm_http_timed *t = due;
            unlink_timed(t);
            if (t->due_ms <= now_ms)
                late(t);
            else
                place(w, t);
        }
    }
}

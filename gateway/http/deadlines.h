/* deadlines.h -- a wheel of deadlines: setting one costs nothing however many others there are. Essay: deadlines.c. */
#ifndef WM_HTTP_DEADLINES_H
#define WM_HTTP_DEADLINES_H

#include <stdint.h>

enum { WM_HTTP_TICK_MS = 100, WM_HTTP_SLOTS = 1024 };

#define WM_HTTP_NEVER INT64_MAX

/* Embed in what can be late. All zero: on no wheel. */
struct wm_http_timed {
    struct wm_http_timed *next, **link; /* link NULL: on no wheel */
    int64_t due_ms;                     /* the true deadline */
    int64_t slot_tick;                  /* when the wheel will look */
};

struct wm_http_wheel { /* start: wm_http_wheel_start */
    struct wm_http_timed *slots[WM_HTTP_SLOTS];
    int64_t tick; /* the next one to be looked at */
};

void wm_http_wheel_start(struct wm_http_wheel *w, int64_t now_ms);

/* Sets or moves the deadline. */
void wm_http_wheel_set(struct wm_http_wheel *w, struct wm_http_timed *t, int64_t due_ms);
void wm_http_wheel_remove(struct wm_http_timed *t);

/* Calls `late` for each whose deadline has passed; it is off the wheel then, and may be set again or freed there. */
void wm_http_wheel_turn(struct wm_http_wheel *w, int64_t now_ms, void (*late)(struct wm_http_timed *t));

#endif

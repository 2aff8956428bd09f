/* seams.h -- what sessions needs of the world beside disk and network: a clock and a model. The defaults are the real
 * ones; tests bring their own.
 */
#ifndef WM_SESSIONS_SEAMS_H
#define WM_SESSIONS_SEAMS_H

#include <stdint.h>

#include "sessions/brain.h"

struct wm_clock {
    int64_t (*now_ms)(void *self);  /* monotonic */
    int64_t (*wall_ms)(void *self); /* Unix time */
    void *self;
    int64_t longest_sleep_ms; /* of the director; a clock that a test moves must be looked at often */
};

/* The real clock. */
extern const struct wm_clock wm_real_clock;

struct wm_seams {
    const struct wm_brain
        *brain; /* of channels whose binding names no engine; NULL: the engine of the options */
    struct wm_brain (*brain_of)(struct wm_engine *e); /* of the others; NULL: wm_brain_of */
    const struct wm_clock *clock;                     /* NULL: the real one */
};

#endif

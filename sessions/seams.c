/* seams.c -- see seams.h. */
#include "sessions/seams.h"

#include "kernels/base/clock.h"

static int64_t real_now(void *self)
{
    (void)self;
    return wm_now_ms();
}

static int64_t real_wall(void *self)
{
    (void)self;
    return wm_wall_ms();
}

enum { LONGEST_SLEEP_MS = 1000 };

const struct wm_clock wm_real_clock = {
    .now_ms = real_now, .wall_ms = real_wall, .longest_sleep_ms = LONGEST_SLEEP_MS};

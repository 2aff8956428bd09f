/* clock.c -- see clock.h. */
#include "kernels/base/clock.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t wm_now_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t wm_now_ms(void)
{
    return wm_now_us() / 1000;
}

int64_t wm_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

/* share.c -- how much of the writer's time goes to jobs while webhooks wait.
 *
 * WHY     Platforms wait seconds for a 200 and then send again; events can wait, for their bodies are on disk. But
 *         making events costs more than storing bodies, and who gets which half of a busy machine is left to chance
 *         unless somebody decides it.
 *
 * HOW     While bodies come, jobs earn 1/CALM_SHARE of the time that passes; what one overdraws is paid back by waiting.
 *         Alone they use all of it. That is enough as long as the machine can do both.
 *
 *         In a flood it cannot. What tells a flood is no count of bodies, since that depends on the disk and on the
 *         platform, but a price: bodies a second times the time that the director needs to read one, its waiting for a
 *         processor included, so that the price rises when the machine is busy with something else. Would the events of
 *         what comes take more than 1/FLOOD_BEGINS of all cores, jobs earn 1/FLOOD_SHARE, and as the director has few
 *         jobs out at a time, it rests with them. The bodies are read from disk later. The flood is over when the price
 *         is under 1/FLOOD_ENDS: lower, because a flood that waits for answers comes faster without events beside it,
 *         and must not end by being served.
 *
 *             calm --price > 1/FLOOD_BEGINS--> flood --price < 1/FLOOD_ENDS--> calm
 *
 * ALWAYS  Jobs move on in a flood too, at 1/FLOOD_SHARE, and within two windows of its end at full pace.
 *
 * LIMITS  With many cores the director's one thread never reaches the price: there is no flood, and no need of one.
 */
#include "sessions/share.h"

enum {
    CALM_SHARE = 2,
    FLOOD_SHARE = 100,
    FLOOD_BEGINS = 6, /* parts of the machine */
    FLOOD_ENDS = 7,
    WINDOW_US = 100000,
    COST_BODIES = 256, /* a price is made of at least so many: the first few find cold caches */
    CREDIT_MAX_US =
        2000 /* no more is saved up: the longest that jobs hold up a commit, but for the last of them */
};

void wm_share_init(struct wm_share *s, int64_t now_us, int cores)
{
    *s = (struct wm_share){
        .cores = cores > 0 ? cores : 1, .credit_us = CREDIT_MAX_US, .earned_us = now_us, .window_us = now_us};
}

static void learn_cost(struct wm_share *s, uint64_t read, uint64_t spent_us)
{
    if (read - s->read_before < COST_BODIES)
        return;
    s->cost_us = (spent_us - s->spent_before) / (read - s->read_before);
    s->read_before = read;
    s->spent_before = spent_us;
}

void wm_share_round(struct wm_share *s, int64_t now_us, uint64_t bodies, uint64_t read, uint64_t spent_us)
{
    s->bodies += bodies;
    int64_t passed_us = now_us - s->window_us;
    if (passed_us < WINDOW_US)
        return;
    learn_cost(s, read, spent_us);
    uint64_t machine_us = (uint64_t)passed_us * (uint64_t)s->cores;
    s->flood = s->bodies * s->cost_us > machine_us / (s->flood ? FLOOD_ENDS : FLOOD_BEGINS);
    s->bodies = 0;
    s->window_us = now_us;
}

int64_t wm_share_credit(struct wm_share *s, int64_t now_us, bool alone)
{
    s->credit_us += (now_us - s->earned_us) / (s->flood ? FLOOD_SHARE : CALM_SHARE);
    s->earned_us = now_us;
    if ((alone && !s->flood) || s->credit_us > CREDIT_MAX_US)
        s->credit_us = CREDIT_MAX_US;
    return s->credit_us;
}

void wm_share_spend(struct wm_share *s, int64_t used_us)
{
    s->credit_us -= used_us;
}

int64_t wm_share_wait_ms(const struct wm_share *s)
{
    if (!s->flood || s->credit_us > 0)
        return 0;
    int64_t until_us = (1 - s->credit_us) * FLOOD_SHARE;
    return (until_us < WINDOW_US ? until_us : WINDOW_US) / 1000 + 1; /* by then the flood may be over */
}

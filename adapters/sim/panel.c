/* panel.c -- the log of calls that passed between Meta and the gateway, for the panel beside the phone.
 *
 * A ring: the oldest entries leave. Bodies are cut at WM_SIM_LOG_BODY, at a character's end. No header is kept, so no
 * token or signature is shown.
 */
#include "adapters/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

/* At most WM_SIM_LOG_BODY bytes as well-formed text without NUL; malloc'd. NULL: nothing there, or no memory. */
static char *keep(const char *bytes, size_t len)
{
    if (!bytes || !len)
        return NULL;
    if (len > WM_SIM_LOG_BODY)
        len = WM_SIM_LOG_BODY - wm_utf8_incomplete_tail(bytes, WM_SIM_LOG_BODY);
    struct wm_buffer out = WM_BUFFER(3 * WM_SIM_LOG_BODY); /* every byte may become U+FFFD */
    wm_utf8_sanitize(&out, bytes, len);
    for (size_t i = 0; i < out.len; i++)
        if (out.data[i] == '\0')
            out.data[i] = ' ';
    return wm_buffer_take(&out, NULL);
}

static void drop_oldest(struct wm_sim *sim)
{
    struct sim_log **slot = &sim->log[sim->first_log++ % WM_SIM_LOG];
    free((*slot)->request);
    free((*slot)->answer);
    free(*slot);
    *slot = NULL;
}

struct sim_log *wm_sim_log_add(struct wm_sim *sim, int64_t now_ms, bool outward, int contact,
                               const char *what, const char *title, const char *request, size_t len)
{
    struct sim_log *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    if (sim->next_log - sim->first_log == WM_SIM_LOG)
        drop_oldest(sim);
    *entry = (struct sim_log){.seq = sim->next_log++,
                              .at_ms = now_ms,
                              .outward = outward,
                              .contact = contact,
                              .request = keep(request, len)};
    snprintf(entry->what, sizeof entry->what, "%s", what);
    snprintf(entry->title, sizeof entry->title, "%s", title);
    for (char *c = entry->title; *c; c++) /* a path is a stranger's bytes */
        if (*c < ' ' || *c > '~')
            *c = '?';
    sim->log[entry->seq % WM_SIM_LOG] = entry;
    return entry;
}

void wm_sim_log_end(struct wm_sim *sim, int64_t now_ms, struct sim_log *entry, int status, const char *answer,
                    size_t len)
{
    free(entry->answer);
    entry->answer = keep(answer, len);
    entry->status = status;
    entry->took_ms = now_ms - entry->at_ms;
    wm_sim_show_log(sim, entry);
}

struct sim_log *wm_sim_log_at(const struct wm_sim *sim, uint64_t seq)
{
    return seq >= sim->first_log && seq < sim->next_log ? sim->log[seq % WM_SIM_LOG] : NULL;
}

void wm_sim_log_reset(struct wm_sim *sim)
{
    while (sim->first_log < sim->next_log)
        drop_oldest(sim);
}

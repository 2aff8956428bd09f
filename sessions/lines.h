/* lines.h -- the configured channels as the director keeps them: copies that outlive a reload. */
#ifndef WM_SESSIONS_LINES_H
#define WM_SESSIONS_LINES_H

#include "sessions/brain.h"
#include "sessions/sessions.h"

struct wm_line {
    char *name, *account; /* account NULL: any */
    const struct wm_adapter *adapter;
    struct wm_channel *channel;
    struct wm_sampling sampling;
    const struct wm_brain *brain; /* who thinks here; outlives the line */
    int32_t reply_tokens;
    int32_t *head; /* the system prompt as tokens */
    size_t n_head;
    int64_t settle_quiet_ms, settle_at_most_ms;
    bool gone;             /* not in the last reload: takes no new turns */
    bool paused;           /* the platform refuses the whole channel; said once */
    bool media_paused;     /* the same of pictures */
    int64_t not_before_ms; /* monotonic: no call of this channel earlier */
    struct wm_line *next;
};

/* Copies and renders, so that nothing slow is left for the director. Any thread. `brains` has one for each channel,
 * borrowed for as long as the lines live. A list; freed by wm_lines_free. */
enum wm_status wm_lines_new(const struct wm_channel_binding *channels, const struct wm_brain *const *brains,
                            size_t n, struct wm_line **out, struct wm_error *err);
void wm_lines_free(struct wm_line *lines);

struct wm_line *wm_lines_find(struct wm_line *lines, const char *name);

/* Brings `*lines` up to date: a line that stays keeps its address (conversations point to it), takes over what is in
 * `fresh`; one that is not there is `gone`. Takes `fresh`. */
void wm_lines_replace(struct wm_line **lines, struct wm_line *fresh);

#endif

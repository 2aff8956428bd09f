/* log.h -- one line per event on standard error, text or JSON.
 *
 *   12:03:44.120 info  store opened path=data/wingman.db events=120
 *   {"at":"2026-01-01T12:03:44.120Z","level":"info","event":"store opened","path":"data/wingman.db","events":120}
 *
 * Values come as key/value pairs, so that no line is ever glued together from a stranger's text: strings are
 * quoted and escaped, control characters never reach the terminal. Secrets, phone numbers and message bodies
 * are not logged; at WM_LOG_DEBUG a contact may be. Any thread. A line is one write(2).
 */
#ifndef WM_BASE_LOG_H
#define WM_BASE_LOG_H

#include <stdint.h>

enum wm_log_level { WM_LOG_ERROR, WM_LOG_WARN, WM_LOG_INFO, WM_LOG_DEBUG };

/* A pair of the line; make them with the macros below. A NULL `text` is left out. */
struct wm_log_pair {
    const char *key;
    const char *text; /* used when not NULL */
    int64_t number;   /* used when is_number */
    int is_number;
};

#define WM_S(k, v) ((struct wm_log_pair){.key = (k), .text = (v)})
#define WM_N(k, v) ((struct wm_log_pair){.key = (k), .number = (int64_t)(v), .is_number = 1})

/* Before threads start. Defaults: info, text. */
void wm_log_setup(enum wm_log_level level, int json);

void wm_log_pairs(enum wm_log_level level, const char *event, const struct wm_log_pair *pairs, int count);

/* wm_log(WM_LOG_INFO, "channel started", WM_S("channel", name), WM_N("port", port)); at least one pair. */
#define wm_log(level, event, ...)                                                                            \
    wm_log_pairs(level, event, (const struct wm_log_pair[]){__VA_ARGS__},                                    \
                 (int)(sizeof((const struct wm_log_pair[]){__VA_ARGS__}) / sizeof(struct wm_log_pair)))

#endif

/* serve.h -- what `serve` and `demo` have in common: settings with their findings on standard error, and the wait for
 * signals. Main thread only.
 */
#ifndef WM_GATEWAY_SERVE_H
#define WM_GATEWAY_SERVE_H

#include <signal.h>

#include "gateway/app.h"
#include "gateway/settings.h"

/* Loads and sets up the log; NULL after findings that forbid a start (they are printed). */
struct wm_settings *wm_serve_settings(const char *file);

/* For wm_app_start. */
void wm_serve_progress(void *arg, int percent);

/* Blocks TERM, INT and HUP in this thread and those it will start; fills `signals`. */
void wm_serve_block_signals(sigset_t *signals);

/* HUP reloads `file`; TERM or INT drains and frees `app`, then this returns. */
void wm_serve_until_told(struct wm_app *app, const sigset_t *signals, const char *file);

#endif

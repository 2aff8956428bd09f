/* cmd_serve.c -- `wingman serve [-c FILE]`: the daemon.
 *
 * Signals: TERM and INT drain and end (a second one ends at once), HUP reads the settings again and keeps the last good
 * ones when the new are broken. The main thread does nothing but wait for them.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adapters/registry.h"
#include "gateway/app.h"
#include "gateway/command.h"
#include "gateway/serve.h"
#include "kernels/base/log.h"

enum { DRAIN_MS = 20000 }; /* for answers and running turns after SIGTERM; below systemd's 90 s */

struct wm_settings *wm_serve_settings(const char *file)
{
    struct wm_settings *settings = NULL;
    struct wm_findings findings = {.text = WM_BUFFER(64 << 10)};
    enum wm_status st = wm_settings_load(file, wm_adapter_find, &settings, &findings);
    if (findings.text.len)
        fputs(findings.text.data, stderr);
    wm_buffer_free(&findings.text);
    if (st != WM_OK)
        return NULL;
    enum wm_log_level level = strcmp(settings->log.level, "error") == 0   ? WM_LOG_ERROR
                              : strcmp(settings->log.level, "warn") == 0  ? WM_LOG_WARN
                              : strcmp(settings->log.level, "debug") == 0 ? WM_LOG_DEBUG
                                                                          : WM_LOG_INFO;
    wm_log_setup(level, strcmp(settings->log.format, "json") == 0);
    return settings;
}

/* "loading the model 40%" on a terminal; nothing into a log. */
void wm_serve_progress(void *arg, int percent)
{
    (void)arg;
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\rloading the model %d%%%s", percent, percent == 100 ? "\n" : "");
    fflush(stderr);
}

static void reload(struct wm_app *app, const char *file)
{
    struct wm_error err = WM_ERROR_INIT;
    struct wm_settings *settings = wm_serve_settings(file);
    if (!settings)
        wm_fail(&err, WM_EINVAL, "the settings are broken; the last good ones stay");
    else
        wm_app_reload(app, settings, &err);
    if (err.code == WM_OK)
        wm_log(WM_LOG_INFO, "settings reloaded", WM_S("file", file ? file : "built in"));
    else
        wm_log(WM_LOG_ERROR, "settings not reloaded", WM_S("why", err.text));
}

void wm_serve_block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

void wm_serve_until_told(struct wm_app *app, const sigset_t *signals, const char *file)
{
    for (int signal_number = 0; sigwait(signals, &signal_number) == 0;) {
        if (signal_number != SIGHUP)
            break;
        reload(app, file);
    }
    wm_log(WM_LOG_INFO, "draining", WM_N("at_most_ms", DRAIN_MS));
    sigset_t again = *signals; /* from here a second TERM or INT has its ordinary effect: the end */
    sigdelset(&again, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &again, NULL);
    wm_app_stop(app, DRAIN_MS);
    wm_log(WM_LOG_INFO, "stopped", WM_N("pid", getpid()));
}

int wm_cmd_serve(int argc, char **argv)
{
    const char *file = NULL;
    for (int option; (option = getopt(argc, argv, "c:")) != -1;) {
        if (option != 'c') {
            fprintf(stderr, "usage: wingman serve [-c FILE]\n");
            return WM_EXIT_MISUSED;
        }
        file = optarg;
    }
    if (optind != argc) {
        fprintf(stderr, "wingman serve: '%s' is not understood; usage: wingman serve [-c FILE]\n",
                argv[optind]);
        return WM_EXIT_MISUSED;
    }
    sigset_t signals;
    wm_serve_block_signals(&signals); /* before any thread starts: they all inherit it */
    struct wm_settings *settings = wm_serve_settings(file);
    if (!settings)
        return WM_EXIT_FAILED;
    struct wm_error err = WM_ERROR_INIT;
    struct wm_app *app = NULL;
    if (wm_app_start(settings, wm_serve_progress, NULL, &app, &err) != WM_OK) {
        fprintf(stderr, "wingman serve: %s\n", err.text);
        return WM_EXIT_FAILED;
    }
    wm_serve_until_told(app, &signals, file);
    return WM_EXIT_OK;
}

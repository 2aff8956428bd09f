/* settings.h -- the one file of settings, read and checked.
 *
 * Every key is optional; an unknown key, a wrong type or a bad value is refused with file, line, what, and what to do.
 * The schema (names, types, defaults, bounds, help) is one table in settings_schema.c; `check`, the error texts and
 * the loader all come from it.
 */
#ifndef WM_GATEWAY_SETTINGS_H
#define WM_GATEWAY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buffer.h"
#include "kernels/base/error.h"

enum { WM_SETTINGS_CHANNELS = 64, WM_SETTINGS_BOTS = 64, WM_SETTINGS_SECRETS = 8, WM_SETTINGS_ORIGINS = 32 };

struct wm_settings_bot {
    char *name;
    char *system;      /* the `system:` text with every `knowledge:` file appended under its name; NULL: none */
    int64_t max_reply_tokens;
    double temperature, top_p, min_p;
    int64_t top_k, seed;
    int line;
};

struct wm_settings_channel {
    char *name, *platform, *bot, *account, *graph_url;
    char *app_secrets[WM_SETTINGS_SECRETS]; /* resolved from app_secret, app_secret_file (one or a list); NULL-ended */
    char *verify_token, *access_token, *key; /* resolved */
    char *origins[WM_SETTINGS_ORIGINS];
    int64_t settle_quiet_ms, settle_at_most_ms;
    int line;
};

struct wm_settings_listen {
    char *address;
    int port;
};

struct wm_settings {
    char *file; /* NULL: built-in defaults */
    char *data;
    struct wm_settings_listen listen, admin;
    char *tls_certificate, *tls_key;
    char *admin_token; /* resolved from admin.token_file; NULL: none, and then admin listens on loopback only */
    struct {
        char *path, *backend;
        int64_t context, threads;
    } model;
    struct {
        int64_t device, host, disk; /* bytes */
    } kv;
    struct {
        int64_t unknown_wait_ms;
    } delivery;
    struct {
        char *level, *format; /* info; text | json */
    } log;
    struct wm_settings_bot *bots;
    size_t n_bots;
    struct wm_settings_channel *channels;
    size_t n_channels;
};

/* Findings of a check, in file order: "FILE:LINE: error|warning: what; what to do". */
struct wm_findings {
    struct wm_buffer text; /* one finding a line */
    int errors, warnings;
};

/* file NULL: the built-in defaults. `out` is filled only when there is no error. Secrets are read from their files or
 * ${ENV}; relative paths count from the settings file's folder. Findings are the caller's to free (wm_buffer_free). */
enum wm_status wm_settings_load(const char *file, struct wm_settings **out, struct wm_findings *findings);

/* Wipes secrets, then frees. NULL is fine. */
void wm_settings_free(struct wm_settings *s);

#endif

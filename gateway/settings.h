/* settings.h -- the one file of settings, read and checked. How, and why not by a library: settings.c.
 *
 * Every key is optional; an unknown key, a wrong type or a bad value is refused with file, line, what, and what to do.
 * The schema (names, types, defaults, bounds, help) is one table in settings_schema.c; the loader, the error texts and
 * `check --keys` all come from it.
 */
#ifndef WM_GATEWAY_SETTINGS_H
#define WM_GATEWAY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buffer.h"
#include "kernels/base/error.h"

enum {
    WM_SETTINGS_CHANNELS = 64,
    WM_SETTINGS_BOTS = 64,
    WM_SETTINGS_SECRETS = 8, /* of one channel, during rotation */
    WM_SETTINGS_ORIGINS = 32,
    WM_SETTINGS_KNOWLEDGE = 32,         /* files of one bot */
    WM_SETTINGS_BYTES = 1 << 20,        /* the settings file */
    WM_SETTINGS_SYSTEM_BYTES = 1 << 20, /* system prompt with all knowledge */
    WM_SETTINGS_SECRET_MIN = 16         /* bytes; shorter ones can be guessed */
};

#define WM_SETTINGS_DATA "./data" /* the default of `data` */

struct wm_adapter; /* sessions/channel.h; only its address is looked at here */

/* What thinks. After loading, a bot's has every value, its own or that of the top level. */
struct wm_settings_model {
    char *path, *projector; /* projector NULL: none */
    char *backend, *chat_format;
    int64_t context, threads; /* threads >= 1: the cores we may use, where the file says nothing */
};

struct wm_settings_bot {
    char *name;
    char *system; /* the `system:` text with every `knowledge:` file appended under its name; NULL: none */
    char *knowledge[WM_SETTINGS_KNOWLEDGE]; /* paths; their contents are in `system` already */
    int64_t max_reply_tokens;
    double temperature, top_p, min_p;
    int64_t top_k, seed;
    struct wm_settings_model model;
    int line;
};

struct wm_settings_channel {
    char *name, *platform;
    char *bot;                 /* never NULL and always one of `bots` */
    char *account, *graph_url; /* without a slash at the end */
    char *app_secrets
        [WM_SETTINGS_SECRETS]; /* from app_secret and app_secret_file (one or a list); NULL after the last */
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
    char *
        admin_token; /* resolved from admin.token_file; NULL: none, and then admin listens on loopback only */
    struct wm_settings_model model; /* of bots without their own */
    struct {
        int64_t device, host, disk; /* bytes */
    } kv;
    struct {
        int64_t unknown_wait_ms;
    } delivery;
    struct {
        int64_t max_bytes; /* of a picture */
    } media;
    struct {
        char *level, *format; /* info; text | json */
    } log;
    struct wm_settings_bot *bots; /* one named "default" where the file lists none */
    size_t n_bots;
    struct wm_settings_channel *channels;
    size_t n_channels;
};

/* Findings of a check, in file order: "FILE:LINE: error|warning: what; what to do". Start with {0}. */
struct wm_findings {
    struct wm_buffer text; /* one finding a line, each ended with a newline */
    int errors, warnings;
};

/* Reads and checks. file NULL: the built-in defaults. `find` is wm_adapter_find: a platform that it does not know is
 * refused; NULL: every platform is taken. Secrets come from their files or ${ENV}; relative paths count from the
 * settings file's folder. `out` is filled only when there is no error (WM_OK; warnings are fine), else WM_EINVAL,
 * or WM_ENOMEM. Findings are the caller's to free (wm_findings_free), whatever is returned. Any thread. */
enum wm_status wm_settings_load(const char *file, const struct wm_adapter *(*find)(const char *platform),
                                struct wm_settings **out, struct wm_findings *findings);

void wm_findings_free(struct wm_findings *findings);

/* Every key with its type, default and meaning, as a commented YAML text a person can start from. */
enum wm_status wm_settings_describe(struct wm_buffer *out);

/* Wipes secrets, then frees. NULL is fine. */
void wm_settings_free(struct wm_settings *s);

#endif

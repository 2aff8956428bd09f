/* secret.c -- see secret.h. */
#include "adapters/meta/secret.h"

#include <string.h>
#include <strings.h>

/* What templating and examples leave when nobody filled the value in. */
static const char *const placeholders[] = {"undefined",
                                           "null",
                                           "nil",
                                           "none",
                                           "changeme",
                                           "change-me",
                                           "change_me",
                                           "your-app-secret",
                                           "your_app_secret",
                                           "your-access-token",
                                           "your_access_token",
                                           "your-verify-token",
                                           "your_verify_token"};

static int is_placeholder(const char *value)
{
    for (size_t i = 0; i < sizeof placeholders / sizeof *placeholders; i++)
        if (strcasecmp(value, placeholders[i]) == 0)
            return 1;
    return 0;
}

enum wm_status wm_meta_check_secret(const char *channel, const char *setting, const char *value,
                                    size_t min_bytes, struct wm_error *err)
{
    if (!value || !*value)
        return wm_fail(
            err, WM_EINVAL,
            "channel %s: %s is missing; set it, or %s_file, to the value that Meta's App Dashboard shows",
            channel, setting, setting);
    if (is_placeholder(value))
        return wm_fail(err, WM_EINVAL,
                       "channel %s: %s is a placeholder, not a secret; set it to the value that Meta's App "
                       "Dashboard shows",
                       channel, setting);
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7F)
            return wm_fail(err, WM_EINVAL,
                           "channel %s: %s holds a space or a control character; copy it again", channel,
                           setting);
    size_t len = strlen(value);
    if (len < min_bytes)
        return wm_fail(err, WM_EINVAL,
                       "channel %s: %s has %zu characters, it needs at least %zu; a short one can be guessed",
                       channel, setting, len, min_bytes);
    return WM_OK;
}

/* error.h -- how every wingman function says that it failed.
 *
 * A code for the program, a sentence for the person. The sentence holds what was
 * tried, the offending value, the cause, and what to do where that is known.
 * The first cause wins: a later wm_fail on the same wm_error changes nothing.
 */
#ifndef WM_BASE_ERROR_H
#define WM_BASE_ERROR_H

#include <stddef.h>

/* Code, name. One list: the enum and wm_status_name are both made from it. */
#define WM_STATUSES(X)                                                                                       \
    X(OK, "ok")                                                                                              \
    X(EINVAL, "invalid") /* the caller or the input broke a rule */                                          \
    X(ENOMEM, "out of memory")                                                                               \
    X(EIO, "input/output error")                                                                             \
    X(EAGAIN, "try again") /* full or busy; nothing was taken */                                             \
    X(ENOENT, "not found")                                                                                   \
    X(EFORMAT, "malformed")   /* bytes from outside do not have the form they claim */                       \
    X(ELIMIT, "over a limit") /* well-formed, but larger than we accept */                                   \
    X(EEXIST, "exists already")                                                                              \
    X(EDENIED, "denied") /* signature, token or permission */                                                \
    X(ECANCELED, "cancelled")                                                                                \
    X(EUNSUPPORTED, "unsupported")

enum wm_status {
#define X(id, text) WM_##id,
    WM_STATUSES(X)
#undef X
};

enum { WM_ERROR_TEXT = 512 }; /* bytes, terminating NUL included; longer sentences are cut */

struct wm_error {
    enum wm_status code;
    char text[WM_ERROR_TEXT];
};

/* Start of every wm_error: {0} or this. */
#define WM_ERROR_INIT                                                                                        \
    {                                                                                                        \
        WM_OK, ""                                                                                            \
    }

/* Fills `err` (NULL is fine) unless it holds an earlier failure, and returns `code`. Any thread. */
enum wm_status wm_fail(struct wm_error *err, enum wm_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, in a form that shows the compiler which code comes back: it can then tell that outputs left unset by a
 * failure are not read. */
#define wm_fail(err, code, ...)                                                                              \
    __extension__({                                                                                          \
        enum wm_status wm_fail_code_ = (code);                                                               \
        (void)(wm_fail)((err), wm_fail_code_, __VA_ARGS__);                                                  \
        wm_fail_code_;                                                                                       \
    })

/* A fixed text for the code, for metrics and logs. Never NULL. */
const char *wm_status_name(enum wm_status code);

#endif

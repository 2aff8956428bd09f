/* error.c -- see error.h. */
#include "kernels/base/error.h"

#include <stdarg.h>
#include <stdio.h>

enum wm_status(wm_fail)(struct wm_error *err, enum wm_status code, const char *format, ...)
{
    if (err && err->code == WM_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        err->code = code;
    }
    return code;
}

const char *wm_status_name(enum wm_status code)
{
    static const char *const names[] = {
#define X(id, text) text,
        WM_STATUSES(X)
#undef X
    };
    return (size_t)code < sizeof names / sizeof *names ? names[code] : "unknown status";
}

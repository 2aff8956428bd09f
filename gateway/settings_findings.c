/* settings_findings.c -- what a check found, put in file order.
 *
 * Values are read section by section and judged together later, so findings come in any order; a person reads the file
 * from the top. The list keeps the first WM_FINDINGS_KEPT and counts the rest: a file that is not settings at all gets
 * a page, not a book.
 */
#include "gateway/settings_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

enum { FINDING_BYTES = 1024, FINDINGS_TEXT = 256 * 1024 };

void wm_finding_add(struct wm_findings_list *list, enum wm_severity severity, int line, const char *format,
                    ...)
{
    if (severity == WM_FINDING_ERROR)
        list->errors++;
    else
        list->warnings++;
    if (list->n == WM_FINDINGS_KEPT)
        return;

    char text[FINDING_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (unsigned char *c = (unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7F)
            *c = '?';

    struct wm_finding *f = &list->kept[list->n];
    *f = (struct wm_finding){.line = line, .order = list->n, .severity = severity, .text = strdup(text)};
    if (f->text)
        list->n++;
    else
        list->no_memory = true;
}

static int by_line(const void *a, const void *b)
{
    const struct wm_finding *x = a, *y = b;
    return x->line != y->line ? (x->line > y->line) - (x->line < y->line) : x->order - y->order;
}

enum wm_status wm_findings_print(struct wm_findings_list *list, const char *file, struct wm_findings *out)
{
    qsort(list->kept, (size_t)list->n, sizeof list->kept[0], by_line);
    if (out->text.max == 0)
        out->text = WM_BUFFER(FINDINGS_TEXT);
    for (int i = 0; i < list->n; i++) {
        struct wm_finding *f = &list->kept[i];
        const char *severity = f->severity == WM_FINDING_ERROR ? "error" : "warning";
        wm_buffer_puts(&out->text, file);
        if (f->line > 0)
            wm_buffer_printf(&out->text, ":%d", f->line);
        wm_buffer_printf(&out->text, ": %s: ", severity);
        wm_utf8_sanitize(&out->text, f->text, strlen(f->text));
        wm_buffer_puts(&out->text, "\n");
        free(f->text);
    }
    int left = list->errors + list->warnings - list->n;
    if (left > 0)
        wm_buffer_printf(&out->text, "%s: error: %d more findings are not shown; mend these first\n", file,
                         left);
    out->errors += list->errors;
    out->warnings += list->warnings;
    enum wm_status st = list->no_memory || out->text.failed ? WM_ENOMEM : WM_OK;
    *list = (struct wm_findings_list){0};
    return st;
}

void wm_findings_free(struct wm_findings *findings)
{
    wm_buffer_free(&findings->text);
    *findings = (struct wm_findings){0};
}

/* metrics.c -- see metrics.h. Whole numbers are printed as such, so that a counter can be read with the naked eye. */
#include "gateway/metrics.h"

#include <math.h>

/* `quotes`: label values escape them too, help texts do not. */
static void add_escaped(struct wm_buffer *b, const char *text, bool quotes)
{
    for (const char *c = text; *c; c++) {
        if (*c == '\n')
            wm_buffer_puts(b, "\\n");
        else if (*c == '\\' || (*c == '"' && quotes))
            wm_buffer_add(b, (const char[]){'\\', *c}, 2);
        else
            wm_buffer_add(b, c, 1);
    }
}

void wm_metric_head(struct wm_buffer *b, const char *name, const char *type, const char *help)
{
    wm_buffer_printf(b, "# HELP %s ", name);
    add_escaped(b, help, false);
    wm_buffer_printf(b, "\n# TYPE %s %s\n", name, type);
}

void wm_metric_value(struct wm_buffer *b, const char *name, const char *labels, double value)
{
    wm_buffer_puts(b, name);
    if (labels && *labels)
        wm_buffer_printf(b, "{%s}", labels);
    if (isnan(value))
        wm_buffer_puts(b, " NaN\n");
    else if (isinf(value))
        wm_buffer_puts(b, value > 0 ? " +Inf\n" : " -Inf\n");
    else if (value == floor(value) && fabs(value) < 1e15)
        wm_buffer_printf(b, " %.0f\n", value);
    else
        wm_buffer_printf(b, " %.9g\n", value);
}

void wm_metric_label(struct wm_buffer *labels, const char *key, const char *value)
{
    wm_buffer_printf(labels, "%s%s=\"", labels->len ? "," : "", key);
    add_escaped(labels, value, true);
    wm_buffer_puts(labels, "\"");
}

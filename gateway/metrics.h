/* metrics.h -- figures as Prometheus reads them: text format 0.0.4. Appends to a buffer, whose `failed` tells at the end
 * whether all went in. Any thread.
 *
 *   wm_metric_head(b, "wingman_http_answers_total", "counter", "Answers by their status");
 *   wm_metric_value(b, "wingman_http_answers_total", "status=\"2xx\"", 17);
 */
#ifndef WM_METRICS_H
#define WM_METRICS_H

#include "kernels/base/buffer.h"

/* Once for each name, before its values, which follow without another name between. `type`: counter, gauge, histogram.
 * `help` may be any text. */
void wm_metric_head(struct wm_buffer *b, const char *name, const char *type, const char *help);

/* `labels`: as between the braces, or NULL. Values of labels that a stranger can choose go through wm_metric_label. */
void wm_metric_value(struct wm_buffer *b, const char *name, const char *labels, double value);

/* Appends key="value" to `labels`, escaped, with a comma before it when it is not the first. */
void wm_metric_label(struct wm_buffer *labels, const char *key, const char *value);

#endif

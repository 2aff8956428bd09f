/* template.h -- runs the chat template that a model brings: the part of the Jinja language that such templates use.
 *
 * Only to compare: conversations are written down by chat.c, whose control tokens no text can spell; a template turns
 * everything into one text first. Its text comes from strangers, so it is bounded in every direction. Design and
 * limits: template.c. Any thread; one template by one thread at a time.
 */
#ifndef WM_ENGINE_TEMPLATE_H
#define WM_ENGINE_TEMPLATE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buffer.h"
#include "kernels/base/error.h"

struct wm_template;

/* Reads a template. WM_EUNSUPPORTED: a part of the language that we leave out; WM_EFORMAT: no template; WM_ELIMIT:
 * too large. The sentences begin with `name`. */
enum wm_status wm_template_new(const char *name, const char *text, size_t len, struct wm_template **out,
                               struct wm_error *err);
void wm_template_free(struct wm_template *t); /* NULL is fine */

/* Appends what it makes of `variables` (an object, not changed). `now` is what strftime_now tells, in seconds since
 * 1970, UTC. WM_EINVAL: it raised an exception, or asks for what cannot be done with a value; WM_EUNSUPPORTED: a
 * filter, test or function that we leave out; WM_ELIMIT: it takes too long, or gives more than `out` may hold. What
 * was appended before a failure stays. */
enum wm_status wm_template_render(const struct wm_template *t, const json_t *variables, int64_t now,
                                  struct wm_buffer *out, struct wm_error *err);

#endif

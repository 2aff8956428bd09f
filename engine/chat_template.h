/* chat_template.h -- the chat template that a model's files carry: a program in a template language (template.h). */
#ifndef WM_ENGINE_CHAT_TEMPLATE_H
#define WM_ENGINE_CHAT_TEMPLATE_H

#include <stddef.h>

#include "engine/model_file.h"
#include "kernels/base/error.h"

enum { WM_CHAT_TEMPLATE_MAX = 1 << 20 }; /* bytes */

/* Finds it: key tokenizer.chat_template of a GGUF; chat_template.jinja, or `chat_template` in tokenizer_config.json
 * or chat_template.json of a folder (of several the one named "default"). *out is new, NUL-terminated, the caller's;
 * NULL without a template, or with `file` NULL. WM_ELIMIT: too long; WM_EFORMAT: a document that is not what its name
 *      says. Any thread. */
enum wm_status wm_chat_template_find(const struct wm_model_file *file, char **out, size_t *len,
                                     struct wm_error *err);

#endif

/* tool_calls.h -- tools that a model may call: telling it of them, reading its calls, writing them down again.
 *
 * Tools come as in OpenAI's API, a JSON list of {"type": "function", "function": {"name", "description",
 * "parameters"}}; a call is a name and its arguments, a JSON object as text. How a call is written is not up to us
 * but to the model's training; Llama writes one of three forms (tool_calls.c), in answers that hold nothing else. Any
 * thread.
 */
#ifndef WM_ENGINE_TOOL_CALLS_H
#define WM_ENGINE_TOOL_CALLS_H

#include <jansson.h>
#include <stddef.h>

#include "kernels/base/buffer.h"
#include "kernels/base/error.h"

enum {
    WM_TOOL_CALLS_MAX = 64,
    WM_TOOL_TEXT_MAX = 1 << 20, /* bytes of an answer that is looked at, of a list of tools */
    WM_TOOL_NAME_MAX = 128      /* bytes */
};

struct wm_tool_call {
    const char *name;
    const char *arguments; /* a JSON object */
};

struct wm_tool_calls {
    struct wm_tool_call *calls;
    size_t n; /* 0: the answer is text, not calls */
};

/* Reads an answer of a model that was told of tools. Text that is no call, or has one among other words, is no
 * failure: `out` is empty then. WM_ENOMEM. */
enum wm_status wm_tool_calls_parse(const char *text, size_t len, struct wm_tool_calls *out,
                                   struct wm_error *err);
void wm_tool_calls_free(struct wm_tool_calls *c); /* leaves it empty */

/* Appends calls as an assistant's text (wm_chat_message.calls). WM_EINVAL: arguments that are not a JSON object. */
enum wm_status wm_tool_calls_text(const struct wm_tool_call *calls, size_t n, struct wm_buffer *out,
                                  struct wm_error *err);

/* Appends what stands before the first user's text when there are tools: how to call them, and the tools. */
enum wm_status wm_tools_text(const json_t *tools, struct wm_buffer *out, struct wm_error *err);

/* What stands before a system message's text when there are tools. */
extern const char wm_tools_system[];

/* --- for tool_python.c ------------------------------------------------------------------------------------ */

/* Adds a call; takes neither argument. WM_ELIMIT: too many, or a name that is none; WM_EINVAL: arguments are no
 * object. */
enum wm_status wm_tool_calls_add(struct wm_tool_calls *c, const char *name, size_t name_len,
                                 const json_t *arguments);

/* Reads "[name(key=value, ...), ...]" in Python's syntax; the whole text must be such a list. WM_EFORMAT: it is
 * not. */
enum wm_status wm_tool_calls_parse_python(const char *text, size_t len, struct wm_tool_calls *out);

#endif

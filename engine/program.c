/* program.c -- every architecture that we run, in one list. */
#include "engine/program.h"

#include <string.h>

#define PROGRAMS(X) X(llama)

#define X(id) extern const struct wm_program wm_program_##id;
PROGRAMS(X)
#undef X

static const struct wm_program *const programs[] = {
#define X(id) &wm_program_##id,
    PROGRAMS(X)
#undef X
};

#define X(id) " " #id
static const char names[] = PROGRAMS(X);
#undef X

enum wm_status wm_program_find(const struct wm_model_file *f, const struct wm_program **out,
                               struct wm_error *err)
{
    const struct wm_meta *m = wm_model_file_meta(f, "general.architecture");
    if (!m || m->kind != WM_META_STRING)
        return wm_fail(err, WM_EFORMAT,
                       "%s: key general.architecture is missing: this is not a language model",
                       wm_model_file_name(f));
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (strlen(programs[i]->architecture) == m->string.len &&
            memcmp(programs[i]->architecture, m->string.bytes, m->string.len) == 0) {
            *out = programs[i];
            return WM_OK;
        }
    return wm_fail(err, WM_EUNSUPPORTED,
                   "%s: its general.architecture is not one that this build runs (it runs:%s)",
                   wm_model_file_name(f), names);
}

/* verify.h -- looks at every number of a model's files. Caller's thread; reads them whole, in the order of
 * the names. */
#ifndef WM_ENGINE_VERIFY_H
#define WM_ENGINE_VERIFY_H

#include "engine/model_file.h"

struct wm_verified {
    uint64_t tensors, values, bytes; /* looked at */
    uint64_t bad_tensors;            /* with a NaN or an infinity, a scale of a quantised matrix among them */
    uint64_t skipped;                /* of types this build does not read */
};

/* Who is told; any of these may be NULL. */
struct wm_verify_watch {
    void (*found)(void *arg,
                  const char *sentence);      /* for each thing that is wrong: file, tensor, what, where */
    void (*progress)(void *arg, int percent); /* whenever it rises */
    void *arg;
};

/* Counts what is wrong. `watch` may be NULL. */
void wm_model_file_verify(const struct wm_model_file *f, const struct wm_verify_watch *watch,
                          struct wm_verified *out);

#endif

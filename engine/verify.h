/* verify.h -- looks at every number of a model file. Caller's thread; reads the whole file. */
#ifndef WM_ENGINE_VERIFY_H
#define WM_ENGINE_VERIFY_H

#include "engine/model_file.h"

struct wm_verified {
    uint64_t tensors, values, bytes; /* looked at */
    uint64_t bad_tensors;            /* with a NaN or an infinity */
    uint64_t skipped;                /* of types this build does not read */
    uint64_t overlaps;               /* pairs of neighbours in the file that share bytes */
};

/* Counts what is wrong and calls `found` (may be NULL) with a sentence for each. WM_ENOMEM is its only failure. */
enum wm_status wm_model_file_verify(const struct wm_model_file *f,
                                    void (*found)(void *arg, const char *sentence), void *arg,
                                    struct wm_verified *out, struct wm_error *err);

#endif

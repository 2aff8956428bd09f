/* claims.h -- what is claimed of every face: one test for each claim, face and path, by its name.
 *
 * The faces are those of wm_faces: a new one is tested as soon as it is listed there. What this machine lacks is
 * skipped, and says so.
 */
#ifndef WM_TESTS_KERNELS_CLAIMS_H
#define WM_TESTS_KERNELS_CLAIMS_H

#include "tests/kernels/twin.h"

/* A face, and the path of it where it has several. */
struct face_kind {
    const struct wm_ops *ops;
    const char *path; /* NULL: it has one */
};

/* Fails the test when the face does not open. */
struct face open_kind(const struct face_kind *kind, int threads);

struct claim {
    const char *name;
    void (*check)(const struct face_kind *kind);
};
#define CLAIM(function)                                                                                      \
    {                                                                                                        \
#function, function                                                                                  \
    }

/* Runs every claim on every face; returns what main shall. */
int check_claims(const struct claim *claims, size_t n);

#endif

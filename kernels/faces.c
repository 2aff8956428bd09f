/* faces.c -- every face that we ship, in one greppable list, slowest first. */
#include "kernels/ops.h"

#include <string.h>

#define WM_FACES(X) X(reference) X(cpu)

#define X(id) extern const struct wm_ops wm_ops_##id;
WM_FACES(X)
#undef X

#define X(id) &wm_ops_##id,
const struct wm_ops *const wm_faces[] = {WM_FACES(X) NULL};
#undef X

const struct wm_ops *wm_face(const char *name)
{
    for (int i = 0; wm_faces[i]; i++)
        if (strcmp(wm_faces[i]->name, name) == 0)
            return wm_faces[i];
    return NULL;
}

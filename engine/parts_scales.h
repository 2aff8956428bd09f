/* parts_scales.h -- a part as found in its file, and the scales that lie beside its codes; for parts.c. */
#ifndef WM_ENGINE_PARTS_SCALES_H
#define WM_ENGINE_PARTS_SCALES_H

#include "engine/parts_names.h"

enum { WM_PART_NAME_BYTES = 160 };

struct wm_found_part {
    const struct wm_model_file *file;
    const struct wm_part_place *place;
    char stem[WM_PART_NAME_BYTES];
    const struct wm_tensor *weight, *scale, *shape; /* the last two NULL: none */
    bool packed;                                    /* eight codes of 4 bits in each number of `weight` */
};

/* The tensor named stem + suffix, or NULL. */
const struct wm_tensor *wm_part_beside(const struct wm_found_part *x, const char *suffix);

/* The scales of a quantised weight, or NULL. */
const struct wm_tensor *wm_part_scale_tensor(const struct wm_found_part *x);

/* Fills out->scales, x->scale and x->shape; out's other fields are filled in already. WM_EUNSUPPORTED: a
 * quantisation that this build does not read. */
enum wm_status wm_part_scales(struct wm_found_part *x, int32_t expert, int32_t experts, struct wm_matrix *out,
                              struct wm_error *err);

#endif

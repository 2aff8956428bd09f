/* parts_names.h -- what each part is called in a file, and how it lies there; for parts.c. */
#ifndef WM_ENGINE_PARTS_NAMES_H
#define WM_ENGINE_PARTS_NAMES_H

#include "engine/parts.h"

/* How a part lies in its tensor. */
enum {
    WM_AT_STACKED = 1, /* all experts in one tensor, one behind the other */
    WM_AT_FLIPPED = 2, /* columns before rows: y = x W, where others are y = x W^T */
    WM_AT_FIRST = 4,   /* the first half of the tensor's rows; the tensor holds gate and up */
    WM_AT_SECOND = 8,
    WM_AT_BARE = 16,  /* the name has no ".weight" */
    WM_AT_LLAMA = 32, /* only in that family */
    WM_AT_LLAMA4 = 64
};

/* In `stem`, '^' stands for the prefix of the text model, '#' for the layer, '@' for the expert. */
struct wm_part_place {
    enum wm_part part;
    const char *stem;
    unsigned at;
};

/* Ends with a NULL stem. Where a part has several rows, the first whose tensor is there counts. */
extern const struct wm_part_place wm_places_gguf[];
extern const struct wm_part_place wm_places_hf[];

#endif

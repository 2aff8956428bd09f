/* verify.c -- see verify.h. Ranges and shapes were checked when the files were opened; here the values are looked at.
 *
 * What has been looked at is given back to the system, so that a model larger than the memory does not push
 * everything else out.
 */
#include "engine/verify.h"

#include <math.h>
#include <stdio.h>

#include "kernels/pages.h"

enum { CHUNK = 4096 }; /* elements at a time; a multiple of every block */

struct work {
    const struct wm_verify_watch *watch;
    struct wm_verified *out;
    uint64_t total, done; /* bytes */
    int percent;
};

static void tell(const struct work *w, const struct wm_tensor *t, const char *what, uint64_t at)
{
    char sentence[1024];
    if (!w->watch || !w->watch->found)
        return;
    snprintf(sentence, sizeof sentence, "%s: tensor %s %s at element %llu", t->file, t->name, what,
             (unsigned long long)at);
    w->watch->found(w->watch->arg, sentence);
}

static void advance(struct work *w, uint64_t bytes)
{
    w->done += bytes;
    int percent = w->total ? (int)(w->done * 100.0 / (double)w->total) : 100;
    if (percent <= w->percent || !w->watch || !w->watch->progress)
        return;
    w->percent = percent;
    w->watch->progress(w->watch->arg, percent);
}

/* Index of the first value that is not finite, or `count`. A NaN scale makes a whole block NaN. */
static uint64_t first_bad(struct work *w, const struct wm_tensor *t, const struct wm_type_info *info,
                          uint64_t count)
{
    float values[CHUNK];
    for (uint64_t at = 0; at < count; at += CHUNK) {
        uint64_t n = count - at < CHUNK ? count - at : CHUNK;
        wm_dequantize(info->type, (const char *)t->data + at / info->block * info->bytes, n, values);
        for (uint64_t i = 0; i < n; i++)
            if (!isfinite(values[i])) {
                advance(w, (count - at) / info->block * info->bytes);
                return at + i;
            }
        advance(w, n / info->block * info->bytes);
    }
    return count;
}

/* Whole numbers: packed codes and shapes. None of them is a NaN. */
static bool is_whole(uint32_t type)
{
    return type == WM_PLAIN_I8 || type == WM_PLAIN_I16 || type == WM_PLAIN_I32 || type == WM_PLAIN_I64 ||
           type == WM_PLAIN_U8;
}

static void look_at(struct work *w, const struct wm_tensor *t)
{
    const struct wm_type_info *info = wm_type_info(t->type);
    uint64_t count = (uint64_t)(t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3]);
    if (!info && !(is_whole(t->type) && t->bytes)) {
        w->out->skipped++;
        advance(w, t->bytes);
        return;
    }
    w->out->tensors++;
    w->out->values += count;
    w->out->bytes += t->bytes;
    if (!info) {
        advance(w, t->bytes);
        return;
    }
    uint64_t bad = first_bad(w, t, info, count);
    if (bad < count) {
        w->out->bad_tensors++;
        tell(w, t, "is not a finite number", bad);
    }
    if (t->mapped)
        wm_pages_drop(t->data, t->bytes);
}

void wm_model_file_verify(const struct wm_model_file *f, const struct wm_verify_watch *watch,
                          struct wm_verified *out)
{
    *out = (struct wm_verified){0};
    struct work w = {.watch = watch, .out = out};
    size_t n = wm_model_file_tensors(f);
    for (size_t i = 0; i < n; i++)
        w.total += wm_model_file_tensor_at(f, i)->bytes;
    for (size_t i = 0; i < n; i++)
        look_at(&w, wm_model_file_tensor_at(f, i));
}

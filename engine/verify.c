/* verify.c -- see verify.h. Ranges and shapes were checked when the file was opened; here the values are looked at. */
#include "engine/verify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK = 4096 }; /* elements at a time; a multiple of every block */

static void tell(void (*found)(void *arg, const char *sentence), void *arg, const char *name,
                 const char *what, uint64_t at)
{
    char sentence[512];
    snprintf(sentence, sizeof sentence, "tensor %s %s at element %llu", name, what, (unsigned long long)at);
    if (found)
        found(arg, sentence);
}

/* Index of the first value that is not finite, or `count`. A NaN scale makes a whole block NaN. */
static uint64_t first_bad(const struct wm_tensor *t, const struct wm_type_info *info, uint64_t count)
{
    float values[CHUNK];
    for (uint64_t at = 0; at < count; at += CHUNK) {
        uint64_t n = count - at < CHUNK ? count - at : CHUNK;
        wm_dequantize(info->type, (const char *)t->data + at / info->block * info->bytes, n, values);
        for (uint64_t i = 0; i < n; i++)
            if (!isfinite(values[i]))
                return at + i;
    }
    return count;
}

static int by_place(const void *a, const void *b)
{
    const struct wm_tensor *x = *(const struct wm_tensor *const *)a, *y = *(const struct wm_tensor *const *)b;
    return (x->data > y->data) - (x->data < y->data);
}

static enum wm_status count_overlaps(const struct wm_model_file *f,
                                     void (*found)(void *arg, const char *sentence), void *arg,
                                     struct wm_verified *out, struct wm_error *err)
{
    size_t n = wm_model_file_tensors(f);
    const struct wm_tensor **order = malloc((n + 1) * sizeof *order);
    if (!order)
        return wm_fail(err, WM_ENOMEM, "no memory to verify %zu tensors", n);
    for (size_t i = 0; i < n; i++)
        order[i] = wm_model_file_tensor_at(f, i);
    qsort(order, n, sizeof *order, by_place);
    for (size_t i = 1; i < n; i++)
        if ((const char *)order[i - 1]->data + order[i - 1]->bytes > (const char *)order[i]->data) {
            out->overlaps++;
            tell(found, arg, order[i]->name, "shares bytes with another", 0);
        }
    free(order);
    return WM_OK;
}

enum wm_status wm_model_file_verify(const struct wm_model_file *f,
                                    void (*found)(void *arg, const char *sentence), void *arg,
                                    struct wm_verified *out, struct wm_error *err)
{
    *out = (struct wm_verified){0};
    for (size_t i = 0; i < wm_model_file_tensors(f); i++) {
        const struct wm_tensor *t = wm_model_file_tensor_at(f, i);
        const struct wm_type_info *info = wm_type_info(t->type);
        if (!info) {
            out->skipped++;
            continue;
        }
        uint64_t count = t->bytes / info->bytes * info->block, bad = first_bad(t, info, count);
        out->tensors++;
        out->values += count;
        out->bytes += t->bytes;
        if (bad < count) {
            out->bad_tensors++;
            tell(found, arg, t->name, "is not a finite number", bad);
        }
    }
    return count_overlaps(f, found, arg, out, err);
}

/* parts_scales.c -- the scales that quantisers write beside their codes.
 *
 *   compressed-tensors   NAME.weight (FP8) or NAME.weight_packed (4 bits, 8 in a number, lowest first, 8 added) with
 *                        NAME.weight_scale: one number, [out, 1], [out, in / group] or blocks of 128 x 128;
 *                        NAME.weight_shape [2]: out, in
 *   fbgemm_fp8           experts.gate_up_proj with experts.gate_up_proj_scale [experts, 1, out],
 *                        experts.down_proj_scale [experts, out, 1]: one for each *output*, whatever
 *                        the shape looks like
 *   ModelOpt             experts.gate_up_proj_weight_scale: one number, or one for each expert
 *
 * Sources: vllm-project/compressed-tensors (initialize.py, pack_quantized.py), transformers'
 * integrations/fbgemm_fp8.py. Zero points and reordered columns (g_idx) are refused: nobody writes them for
 * this family, and leaving them out would be wrong.
 */
#include "engine/parts_scales.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK = 128 };

const struct wm_tensor *wm_part_beside(const struct wm_found_part *x, const char *suffix)
{
    char name[WM_PART_NAME_BYTES + 32];
    snprintf(name, sizeof name, "%s%s", x->stem, suffix);
    return wm_model_file_tensor(x->file, name);
}

const struct wm_tensor *wm_part_scale_tensor(const struct wm_found_part *x)
{
    if (!(x->place->at & WM_AT_BARE))
        return wm_part_beside(x, ".weight_scale");
    const struct wm_tensor *t = wm_part_beside(x, "_scale");
    return t ? t : wm_part_beside(x, "_weight_scale");
}

static enum wm_status unsupported(const struct wm_found_part *x, const struct wm_tensor *t, const char *why,
                                  struct wm_error *err)
{
    return wm_fail(err, WM_EUNSUPPORTED, "%s: tensor %s: %s", wm_model_file_name(x->file), t->name, why);
}

/* Of `n` elements, how many share one of `k` scales; 0: no rule gives that. Even groups of a power of two come
 * first, then blocks of 128, the last of which may be shorter, then even groups of any size: 200 elements with
 * 2 scales are a block and a rest, not twice 100. */
static int64_t group_of(int64_t n, int64_t k)
{
    int64_t even = n % k == 0 ? n / k : 0;
    if (even && (even & (even - 1)) == 0)
        return even;
    return (n + BLOCK - 1) / BLOCK == k ? BLOCK : even;
}

/* Scales of a matrix with a tensor of its own: [rows or groups of them, columns or groups of them]. */
static bool fill_grid(const struct wm_tensor *t, const struct wm_matrix *m, struct wm_scales *s)
{
    bool line = t->n_dims == 1 && t->dims[0] == m->rows; /* [out]: one for each row */
    int64_t down = line ? t->dims[0] : t->dims[1], across = line ? 1 : t->dims[0];
    if (t->dims[2] != 1 || t->dims[3] != 1 || down > m->rows || across > m->cols)
        return false;
    s->row_group = group_of(m->rows, down);
    s->col_group = group_of(m->cols, across);
    s->row_step = down == 1 ? 0 : across;
    s->col_step = across == 1 ? 0 : 1;
    return s->row_group && s->col_group;
}

/* Scales of fused experts: one for all, one for each expert, or one for each output of each expert. */
static bool fill_stack(const struct wm_found_part *x, const struct wm_tensor *t, const struct wm_matrix *m,
                       int32_t expert, int32_t experts, struct wm_scales *s)
{
    int64_t held = x->place->at & (WM_AT_FIRST | WM_AT_SECOND) ? 2 * m->rows : m->rows, skip = 0;
    int64_t n = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    *s = (struct wm_scales){.row_group = 1, .col_group = 1};
    if (n == experts * held) {
        skip = expert * held + (x->place->at & WM_AT_SECOND ? m->rows : 0);
        s->row_step = 1;
    } else if (n == experts) {
        skip = expert;
    } else if (n != 1) {
        return false;
    }
    s->data = (const char *)t->data + skip * wm_type_info(t->type)->bytes;
    return true;
}

/* weight_shape, where it is given, says what the packing hides. */
static enum wm_status check_packing(struct wm_found_part *x, const struct wm_matrix *m, struct wm_error *err)
{
    const struct wm_tensor *zero = wm_part_beside(x, ".weight_zero_point");
    const struct wm_tensor *order = wm_part_beside(x, ".weight_g_idx");
    if (zero)
        return unsupported(x, zero, "codes with a zero point are not read here: quantise symmetrically", err);
    if (order)
        return unsupported(x, order,
                           "codes in another order than their columns are not read here: quantise "
                           "without activation order",
                           err);
    const struct wm_tensor *t = x->shape = wm_part_beside(x, ".weight_shape");
    if (!t)
        return WM_OK;
    size_t each = t->type == WM_PLAIN_I64 ? 8 : t->type == WM_PLAIN_I32 ? 4 : 0;
    if (!each || t->n_dims != 1 || t->dims[0] != 2)
        return unsupported(x, t, "it must be two whole numbers, the rows and columns", err);
    int64_t said[2] = {0};
    for (size_t i = 0; i < 2; i++)
        memcpy(&said[i], (const char *)t->data + i * each, each); /* little-endian, and never negative */
    return said[0] == m->rows && said[1] == m->cols
               ? WM_OK
               : wm_fail(err, WM_EFORMAT,
                         "%s: tensor %s says %lld x %lld, the architecture asks for %lld x %lld: config and "
                         "weights "
                         "contradict each other",
                         wm_model_file_name(x->file), t->name, (long long)said[0], (long long)said[1],
                         (long long)m->rows, (long long)m->cols);
}

enum wm_status wm_part_scales(struct wm_found_part *x, int32_t expert, int32_t experts, struct wm_matrix *out,
                              struct wm_error *err)
{
    bool coded = out->type == WM_TYPE_F8_E4M3 || out->type == WM_TYPE_I4;
    const struct wm_tensor *t = x->scale = wm_part_scale_tensor(x);
    if (!t && !coded)
        return WM_OK;
    if (!t)
        return unsupported(x, x->weight, "codes without their scales (weight_scale): the file is not whole",
                           err);
    if (!coded)
        return unsupported(x, t, "scales beside a tensor that is not quantised", err);
    enum wm_status st = x->packed ? check_packing(x, out, err) : WM_OK;
    if (st != WM_OK)
        return st;
    if (t->type != WM_TYPE_F32 && t->type != WM_TYPE_F16 && t->type != WM_TYPE_BF16)
        return unsupported(x, t, "scales must be F32, F16 or BF16", err);
    struct wm_scales s = {.data = t->data};
    bool ok =
        x->place->at & WM_AT_STACKED ? fill_stack(x, t, out, expert, experts, &s) : fill_grid(t, out, &s);
    s.type = (enum wm_type)t->type;
    out->scales = s;
    return ok ? WM_OK
              : unsupported(x, t,
                            "its shape fits no way of scaling that this build knows (one, one for each row, "
                            "groups along a row, blocks)",
                            err);
}

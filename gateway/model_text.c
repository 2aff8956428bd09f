/* model_text.c -- see model_text.h. */
#include "gateway/model_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 32, TEXTS = 8, SHOWN_LAYERS = 4 };

static char *next_text(void)
{
    static char texts[TEXTS][TEXT_BYTES];
    static int at;
    return texts[at++ % TEXTS];
}

const char *wm_text_count(int64_t n)
{
    char digits[TEXT_BYTES], *text = next_text();
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), out = 0;
    for (int i = 0; i < len && out < TEXT_BYTES - 2; i++) {
        if (i && digits[i - 1] != '-' && (len - i) % 3 == 0)
            text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = '\0';
    return text;
}

const char *wm_text_bytes(double bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    char *text = next_text();
    int unit = 0;
    while (bytes >= 1024 && unit < 5) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, TEXT_BYTES, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return text;
}

static int count(const bool *set, int32_t n, bool value)
{
    int found = 0;
    for (int32_t i = 0; i < n; i++)
        found += set[i] == value;
    return found;
}

/* The first layers that are `value`: "3, 7, 11, 15 ...". */
static void print_layers(const bool *set, int32_t n, bool value)
{
    int shown = 0;
    for (int32_t i = 0; i < n; i++) {
        if (set[i] != value)
            continue;
        if (shown == SHOWN_LAYERS) {
            printf(" ...");
            return;
        }
        printf("%s%d", shown++ ? ", " : "", i);
    }
}

static void print_layer_kinds(const struct wm_arch *a)
{
    int plain = count(a->rope, a->layers, false);
    printf("  layers       %d of width %d", a->layers, a->width);
    if (a->chunk)
        printf(", %d of them in chunks of %lld positions", a->layers - plain, (long long)a->chunk);
    if (plain) {
        printf(", %d without rope over the whole history (", plain);
        print_layers(a->rope, a->layers, false);
        printf(")");
    }
    printf("\n");
}

static void print_feed_forward(const struct wm_arch *a)
{
    int moe = count(a->moe, a->layers, true);
    if (moe < a->layers)
        printf("  feed-forward %d, in %d of the layers\n", a->dense_hidden, a->layers - moe);
    if (!moe)
        return;
    printf("  experts      %d of %d, %d used by a token", a->experts, a->expert_hidden, a->experts_used);
    if (a->shared_hidden)
        printf(", and a shared one of %d", a->shared_hidden);
    printf(", in %d of the layers", moe);
    if (moe < a->layers) {
        printf(" (");
        print_layers(a->moe, a->layers, true);
        printf(")");
    }
    printf("\n");
}

/* Which pairs turn slower than the base alone would have them. */
static void print_rope(const struct wm_arch *a)
{
    int pairs = a->head_dim / 2, first = pairs;
    double most = 1;
    for (int i = pairs - 1; i >= 0; i--) {
        double slower = pow(a->rope_base, -2.0 * i / a->head_dim) / a->inv_freq[i];
        if (slower > 1.0001)
            first = i;
        most = fmax(most, slower);
    }
    printf("  rope         base %g, %s", a->rope_base,
           a->pairing == WM_ROPE_HALVES ? "halves of a head" : "adjacent pairs");
    if (first < pairs)
        printf("; pairs %d to %d turn up to %.4g times slower", first, pairs - 1, most);
    printf("\n");
}

static void print_attention(const struct wm_arch *a)
{
    printf("  attention    %d heads of %d, %d for keys and values", a->heads, a->head_dim, a->kv_heads);
    if (a->qk_norm)
        printf(", q and k normed");
    if (a->temperature_floor > 0 && count(a->rope, a->layers, false))
        printf(", temperature %g per step of %g positions", a->temperature_scale, a->temperature_floor);
    printf("\n");
}

static void print_vision(const struct wm_vision_arch *v)
{
    if (!v->layers) {
        printf("  pictures     none\n");
        return;
    }
    if (v->max_tiles == 1)
        printf("  pictures     one tile of %d x %d pixels, %d tokens\n", v->image, v->image,
               wm_tile_tokens(v));
    else
        printf("  pictures     up to %d tiles of %d x %d pixels and one of the whole, %d tokens each\n",
               v->max_tiles, v->image, v->image, wm_tile_tokens(v));
    printf("               tower of %d layers of width %d, %d heads, patches of %d x %d\n", v->layers,
           v->width, v->heads, v->patch, v->patch);
}

void wm_print_arch(const struct wm_arch *a)
{
    printf("architecture: %s\n", wm_family_name(a->family));
    print_layer_kinds(a);
    print_attention(a);
    print_rope(a);
    print_feed_forward(a);
    printf("  vocabulary   %s tokens, %s\n", wm_text_count(a->vocabulary),
           a->tied ? "the embeddings serve as output" : "an output matrix of its own");
    printf("  trained for  %s positions\n", wm_text_count(a->context));
    print_vision(&a->vision);
}

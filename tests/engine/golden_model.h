/* golden_model.h -- models with expected outputs made by an independent implementation: those beside the
 * tree, and the smaller ones within it (tests/models/tiny/), which every machine has. */
#ifndef WM_TESTS_ENGINE_GOLDEN_MODEL_H
#define WM_TESTS_ENGINE_GOLDEN_MODEL_H

#include "tests/engine/golden.h"

#include <stdbool.h>

#include "engine/score.h"

/* Tolerances (source: the README of the golden vectors): a face in float32 or better is held position by
 * position, one with 8-bit activations by the median of its relative errors, since a single route may
 * flip. */
#define EXACT_ERROR  2e-4 /* of the logits' standard deviation */
#define LONG_ERROR   1e-3 /* the same, prompts of thousands of positions */
#define COARSE_ERROR 0.15 /* median over positions of |error| / |logits| */
#define VISION_ERROR 2e-5 /* absolute, of what the tower hands over */

enum { MAX_MODELS = 40, GREEDY = 24 };

struct golden {
    char name[64], model[160], tensors[160], images[160];
    json_t *json;
    double std; /* of the logits */
};

/* Opens all there are, at most MAX_MODELS; prints what is not there. */
int golden_open_all(struct golden out[MAX_MODELS]);
void golden_close_all(struct golden *g, int n);

/* One by its name ("models/scout-tiny"); false: it is not there. */
bool golden_open(struct golden *g, const char *name);

/* A score that is ready for this model; `slice` and `company` as wm_score_options has them. */
struct wm_score *golden_score(const struct golden *g, const char *face, int32_t slice, int32_t company);

/* The prompt's ids, and its pictures shown to `s`. */
void golden_prompt(const struct golden *g, const char *prompt, struct wm_score *s, struct wm_tokens *ids);

/* Logits, position by position. */
struct recorded {
    int32_t rows, vocabulary;
    float *logits; /* [rows, vocabulary] */
};
void record(struct recorded *r, struct wm_score *s, const struct wm_tokens *ids, int32_t greedy,
            struct wm_tokens *out);
void recorded_free(struct recorded *r);

/* The largest error of `rows` rows from `first` on, in standard deviations; adds each row's relative error to
 * the list `relative`, which has `*n`. */
double largest_error(const struct golden *g, const struct recorded *r, int32_t first, const double *want,
                     size_t rows, double *relative, size_t *n);
double median(double *values, size_t n);

bool is_exact(const char *face);

#endif

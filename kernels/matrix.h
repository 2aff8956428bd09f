/* matrix.h -- reads a matrix as a file holds it: whatever its type, which way its lines run, and where its scales lie.
 *
 * The one place that knows `struct wm_matrix`. A "line" is what lies together: a row, or a column when transposed. Any
 * thread.
 */
#ifndef WM_KERNELS_MATRIX_H
#define WM_KERNELS_MATRIX_H

#include "kernels/ops.h"

/* Where line `i` begins: row i, or column i of a transposed matrix. */
const uint8_t *wm_matrix_line(const struct wm_matrix *m, int64_t i);

/* The scale beside element (row, col); 1 without scales. */
float wm_matrix_scale(const struct wm_matrix *m, int64_t row, int64_t col);

/* out[0..cols) = row `row`, scales applied: each value is rounded once more by its scale. */
void wm_matrix_row(const struct wm_matrix *m, int64_t row, float *out);

/* Gives the pages of a mapped matrix back to the system; nothing is done for others. */
void wm_matrix_drop(const struct wm_matrix *m);

#endif

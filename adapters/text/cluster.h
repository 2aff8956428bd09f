/* cluster.h -- where a text may be cut without tearing a character as people see it.
 * Any thread.
 */
#ifndef WM_TEXT_CLUSTER_H
#define WM_TEXT_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the first cluster of text[0..len), len >= 1, UTF-8: at least one code point, all of `len` at most. */
size_t wm_cluster_len(const char *text, size_t len);

/* A letter, digit or mark of any script, as far as ASCII and the general punctuation tell: what a style marker may not
 * touch from outside. */
bool wm_cluster_is_word(uint32_t code);

#endif

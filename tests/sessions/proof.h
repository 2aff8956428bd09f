/* proof.h -- what must be true after any accident: every acknowledged message is in the transcript once and in order,
 * and was answered once. Texts of one contact are numbered: 0, 1, 2 ... A picture's number is its caption.
 */
#ifndef WM_TESTS_SESSIONS_PROOF_H
#define WM_TESTS_SESSIONS_PROOF_H

#include <stddef.h>

/* Fails the test unless the transcript of `contact` holds the texts 0..n-1 in that order, each in one turn, with one
 * reply per turn. */
void prove_transcript(const char *dir, const char *contact, int n);

/* Fails the test unless the replies ("re: 0,1" ...) that reached the platform, in order, answer 0..n-1 once each. */
void prove_replies(const char *contact, const char *const *replies, size_t n_replies, int n);

#endif

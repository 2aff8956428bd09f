/* check.h -- cmocka with the includes it wants, and what our tests share. */
#ifndef WM_TESTS_CHECK_H
#define WM_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* |got - want| <= tolerance; prints both expressions and values when not. */
#define CHECK_NEAR(got, want, tolerance)                                                                     \
    do {                                                                                                     \
        double got_ = (got), want_ = (want);                                                                 \
        if (!(got_ - want_ <= (tolerance) && want_ - got_ <= (tolerance)))                                   \
            fail_msg("%s is %.9g, %s is %.9g: apart by more than %g", #got, got_, #want, want_,              \
                     (double)(tolerance));                                                                   \
    } while (0)

/* Leaves the test as skipped, with the reason in the log. */
#define SKIP(reason)                                                                                         \
    do {                                                                                                     \
        print_message("SKIP: %s\n", (reason));                                                               \
        skip();                                                                                              \
    } while (0)

#endif

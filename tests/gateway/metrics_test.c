/* metrics_test.c -- the text that Prometheus reads, read back as strictly as the format is written. */
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/metrics.h"

static void figures_are_written_as_prometheus_reads_them(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},       {17, "17"},        {-3, "-3"},         {1e12, "1000000000000"},
                 {0.25, "0.25"}, {1e300, "1e+300"}, {INFINITY, "+Inf"}, {-INFINITY, "-Inf"},
                 {NAN, "NaN"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct wm_buffer b = WM_BUFFER(1000);
        char want[100];
        wm_metric_value(&b, "a_total", NULL, cases[i].value);
        snprintf(want, sizeof want, "a_total %s\n", cases[i].text);
        assert_string_equal(b.data, want);
        wm_buffer_free(&b);
    }
}

static void help_and_labels_cannot_break_out_of_their_line(void **state)
{
    (void)state;
    struct wm_buffer b = WM_BUFFER(1000), labels = WM_BUFFER(1000);
    wm_metric_label(&labels, "who", "a\"b\\c\nd");
    wm_metric_label(&labels, "what", "");
    wm_metric_head(&b, "x", "gauge", "one\\two\n\"three\"");
    wm_metric_value(&b, "x", labels.data, 1);
    wm_metric_value(&b, "x", "", 2);
    assert_string_equal(b.data, "# HELP x one\\\\two\\n\"three\"\n"
                                "# TYPE x gauge\n"
                                "x{who=\"a\\\"b\\\\c\\nd\",what=\"\"} 1\n"
                                "x 2\n");
    wm_buffer_free(&b);
    wm_buffer_free(&labels);
}

static void a_full_buffer_says_so(void **state)
{
    (void)state;
    struct wm_buffer b = WM_BUFFER(20);
    wm_metric_head(&b, "x", "gauge", "longer than the buffer may grow");
    assert_true(b.failed);
    wm_buffer_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_written_as_prometheus_reads_them),
        cmocka_unit_test(help_and_labels_cannot_break_out_of_their_line),
        cmocka_unit_test(a_full_buffer_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

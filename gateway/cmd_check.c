/* cmd_check.c -- `wingman check [-c FILE] [--keys]`: everything that `serve` would refuse, without serving.
 *
 * Findings go to standard output, one a line, and one closing line tells the verdict. The channels are opened by their
 * adapters too: what only a platform can judge (a placeholder instead of a token) is found here and not at the start.
 */
#include <getopt.h>
#include <stdio.h>

#include "adapters/registry.h"
#include "gateway/channels.h"
#include "gateway/command.h"
#include "gateway/settings.h"

static int print_keys(void)
{
    struct wm_buffer text = WM_BUFFER(64 * 1024);
    enum wm_status st = wm_settings_describe(&text);
    if (st == WM_OK)
        fputs(text.data, stdout);
    wm_buffer_free(&text);
    return st == WM_OK ? WM_EXIT_OK : WM_EXIT_FAILED;
}

static int check(const char *file)
{
    const char *name = file ? file : "built-in defaults";
    struct wm_settings *settings = NULL;
    struct wm_channel_set *set = NULL;
    struct wm_findings findings = {0};
    struct wm_error err = WM_ERROR_INIT;

    enum wm_status st = wm_settings_load(file, wm_adapter_find, &settings, &findings);
    if (findings.text.data)
        fputs(findings.text.data, stdout);
    int errors = findings.errors, warnings = findings.warnings;
    wm_findings_free(&findings);
    if (st == WM_OK) {
        st = wm_channel_set_new(settings, &set, &err); /* takes the settings */
        if (st != WM_OK) {
            printf("%s: error: %s\n", name, err.text);
            errors++;
        }
        wm_channel_set_free(set);
    }
    if (st == WM_OK)
        printf("%s: well; warnings: %d\n", name, warnings);
    else
        printf("%s: broken; errors: %d, warnings: %d\n", name, errors, warnings);
    return st == WM_OK ? WM_EXIT_OK : WM_EXIT_FAILED;
}

int wm_cmd_check(int argc, char **argv)
{
    static const struct option options[] = {{"keys", no_argument, NULL, 'k'}, {NULL, 0, NULL, 0}};
    const char *file = NULL;
    bool keys = false;
    for (int option; (option = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (option == 'c')
            file = optarg;
        else if (option == 'k')
            keys = true;
        else
            goto usage;
    }
    if (optind != argc)
        goto usage;
    return keys ? print_keys() : check(file);

usage:
    fprintf(stderr, "usage: wingman check [-c FILE] [--keys]\n"
                    "  -c FILE   the settings file; without it the built-in defaults are checked\n"
                    "  --keys    print every key with its default and meaning\n");
    return WM_EXIT_MISUSED;
}

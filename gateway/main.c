/* main.c -- `wingman COMMAND [options]`: one table, one file for each command (cmd_*.c). */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "gateway/command.h"

static const struct command {
    const char *name, *arguments, *help;
    int (*run)(int argc, char **argv);
} commands[] = {
#define X(id, arguments, help) {#id, arguments, help, wm_cmd_##id},
    WM_COMMANDS(X)
#undef X
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out)
{
    fprintf(out,
            "wingman %s: a messaging gateway whose conversations live on the GPU\n\n"
            "usage: wingman COMMAND [options]\n\n",
            WM_VERSION);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %s %s\n      %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    fprintf(out, "\nexit codes: 0 well, 1 failed, 2 misused\n");
}

int main(int argc, char **argv)
{
    signal(SIGPIPE,
           SIG_IGN); /* a peer or a log pipe that goes away is an error code, not the end of the daemon */
    if (argc < 2) {
        print_help(stderr);
        return WM_EXIT_MISUSED;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return WM_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("wingman %s\n", WM_VERSION);
        return WM_EXIT_OK;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "wingman: there is no command '%s'; `wingman --help` lists them\n", argv[1]);
    return WM_EXIT_MISUSED;
}

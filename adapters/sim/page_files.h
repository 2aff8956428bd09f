/* page_files.h -- the table that embed.cmake writes from page/. */
#ifndef WM_SIM_PAGE_FILES_H
#define WM_SIM_PAGE_FILES_H

#include <stddef.h>

struct wm_sim_page_file {
    const char *path, *type;
    const unsigned char *bytes;
    size_t len;
};

extern const struct wm_sim_page_file wm_sim_page_files[];
extern const int wm_sim_n_page_files;

#endif

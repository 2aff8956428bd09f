/* path_portable.c -- the hot loops, compiled for any machine. */
#define LANES_PORTABLE
#define LANES_PATH wm_path_portable

#include "kernels/cpu/loops.h"

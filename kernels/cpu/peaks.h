/* peaks.h -- what this machine could do at most, so that a speed can be said as a share of it. */
#ifndef WM_KERNELS_CPU_PEAKS_H
#define WM_KERNELS_CPU_PEAKS_H

#include "kernels/base/error.h"

/* All threads together, on the path that the cpu face would take (ops.h, WM_CPU_PATH). */
struct wm_cpu_peaks {
    double int8_ops;   /* 8-bit multiplications and additions per second */
    double f32_flops;  /* float multiplications and additions per second */
    double read_bytes; /* per second, from memory: far more than any cache holds is read */
    const char *path;  /* "AVX-512 VNNI"; static */
};

/* Measures for about half a second; needs 256 MiB meanwhile. The best of several short runs counts, so that a
 * neighbour's work is not taken for the machine's limit. The calling thread computes too. WM_ENOMEM, WM_EIO (threads),
 * WM_EUNSUPPORTED (WM_CPU_PATH). */
enum wm_status wm_cpu_peaks(int threads, struct wm_cpu_peaks *out, struct wm_error *err);

#endif

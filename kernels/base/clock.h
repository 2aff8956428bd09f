/* clock.h -- time, passed in where a test wants to hold it still.
 * Any thread. Monotonic time never steps; wall time may.
 */
#ifndef WM_BASE_CLOCK_H
#define WM_BASE_CLOCK_H

#include <stdint.h>

int64_t wm_now_ms(void);  /* monotonic, milliseconds */
int64_t wm_now_us(void);  /* monotonic, microseconds */
int64_t wm_wall_ms(void); /* Unix time, milliseconds */

#endif

/* strike.h -- ~~strikethrough~~, which cmark's own Markdown does not have.
 * Any thread.
 */
#ifndef WM_TEXT_STRIKE_H
#define WM_TEXT_STRIKE_H

#include <cmark.h>

/* Puts what stands between two "~~" of one parent into a CMARK_NODE_CUSTOM_INLINE; all else stays. The opening pair has
 * something visible behind it, the closing one before it. */
void wm_strike_mark(cmark_node *document);

#endif

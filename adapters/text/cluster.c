/* cluster.c -- where a text may be cut without tearing a character as people see it.
 *
 * HOW     The rules of Unicode's extended grapheme clusters (UAX 29) that matter for cutting: no cut before a code point
 *         that extends (a table), before or behind a zero-width joiner, inside a flag (a pair of regional indicators,
 *         counted from the start of the text), inside a Hangul syllable, between CR and LF.
 *
 * LIMITS  Left out: prepended marks, Indic conjuncts. A cut there costs beauty, not content.
 */
#include "adapters/text/cluster.h"

#include <string.h>

#include "adapters/text/cluster_ranges.h"
#include "kernels/base/utf8.h"

enum { JOINER = 0x200D };

static bool between(uint32_t code, uint32_t first, uint32_t last)
{
    return code >= first && code <= last;
}

static bool extends(uint32_t code)
{
    size_t low = 0, high = sizeof extending / sizeof *extending;
    if (code < extending[0].first)
        return false;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (code > extending[mid].last)
            low = mid + 1;
        else if (code < extending[mid].first)
            high = mid;
        else
            return true;
    }
    return false;
}

static bool is_flag_half(uint32_t code)
{
    return between(code, 0x1F1E6, 0x1F1FF);
}

static bool is_hangul_lead(uint32_t code)
{
    return between(code, 0x1100, 0x115F) || between(code, 0xA960, 0xA97C);
}

static bool joins(uint32_t before, uint32_t code, int flag_halves)
{
    if (code == JOINER || extends(code))
        return before != '\n' && before != '\r';
    if (before == JOINER)
        return code > 0x7F; /* a joiner in front of ASCII has nothing to join */
    if (before == '\r')
        return code == '\n';
    if (is_flag_half(code))
        return flag_halves == 1;
    return is_hangul_lead(before) && (is_hangul_lead(code) || between(code, 0xAC00, 0xD7A3));
}

size_t wm_cluster_len(const char *text, size_t len)
{
    uint32_t before;
    size_t n = wm_utf8_decode(text, len, &before, NULL);
    int flag_halves = is_flag_half(before);
    while (n < len) {
        uint32_t code;
        size_t more = wm_utf8_decode(text + n, len - n, &code, NULL);
        if (!joins(before, code, flag_halves))
            break;
        flag_halves += is_flag_half(code);
        before = code;
        n += more;
    }
    return n;
}

bool wm_cluster_is_word(uint32_t code)
{
    if (code < 0x80)
        return between(code, '0', '9') || between(code | 0x20, 'a', 'z');
    return code >= 0xAA && !between(code, 0x2000, 0x2BFF) && !between(code, 0x3000, 0x303F) &&
           !between(code, 0xFE00, 0xFE4F) && !between(code, 0xFF00, 0xFF0F) && code < 0x1F000 &&
           code != 0xAB && code != 0xBB && code != 0xBF && code != 0xB7;
}

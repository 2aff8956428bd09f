/* words.c -- the words that a person opts out and in with, and the few sentences that wingman says by itself.
 *
 * A word counts only as the whole message: "stop", "STOP!" and " Stop. " opt out, "don't stop" does not. Case is folded
 * for the scripts in the table that have it.
 */
#include "sessions/meaning.h"

#include <string.h>

#include "kernels/base/utf8.h"

static const char *const stop_words[] = {
    "stop",
    "stopall",
    "stop all",
    "unsubscribe",
    "opt out",
    "opt-out",
    "optout",
    "baja",
    "parar",
    "detener",
    "sair",
    "pare",
    "cancelar inscrição",
    "arrêt",
    "arret",
    "désabonner",
    "stopp",
    "abmelden",
    "disiscriviti",
    "ferma",
    "afmelden",
    "afmeld",
    "avsluta",
    "lopeta",
    "wypisz",
    "odhlásit",
    "leiratkozás",
    "dezabonare",
    "iptal",
    "dur",
    "стоп",
    "отписаться",
    "відписатися",
    "σταμάτα",
    "توقف",
    "إيقاف",
    "עצור",
    "הסר",
    "रोकें",
    "停止",
    "配信停止",
    "退订",
    "수신거부",
    "berhenti",
    "dừng",
    "ยกเลิก",
};

static const char *const start_words[] = {
    "start",    "unstop",    "subscribe", "opt in", "opt-in", "alta", "iniciar",
    "comenzar", "commencer", "старт",     "ابدأ",   "開始",   "开始", "시작",
};

const char wm_words_stopped[] = "You will get no more messages from us. Send START if you change your mind.";
const char wm_words_started[] = "Welcome back. We will answer your messages again.";
const char wm_words_cannot_see[] =
    "Thank you. I cannot open pictures, recordings or files here yet: please tell me in words what you need.";
const char wm_words_cannot_open[] =
    "Thank you. I cannot open recordings or files here yet: please tell me in words what you need.";
const char wm_words_not_loaded[] =
    "I am sorry, I could not load your picture. Please send it again, or tell me in words what it shows.";
const char wm_words_trouble[] = "I am sorry, I cannot answer at the moment. Please try again a little later.";

enum { LONGEST_WORD = 64 }; /* bytes */

static uint32_t fold(uint32_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c + 0x20;
    if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x410 && c <= 0x42F) || (c >= 0x391 && c <= 0x3A9))
        return c + 0x20;
    if (c >= 0x100 && c <= 0x17F && c != 0x130 && c % 2 == 0 && (c < 0x139 || c > 0x148))
        return c + 1;
    switch (c) {
    case 0x386: /* Greek capitals with an accent */
        return 0x3AC;
    case 0x406: /* Ukrainian I */
        return 0x456;
    default:
        return c;
    }
}

static bool decoration(uint32_t c)
{
    return c <= ' ' || (c < 0x80 && strchr(".,!?;:\"'()*_~-", (int)c)) || c == 0xA0 || c == 0xA1 ||
           c == 0x200B || c == 0x3002 || c == 0xFF01 || c == 0xFE0F;
}

/* Folds into `out` (NUL-ended) without decoration at the ends; false when it is longer than any word. */
static bool bare(const char *text, char out[LONGEST_WORD + 1])
{
    size_t len = strlen(text), used = 0, end = 0;
    for (size_t at = 0; at < len;) {
        uint32_t c;
        at += wm_utf8_decode(text + at, len - at, &c, NULL);
        if (decoration(c) && used == 0)
            continue;
        char bytes[4];
        size_t n = wm_utf8_encode(fold(c), bytes);
        if (used + n > LONGEST_WORD) {
            if (!decoration(c))
                return false;
            continue; /* a long tail of decoration changes nothing */
        }
        memcpy(out + used, bytes, n);
        used += n;
        if (!decoration(c))
            end = used;
    }
    out[end] = '\0';
    return true;
}

static bool listed(const char *text, const char *const *words, size_t n)
{
    char word[LONGEST_WORD + 1];
    if (!bare(text, word))
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

bool wm_words_stop(const char *text)
{
    return listed(text, stop_words, sizeof stop_words / sizeof *stop_words);
}

bool wm_words_start(const char *text)
{
    return listed(text, start_words, sizeof start_words / sizeof *start_words);
}

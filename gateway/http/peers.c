/* peers.c -- how many connections each address has.
 *
 * WHY     One address must not take every slot. Who owns an IPv6 address owns at least 2^64 of them, so those are
 *         counted by their first 64 bits.
 *
 * HOW     A hash table of the addresses that are connected now; an entry goes with its last connection.
 *
 * LIMITS  As many entries as there are connections.
 */
#include "gateway/http/peers.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* The address in the form of IPv6, IPv4 mapped. */
static void full_key(const struct sockaddr_storage *from, unsigned char key[16])
{
    if (from->ss_family == AF_INET6) {
        memcpy(key, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
        return;
    }
    memcpy(key, v4_prefix, sizeof v4_prefix);
    memcpy(key + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
}

static bool is_v4(const unsigned char key[16])
{
    return memcmp(key, v4_prefix, sizeof v4_prefix) == 0;
}

static struct wm_http_peer **bucket_of(struct wm_http_peers *p, const unsigned char key[16])
{
    uint64_t words[2];
    memcpy(words, key, sizeof words);
    uint64_t h = (words[0] ^ p->seed) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 32 ^ words[1]) * 0xd6e8feb86659fd93u;
    return &p->buckets[(h ^ h >> 32) % WM_HTTP_PEER_BUCKETS];
}

struct wm_http_peer *wm_http_peer_enter(struct wm_http_peers *p, const struct sockaddr_storage *from,
                                        int limit)
{
    unsigned char key[16];
    full_key(from, key);
    if (!is_v4(key))
        memset(key + 8, 0, 8);
    struct wm_http_peer **bucket = bucket_of(p, key), *peer = *bucket;
    while (peer && memcmp(peer->key, key, sizeof key) != 0)
        peer = peer->next;
    if (!peer) {
        peer = calloc(1, sizeof *peer);
        if (!peer)
            return NULL;
        memcpy(peer->key, key, sizeof key);
        peer->next = *bucket;
        *bucket = peer;
    }
    if (limit > 0 && peer->connections >= limit)
        return NULL;
    peer->connections++;
    return peer;
}

void wm_http_peer_leave(struct wm_http_peers *p, struct wm_http_peer *peer)
{
    if (--peer->connections > 0)
        return;
    struct wm_http_peer **link = bucket_of(p, peer->key);
    while (*link != peer)
        link = &(*link)->next;
    *link = peer->next;
    free(peer);
}

bool wm_http_address_is_loopback(const struct sockaddr_storage *from)
{
    static const unsigned char v6_loopback[16] = {[15] = 1};
    unsigned char key[16];
    full_key(from, key);
    return is_v4(key) ? key[12] == 127 : memcmp(key, v6_loopback, sizeof key) == 0;
}

void wm_http_address_text(const struct sockaddr_storage *from, char *out, size_t size)
{
    unsigned char key[16];
    full_key(from, key);
    if (!(is_v4(key) ? inet_ntop(AF_INET, key + 12, out, (socklen_t)size)
                     : inet_ntop(AF_INET6, key, out, (socklen_t)size)))
        snprintf(out, size, "?");
}

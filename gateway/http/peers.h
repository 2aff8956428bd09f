/* peers.h -- how many connections each address has. Thread: one owner. Essay: peers.c. */
#ifndef WM_HTTP_PEERS_H
#define WM_HTTP_PEERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct wm_http_peer {
    struct wm_http_peer *next;
    unsigned char key[16]; /* an IPv6 address; IPv4 is mapped into it */
    int connections;
};

enum { WM_HTTP_PEER_BUCKETS = 4096 };

struct wm_http_peers {
    struct wm_http_peer *buckets[WM_HTTP_PEER_BUCKETS];
    uint64_t seed; /* of the hash, so that no stranger can choose addresses that collide */
};

/* Counts one connection more. NULL: `from` has `limit` already (0: no limit), or there is no memory. */
struct wm_http_peer *wm_http_peer_enter(struct wm_http_peers *p, const struct sockaddr_storage *from,
                                        int limit);
void wm_http_peer_leave(struct wm_http_peers *p, struct wm_http_peer *peer);

bool wm_http_address_is_loopback(const struct sockaddr_storage *from);

/* "192.0.2.1" or "2001:db8::1", without port; IPv4 that came through an IPv6 socket is shown as IPv4. */
void wm_http_address_text(const struct sockaddr_storage *from, char *out, size_t size);

#endif

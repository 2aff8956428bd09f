/* tls.c -- certificates: read, checked against their key, and changed under a running server.
 *
 * HOW     Files are first read into a context that nobody uses; only when certificate, chain and key are there and fit
 *         does the live one get all three, in one call. New connections see the new certificate, open ones go on.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "gateway/http/inside.h"

/* The reason of the first error that OpenSSL has noted. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());
    return text ? text : "no reason given";
}

enum wm_status wm_http_tls_load(const char *certificate, const char *key, SSL_CTX *live, struct wm_error *err)
{
    enum wm_status st = WM_OK;
    STACK_OF(X509) *chain = NULL;
    ERR_clear_error();
    SSL_CTX *fresh = SSL_CTX_new(TLS_server_method());
    if (!fresh)
        return wm_fail(err, WM_ENOMEM, "no memory for a TLS context");
    if (SSL_CTX_use_certificate_chain_file(fresh, certificate) != 1)
        st = wm_fail(err, WM_EINVAL,
                     "the certificate %s cannot be used: %s; it must be a PEM file, leaf first", certificate,
                     reason());
    else if (SSL_CTX_use_PrivateKey_file(fresh, key, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(fresh) != 1)
        st = wm_fail(err, WM_EINVAL,
                     "the key %s cannot be used with the certificate %s: %s; it must be the certificate's "
                     "own, in PEM, "
                     "without a password",
                     key, certificate, reason());
    else if (live && (SSL_CTX_get0_chain_certs(fresh, &chain) != 1 ||
                      SSL_CTX_use_cert_and_key(live, SSL_CTX_get0_certificate(fresh),
                                               SSL_CTX_get0_privatekey(fresh), chain, 1) != 1))
        st = wm_fail(err, WM_EINVAL, "the certificate %s was not taken over: %s", certificate, reason());
    SSL_CTX_free(fresh);
    ERR_clear_error();
    return st;
}

#include "serve/http_tls.h"

#include <stdlib.h>

bool http_server_has_tls(void)
{
#ifdef TWLLM_HAVE_OPENSSL
    return true;
#else
    return false;
#endif
}

#ifdef TWLLM_HAVE_OPENSSL

#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls_context {
    SSL_CTX *ssl;
};

struct tls_session {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

/* OpenSSL's own words about the last failure. */
static status refuse(struct error *err, const char *what, const char *path)
{
    char reason[256] = "unknown reason";
    unsigned long code = ERR_get_error();
    if (code) ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    return error_set(err, STATUS_INVALID, "%s%s%s: %s", what, path ? " " : "", path ? path : "",
                     reason);
}

/* A key with a passphrase would otherwise ask the terminal for it. */
static int no_passphrase(char *buffer, int size, int writes, void *user)
{
    (void)buffer, (void)size, (void)writes, (void)user;
    return 0;
}

static status configure(SSL_CTX *ssl, const struct http_tls_options *options, struct error *err)
{
    const char *key = options->key_file ? options->key_file : options->certificate_file;
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS); /* idle connections keep no record buffers */
    SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"twllm", 5);
    if (SSL_CTX_use_certificate_chain_file(ssl, options->certificate_file) != 1)
        return refuse(err, "cannot use the certificate", options->certificate_file);
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
        return refuse(err, "cannot use the key", key);
    if (SSL_CTX_check_private_key(ssl) != 1)
        return refuse(err, "the key does not belong to the certificate", options->certificate_file);
    if (options->ciphers && SSL_CTX_set_cipher_list(ssl, options->ciphers) != 1)
        return refuse(err, "no cipher of", options->ciphers);
    if (options->ca_file) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(options->ca_file);
        if (!names || SSL_CTX_load_verify_locations(ssl, options->ca_file, NULL) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            return refuse(err, "cannot use the certificate authorities of", options->ca_file);
        }
        SSL_CTX_set_client_CA_list(ssl, names);
        SSL_CTX_set_verify(ssl,
                           options->require_client_certificate
                               ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                               : SSL_VERIFY_PEER,
                           NULL);
    } else if (options->require_client_certificate) {
        return error_set(err, STATUS_INVALID,
                         "client certificates need a file of their authorities");
    }
    return STATUS_OK;
}

status tls_create(struct tls_context **out, const struct http_tls_options *options,
                  struct error *err)
{
    *out = NULL;
    ERR_clear_error();
    struct tls_context *context = calloc(1, sizeof *context);
    if (!context) return error_set(err, STATUS_NO_MEMORY, "TLS: out of memory");
    context->ssl = SSL_CTX_new(TLS_server_method());
    status result = context->ssl ? configure(context->ssl, options, err)
                                 : error_set(err, STATUS_NO_MEMORY, "TLS: out of memory");
    if (result != STATUS_OK)
        tls_destroy(context);
    else
        *out = context;
    return result;
}

void tls_destroy(struct tls_context *context)
{
    if (!context) return;
    SSL_CTX_free(context->ssl);
    free(context);
}

status tls_session_open(struct tls_session **out, struct tls_context *context)
{
    *out = NULL;
    struct tls_session *session = calloc(1, sizeof *session);
    if (!session) return STATUS_NO_MEMORY;
    session->ssl = SSL_new(context->ssl);
    session->in = BIO_new(BIO_s_mem());
    session->out = BIO_new(BIO_s_mem());
    if (!session->ssl || !session->in || !session->out) {
        BIO_free(session->in);
        BIO_free(session->out);
        SSL_free(session->ssl);
        free(session);
        return STATUS_NO_MEMORY;
    }
    SSL_set_bio(session->ssl, session->in, session->out);
    SSL_set_accept_state(session->ssl);
    *out = session;
    return STATUS_OK;
}

void tls_session_close(struct tls_session *session)
{
    if (!session) return;
    SSL_free(session->ssl);
    free(session);
}

bool tls_is_ready(const struct tls_session *session)
{
    return SSL_is_init_finished(session->ssl) != 0;
}

static status take_wire(struct tls_session *session, struct strbuf *wire)
{
    char *data;
    long size = BIO_get_mem_data(session->out, &data);
    if (size <= 0) return STATUS_OK;
    TRY(strbuf_append(wire, (struct str){data, (size_t)size}));
    (void)BIO_reset(session->out);
    return STATUS_OK;
}

status tls_receive(struct tls_session *session, struct str arrived, struct strbuf *plain,
                   struct strbuf *wire, bool *closed)
{
    enum { PIECE = 16384 };
    ERR_clear_error();
    if (arrived.size > 0 &&
        BIO_write(session->in, arrived.data, (int)arrived.size) != (int)arrived.size)
        return STATUS_NO_MEMORY;
    status result = STATUS_OK;
    for (;;) {
        result = strbuf_reserve(plain, PIECE);
        if (result != STATUS_OK) break;
        int n = SSL_read(session->ssl, plain->data + plain->size, PIECE);
        if (n > 0) {
            plain->size += (size_t)n;
            plain->data[plain->size] = '\0';
            continue;
        }
        int why = SSL_get_error(session->ssl, n);
        if (why == SSL_ERROR_ZERO_RETURN)
            *closed = true;
        else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
            result = STATUS_FORMAT;
        break;
    }
    ERR_clear_error();
    status sent = take_wire(session, wire);
    return result != STATUS_OK ? result : sent;
}

status tls_send(struct tls_session *session, struct str plain, struct strbuf *wire)
{
    enum { PIECE = 1 << 20 };
    while (plain.size > 0) {
        ERR_clear_error();
        struct str piece = str_slice(plain, 0, PIECE);
        int n = SSL_write(session->ssl, piece.data, (int)piece.size);
        if (n <= 0) return STATUS_IO;
        plain = str_slice(plain, (size_t)n, plain.size);
        TRY(take_wire(session, wire));
    }
    return STATUS_OK;
}

void tls_finish(struct tls_session *session, struct strbuf *wire)
{
    ERR_clear_error();
    if (tls_is_ready(session)) SSL_shutdown(session->ssl);
    ERR_clear_error();
    (void)take_wire(session, wire);
}

#else

status tls_create(struct tls_context **out, const struct http_tls_options *options,
                  struct error *err)
{
    (void)options;
    *out = NULL;
    return error_set(err, STATUS_UNSUPPORTED,
                     "this program was built without TLS (install libssl-dev and build again)");
}
void tls_destroy(struct tls_context *context) { (void)context; }
status tls_session_open(struct tls_session **out, struct tls_context *context)
{
    (void)context;
    *out = NULL;
    return STATUS_UNSUPPORTED;
}
void tls_session_close(struct tls_session *session) { (void)session; }
status tls_receive(struct tls_session *session, struct str arrived, struct strbuf *plain,
                   struct strbuf *wire, bool *closed)
{
    (void)session, (void)arrived, (void)plain, (void)wire, (void)closed;
    return STATUS_UNSUPPORTED;
}
status tls_send(struct tls_session *session, struct str plain, struct strbuf *wire)
{
    (void)session, (void)plain, (void)wire;
    return STATUS_UNSUPPORTED;
}
void tls_finish(struct tls_session *session, struct strbuf *wire) { (void)session, (void)wire; }
bool tls_is_ready(const struct tls_session *session) { return session != NULL; }

#endif

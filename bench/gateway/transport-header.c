// LD_PRELOAD shim that makes wrk and h2load clients of a mesh: client certificate, TLS 1.3, AES-128-GCM, X25519 as clientcert.c of the bench gives
// them, and what Linkerd's proxy says besides: ALPN transport.l5d.io/v1, the gateway's name, and $L5D_HEADER (a file) as the first bytes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/ssl.h>

#define REAL(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)

static int sent_index = -1;
static unsigned char header[1024];
static int header_length;

static void prepare(void) {
  if (sent_index >= 0) return;
  sent_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
  FILE *file = fopen(getenv("L5D_HEADER"), "rb");
  if (!file) abort();
  header_length = (int)fread(header, 1, sizeof header, file);
  fclose(file);
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method) {
  static SSL_CTX *(*real_SSL_CTX_new)(const SSL_METHOD *);
  if (!real_SSL_CTX_new) REAL(SSL_CTX_new);
  SSL_CTX *context = real_SSL_CTX_new(method);
  prepare();
  if (SSL_CTX_use_certificate_chain_file(context, getenv("MTLS_CERT")) != 1) abort();
  if (SSL_CTX_use_PrivateKey_file(context, getenv("MTLS_KEY"), SSL_FILETYPE_PEM) != 1) abort();
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set1_groups_list(context, "X25519");
  return context;
}

SSL *SSL_new(SSL_CTX *context) {
  static SSL *(*real_SSL_new)(SSL_CTX *);
  static int (*real_SSL_set_alpn_protos)(SSL *, const unsigned char *, unsigned);
  if (!real_SSL_new) REAL(SSL_new);
  if (!real_SSL_set_alpn_protos) REAL(SSL_set_alpn_protos);
  SSL *ssl = real_SSL_new(context);
  static const unsigned char alpn[] = "\x13transport.l5d.io/v1";
  real_SSL_set_alpn_protos(ssl, alpn, sizeof alpn - 1);
  SSL_set_tlsext_host_name(ssl, getenv("L5D_GATEWAY"));
  return ssl;
}

int SSL_set_alpn_protos(SSL *ssl, const unsigned char *protocols, unsigned length) {
  (void)ssl, (void)protocols, (void)length;
  return 0;
}

int SSL_CTX_set_alpn_protos(SSL_CTX *context, const unsigned char *protocols, unsigned length) {
  (void)context, (void)protocols, (void)length;
  return 0;
}

// The client is told that it speaks what it wanted to.
void SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **data, unsigned *length) {
  (void)ssl;
  *data = (const unsigned char *)"h2";
  *length = 2;
}

long SSL_ctrl(SSL *ssl, int command, long larg, void *parg) {
  static long (*real_SSL_ctrl)(SSL *, int, long, void *);
  if (!real_SSL_ctrl) REAL(SSL_ctrl);
  // The name that the client would ask for is the address it connects to.
  if (command == SSL_CTRL_SET_TLSEXT_HOSTNAME && parg && strcmp(parg, getenv("L5D_GATEWAY")) != 0) return 1;
  return real_SSL_ctrl(ssl, command, larg, parg);
}

static void say_header(SSL *ssl) {
  static int (*real_SSL_write)(SSL *, const void *, int);
  if (!real_SSL_write) REAL(SSL_write);
  if (SSL_get_ex_data(ssl, sent_index)) return;
  SSL_set_ex_data(ssl, sent_index, ssl);
  real_SSL_write(ssl, header, header_length);
}

int SSL_do_handshake(SSL *ssl) {
  static int (*real_SSL_do_handshake)(SSL *);
  if (!real_SSL_do_handshake) REAL(SSL_do_handshake);
  int done = real_SSL_do_handshake(ssl);
  if (done == 1) say_header(ssl);
  return done;
}

int SSL_connect(SSL *ssl) {
  static int (*real_SSL_connect)(SSL *);
  if (!real_SSL_connect) REAL(SSL_connect);
  int done = real_SSL_connect(ssl);
  if (done == 1) say_header(ssl);
  return done;
}

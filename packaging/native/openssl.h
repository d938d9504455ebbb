// What we use of OpenSSL 3's libcrypto, which every Node brings (its own copy, or Debian's). Declared here, because the headers of one
// version would tie the addon to it: these are functions, no macros, and stable since 1.1, EVP_MAC since 3.0.
#ifndef TUNNELD_OPENSSL_H
#define TUNNELD_OPENSSL_H
#include <stddef.h>

typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_mac_st EVP_MAC;
typedef struct evp_mac_ctx_st EVP_MAC_CTX;

// EVP_EncryptInit(3)
extern EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
extern void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *context);
extern const EVP_CIPHER *EVP_get_cipherbyname(const char *name);
extern int EVP_CipherInit_ex(EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher, void *engine, const unsigned char *key,
                             const unsigned char *iv, int encrypt);
extern int EVP_CipherUpdate(EVP_CIPHER_CTX *context, unsigned char *out, int *written, const unsigned char *in, int length);
extern int EVP_CipherFinal_ex(EVP_CIPHER_CTX *context, unsigned char *out, int *written);
extern int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *context, int type, int value, void *data);
enum { EVP_CTRL_AEAD_SET_IVLEN = 0x9, EVP_CTRL_AEAD_GET_TAG = 0x10, EVP_CTRL_AEAD_SET_TAG = 0x11 };

// EVP_MAC(3)
extern EVP_MAC *EVP_MAC_fetch(void *library, const char *algorithm, const char *properties);
extern void EVP_MAC_free(EVP_MAC *mac);
extern EVP_MAC_CTX *EVP_MAC_CTX_new(EVP_MAC *mac);
extern void EVP_MAC_CTX_free(EVP_MAC_CTX *context);
extern int EVP_MAC_init(EVP_MAC_CTX *context, const unsigned char *key, size_t length, const void *parameters);
extern int EVP_MAC_update(EVP_MAC_CTX *context, const unsigned char *data, size_t length);
extern int EVP_MAC_final(EVP_MAC_CTX *context, unsigned char *out, size_t *written, size_t size);

extern int CRYPTO_memcmp(const void *one, const void *other, size_t length);
extern void OPENSSL_cleanse(void *memory, size_t length);
extern int RAND_bytes(unsigned char *out, int length);
extern void ERR_clear_error(void);

#endif

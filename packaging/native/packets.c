#include "packets.h"
#include "openssl.h"
#include <stdlib.h>
#include <string.h>

enum { CHANNEL_DATA = 94, IV = 12, LEAST_PADDING = 4, RANDOM = 4096 };

struct packets {
  int chacha, sealing;
  uint32_t sequence;
  // Of a packet that is still to be reported.
  packets_result wrong;
  uint8_t iv[IV];
  EVP_CIPHER_CTX *cipher, *lengths;
  EVP_MAC *poly1305;
  EVP_MAC_CTX *mac;
  // Padding: a call of the random generator for each packet would cost more than its encryption.
  uint8_t random[RANDOM];
  size_t used;
};

static int start_gcm(packets *keys, const char *cipher, const uint8_t *key, size_t key_length, const uint8_t *iv, size_t iv_length) {
  const EVP_CIPHER *gcm = EVP_get_cipherbyname(cipher);
  size_t wanted = strcmp(cipher, "aes-128-gcm") == 0 ? 16 : strcmp(cipher, "aes-256-gcm") == 0 ? 32 : 0;
  if (gcm == NULL || key_length != wanted || iv_length != IV) return 0;
  memcpy(keys->iv, iv, IV);
  return EVP_CipherInit_ex(keys->cipher, gcm, NULL, NULL, NULL, keys->sealing) == 1 &&
         EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_AEAD_SET_IVLEN, IV, NULL) == 1 &&
         EVP_CipherInit_ex(keys->cipher, NULL, NULL, key, iv, keys->sealing) == 1;
}

static int start_chacha(packets *keys, const uint8_t *key, size_t key_length) {
  const EVP_CIPHER *chacha20 = EVP_get_cipherbyname("chacha20");
  return chacha20 != NULL && key_length == 64 && (keys->lengths = EVP_CIPHER_CTX_new()) != NULL &&
         (keys->poly1305 = EVP_MAC_fetch(NULL, "POLY1305", NULL)) != NULL && (keys->mac = EVP_MAC_CTX_new(keys->poly1305)) != NULL &&
         EVP_CipherInit_ex(keys->cipher, chacha20, NULL, key, NULL, 1) == 1 &&
         EVP_CipherInit_ex(keys->lengths, chacha20, NULL, key + 32, NULL, 1) == 1;
}

packets *packets_new(const char *cipher, const uint8_t *key, size_t key_length, const uint8_t *iv, size_t iv_length,
                     uint32_t sequence, int sealing) {
  packets *keys = calloc(1, sizeof *keys);
  if (keys == NULL) return NULL;
  keys->chacha = strcmp(cipher, "chacha20") == 0;
  keys->sealing = sealing;
  keys->sequence = sequence;
  keys->used = RANDOM;
  int ok = (keys->cipher = EVP_CIPHER_CTX_new()) != NULL &&
           (keys->chacha ? start_chacha(keys, key, key_length) : start_gcm(keys, cipher, key, key_length, iv, iv_length));
  if (ok) return keys;
  packets_free(keys);
  return NULL;
}

void packets_free(packets *keys) {
  if (keys == NULL) return;
  if (keys->mac != NULL) EVP_MAC_CTX_free(keys->mac);
  if (keys->poly1305 != NULL) EVP_MAC_free(keys->poly1305);
  if (keys->lengths != NULL) EVP_CIPHER_CTX_free(keys->lengths);
  if (keys->cipher != NULL) EVP_CIPHER_CTX_free(keys->cipher);
  OPENSSL_cleanse(keys, sizeof *keys);
  free(keys);
}

static void put32(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 24);
  at[1] = (uint8_t)(value >> 16);
  at[2] = (uint8_t)(value >> 8);
  at[3] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static size_t block_of(const packets *keys) { return keys->chacha ? 8 : 16; }

// Of the length that the packet names: what follows its first 4 bytes, without the tag.
static size_t padding_of(const packets *keys, size_t payload) {
  size_t block = block_of(keys), padding = block - ((1 + payload) & (block - 1));
  return padding < LEAST_PADDING ? padding + block : padding;
}

static void next(packets *keys) {
  keys->sequence++;
  // RFC 5647 section 7.1: the invocation counter, the last 8 bytes.
  for (int i = IV - 1; i >= 4 && ++keys->iv[i] == 0; i--) {}
}

static int pad(packets *keys, uint8_t *at, size_t count) {
  if (keys->used + count > RANDOM) {
    if (RAND_bytes(keys->random, RANDOM) != 1) return 0;
    keys->used = 0;
  }
  memcpy(at, keys->random + keys->used, count);
  keys->used += count;
  return 1;
}

static int update(EVP_CIPHER_CTX *cipher, uint8_t *out, const uint8_t *in, size_t length) {
  int written;
  return EVP_CipherUpdate(cipher, out, &written, in, (int)length) == 1;
}

// All behind the length of a packet. Data that is elsewhere is not copied first; NULL where there is none.
static int crypt(EVP_CIPHER_CTX *cipher, uint8_t *packet, size_t length, const uint8_t *data, size_t count) {
  if (data == NULL) return update(cipher, packet + 4, packet + 4, length);
  size_t before = 1 + PACKETS_DATA_HEADER;
  uint8_t *place = packet + 4 + before, *padding = place + count;
  return update(cipher, packet + 4, packet + 4, before) && update(cipher, place, data, count) &&
         update(cipher, padding, padding, length - before - count);
}

static int gcm(packets *keys, uint8_t *packet, size_t length, const uint8_t *data, size_t count) {
  int written;
  return EVP_CipherInit_ex(keys->cipher, NULL, NULL, NULL, keys->iv, keys->sealing) == 1 &&
         (keys->sealing || EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_AEAD_SET_TAG, PACKETS_TAG, packet + 4 + length) == 1) &&
         update(keys->cipher, NULL, packet, 4) && crypt(keys->cipher, packet, length, data, count) &&
         EVP_CipherFinal_ex(keys->cipher, packet + 4 + length, &written) == 1 &&
         (!keys->sealing || EVP_CIPHER_CTX_ctrl(keys->cipher, EVP_CTRL_AEAD_GET_TAG, PACKETS_TAG, packet + 4 + length) == 1);
}

// The block counter (little endian) and the sequence number.
static void chacha_iv(const packets *keys, uint8_t iv[16], int block) {
  memset(iv, 0, 16);
  iv[0] = (uint8_t)block;
  put32(iv + 12, keys->sequence);
}

static int start(EVP_CIPHER_CTX *cipher, const uint8_t iv[16]) { return EVP_CipherInit_ex(cipher, NULL, NULL, NULL, iv, 1) == 1; }

static int chacha(EVP_CIPHER_CTX *cipher, const uint8_t iv[16], uint8_t *out, const uint8_t *in, size_t length) {
  return start(cipher, iv) && update(cipher, out, in, length);
}

static int authenticate(packets *keys, const uint8_t *packet, size_t length, uint8_t tag[PACKETS_TAG]) {
  uint8_t iv[16], key[32] = {0};
  size_t written;
  chacha_iv(keys, iv, 0);
  int ok = chacha(keys->cipher, iv, key, key, sizeof key) && EVP_MAC_init(keys->mac, key, sizeof key, NULL) == 1 &&
           EVP_MAC_update(keys->mac, packet, 4 + length) == 1 && EVP_MAC_final(keys->mac, tag, &written, PACKETS_TAG) == 1;
  OPENSSL_cleanse(key, sizeof key);
  return ok;
}

static int seal_chacha(packets *keys, uint8_t *packet, size_t length, const uint8_t *data, size_t count) {
  uint8_t iv[16];
  chacha_iv(keys, iv, 0);
  if (!chacha(keys->lengths, iv, packet, packet, 4)) return 0;
  chacha_iv(keys, iv, 1);
  return start(keys->cipher, iv) && crypt(keys->cipher, packet, length, data, count) &&
         authenticate(keys, packet, length, packet + 4 + length);
}

// Around a payload that is in its place, but for `data`.
static packets_result seal_one(packets *keys, uint8_t *packet, size_t payload, const uint8_t *data, size_t count) {
  size_t padding = padding_of(keys, payload), length = 1 + payload + padding;
  put32(packet, (uint32_t)length);
  packet[4] = (uint8_t)padding;
  if (!pad(keys, packet + 5 + payload, padding)) return PACKETS_REFUSED;
  int ok = keys->chacha ? seal_chacha(keys, packet, length, data, count) : gcm(keys, packet, length, data, count);
  if (!ok) return PACKETS_REFUSED;
  next(keys);
  return PACKETS_OK;
}

static size_t sealed(const packets *keys, size_t payload) { return 4 + 1 + payload + padding_of(keys, payload) + PACKETS_TAG; }

packets_result packets_seal(packets *keys, uint8_t *memory, size_t size, size_t *at, size_t length) {
  if (length > PACKETS_MAX_LENGTH - PACKETS_OVERHEAD || *at > size || size - *at < sealed(keys, length)) return PACKETS_NO_ROOM;
  packets_result result = seal_one(keys, memory + *at, length, NULL, 0);
  if (result == PACKETS_OK) *at += sealed(keys, length);
  return result;
}

packets_result packets_seal_data(packets *keys, const uint8_t *from, size_t length, uint8_t *memory, size_t size, size_t *at,
                                 uint32_t channel, uint32_t largest) {
  if (largest == 0 || largest > PACKETS_MAX_LENGTH - PACKETS_OVERHEAD - PACKETS_DATA_HEADER || *at > size) return PACKETS_NO_ROOM;
  // Without a division, which armhf has only in a library.
  size_t room = size - *at;
  for (size_t left = length, some; left > 0; left -= some) {
    some = left < largest ? left : largest;
    if (room < sealed(keys, PACKETS_DATA_HEADER + some)) return PACKETS_NO_ROOM;
    room -= sealed(keys, PACKETS_DATA_HEADER + some);
  }
  while (length > 0) {
    size_t some = length < largest ? length : largest;
    uint8_t *packet = memory + *at;
    packet[5] = CHANNEL_DATA;
    put32(packet + 6, channel);
    put32(packet + 10, (uint32_t)some);
    packets_result result = seal_one(keys, packet, PACKETS_DATA_HEADER + some, from, some);
    if (result != PACKETS_OK) return result;
    *at += sealed(keys, PACKETS_DATA_HEADER + some);
    from += some;
    length -= some;
  }
  return PACKETS_OK;
}

static packets_result read_length(packets *keys, const uint8_t *packet, size_t *length) {
  uint8_t plain[4], iv[16];
  memcpy(plain, packet, 4);
  if (keys->chacha) {
    chacha_iv(keys, iv, 0);
    if (!chacha(keys->lengths, iv, plain, packet, 4)) return PACKETS_REFUSED;
  }
  *length = get32(plain);
  size_t block = block_of(keys);
  return *length < block || *length > PACKETS_MAX_LENGTH || (*length & (block - 1)) != 0 ? PACKETS_BAD_LENGTH : PACKETS_OK;
}

static packets_result open_chacha(packets *keys, uint8_t *packet, size_t length) {
  uint8_t iv[16], tag[PACKETS_TAG];
  if (!authenticate(keys, packet, length, tag)) return PACKETS_REFUSED;
  if (CRYPTO_memcmp(tag, packet + 4 + length, PACKETS_TAG) != 0) return PACKETS_BAD_MAC;
  chacha_iv(keys, iv, 1);
  return chacha(keys->cipher, iv, packet + 4, packet + 4, length) ? PACKETS_OK : PACKETS_REFUSED;
}

static packets_result open_one(packets *keys, uint8_t *packet, size_t length) {
  packets_result result = keys->chacha ? open_chacha(keys, packet, length) : gcm(keys, packet, length, NULL, 0) ? PACKETS_OK : PACKETS_BAD_MAC;
  if (result != PACKETS_OK) return result;
  next(keys);
  // At least the one byte before the payload is not padding.
  return packet[4] < length ? PACKETS_OK : PACKETS_BAD_PADDING;
}

packets_result packets_open(packets *keys, uint8_t *memory, size_t *at, size_t to, packets_payload *payloads, size_t room,
                            size_t *count, size_t *wanted) {
  int more = 1;
  *count = *wanted = 0;
  while (more && keys->wrong == PACKETS_OK && *count < room && to - *at >= 4) {
    uint8_t *packet = memory + *at;
    size_t length = 0;
    keys->wrong = read_length(keys, packet, &length);
    if (keys->wrong != PACKETS_OK) break;
    if (to - *at - 4 < length + PACKETS_TAG) {
      *wanted = 4 + length + PACKETS_TAG;
      break;
    }
    keys->wrong = open_one(keys, packet, length);
    if (keys->wrong != PACKETS_OK) break;
    packets_payload *payload = payloads + (*count)++;
    payload->start = (uint32_t)(*at + 5);
    payload->length = (uint32_t)(length - 1 - packet[4]);
    more = payload->length > 0 && packet[5] == CHANNEL_DATA;
    *at += 4 + length + PACKETS_TAG;
  }
  if (keys->wrong != PACKETS_OK) ERR_clear_error();
  return *count > 0 ? PACKETS_OK : keys->wrong;
}

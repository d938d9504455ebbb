// SSH packets (RFC 4253 section 6), sealed and opened in place, many in one call: AES-GCM (RFC 5647, as aes*-gcm@openssh.com) and
// ChaCha20-Poly1305 (OpenSSH's PROTOCOL.chacha20poly1305). No policy: which packets are sent, and what comes of those that were
// opened, is decided in src/connection/ssh2.
#ifndef TUNNELD_PACKETS_H
#define TUNNELD_PACKETS_H
#include <stddef.h>
#include <stdint.h>

enum {
  PACKETS_TAG = 16,
  // The length, the padding's length, at most 16 + 3 bytes of padding, and the tag.
  PACKETS_OVERHEAD = 4 + 1 + 19 + PACKETS_TAG,
  // The largest value of a length that is accepted, as OpenSSH's PACKET_MAX_SIZE.
  PACKETS_MAX_LENGTH = 256 * 1024,
  // Before the bytes of a CHANNEL_DATA (RFC 4254 section 5.2): its number, the channel, the length.
  PACKETS_DATA_HEADER = 9,
};

typedef enum { PACKETS_OK, PACKETS_NO_ROOM, PACKETS_REFUSED, PACKETS_BAD_LENGTH, PACKETS_BAD_MAC, PACKETS_BAD_PADDING } packets_result;

// The keys of one direction, and where it is in its sequence.
typedef struct packets packets;

// `cipher`: "aes-128-gcm" or "aes-256-gcm" with a key of 16 or 32 bytes and an IV of 12, or "chacha20" with a key of 64 (the
// second half is for the lengths) and no IV. `sequence`: the number of the next packet. Answers NULL where one of these is
// wrong, and where OpenSSL has no such cipher.
packets *packets_new(const char *cipher, const uint8_t *key, size_t key_length, const uint8_t *iv, size_t iv_length,
                     uint32_t sequence, int sealing);
// Overwrites the keys.
void packets_free(packets *keys);

// Seals the payload of `length` bytes at `*at` + 5, and moves `*at` behind the packet.
packets_result packets_seal(packets *keys, uint8_t *memory, size_t size, size_t *at, size_t length);

// Seals `length` bytes as CHANNEL_DATA in as many packets as it takes, of at most `largest` bytes each, and moves `*at` behind them.
// Nothing is written where they do not all fit.
packets_result packets_seal_data(packets *keys, const uint8_t *from, size_t length, uint8_t *memory, size_t size, size_t *at,
                                 uint32_t channel, uint32_t largest);

// Where the payload of a packet is.
typedef struct { uint32_t start, length; } packets_payload;

// Opens the whole packets between `*at` and `to`, up to the first that is no CHANNEL_DATA, this one included, at most `room` of
// them, and moves `*at` behind the last. A packet that is wrong is reported when those before it have been: by this call where it
// is the first, else by the next one. After that nothing more is opened. `wanted`: the bytes of the packet at which it stopped, where they
// are not all there; 0 where not even its length is, or where it did not look.
packets_result packets_open(packets *keys, uint8_t *memory, size_t *at, size_t to, packets_payload *payloads, size_t room,
                            size_t *count, size_t *wanted);

#endif

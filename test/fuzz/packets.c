// Seals and opens packets with mutated bytes and positions, under AddressSanitizer and UndefinedBehaviorSanitizer: see native.mjs.
// usage: packets ROUNDS [SEED]
#include <errno.h>
#include "../../packaging/native/packets.h"
#include "../../packaging/native/send.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t state;

static uint32_t any(void) { // xorshift64*
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (uint32_t)((state * 2685821657736338717u) >> 32);
}

static uint32_t below(uint32_t limit) { return any() % limit; }

static void fill(uint8_t *to, size_t length) {
  for (size_t i = 0; i < length; i++) to[i] = (uint8_t)any();
}

static void must(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "fuzz: %s\n", what);
  abort();
}

enum { PACKETS = 6 };
static const char *const NAMES[] = {"aes-128-gcm", "aes-256-gcm", "chacha20"};
static const size_t KEYS[] = {16, 32, 64};

typedef struct {
  uint8_t *memory;
  size_t size, count, ends[PACKETS], lengths[PACKETS];
  uint8_t plain[PACKETS][700];
} stream;

// Memory of exactly the size that is needed, so that one byte more is seen.
static void seal_all(packets *sealer, stream *out) {
  size_t at = 0;
  out->count = 1 + below(PACKETS);
  out->memory = malloc(out->size = out->count * (sizeof out->plain[0] + PACKETS_OVERHEAD));
  for (size_t i = 0; i < out->count; i++) {
    size_t length = out->lengths[i] = below(4) == 0 ? below(20) : below(sizeof out->plain[0] - 20);
    fill(out->plain[i], length);
    if (length > 0 && below(4) > 0) out->plain[i][0] = 94;
    memcpy(out->memory + at + 5, out->plain[i], length);
    size_t least = at;
    must(packets_seal(sealer, out->memory, at + 5 + length, &least, length) == PACKETS_NO_ROOM && least == at, "no room for a tag");
    must(packets_seal(sealer, out->memory, out->size, &at, length) == PACKETS_OK, "a packet is sealed");
    must(at <= out->size && at - (i == 0 ? 0 : out->ends[i - 1]) <= length + PACKETS_OVERHEAD, "the overhead is what it says");
    out->ends[i] = at;
  }
  out->memory = realloc(out->memory, out->size = at);
}

// The first packet that is not as it was, or all of them.
static size_t mutate(stream *sealed) {
  size_t first = 0, same = 0;
  uint8_t *before = malloc(sealed->size);
  memcpy(before, sealed->memory, sealed->size);
  for (uint32_t left = below(4); left > 0; left--) {
    size_t where = below((uint32_t)sealed->size);
    sealed->memory[where] = below(2) ? (uint8_t)any() : (uint8_t)(sealed->memory[where] ^ (1u << below(8)));
  }
  while (same < sealed->size && before[same] == sealed->memory[same]) same++;
  while (first < sealed->count && sealed->ends[first] <= same) first++;
  free(before);
  return first;
}

static size_t size_of(const stream *sealed, size_t index) { return sealed->ends[index] - (index == 0 ? 0 : sealed->ends[index - 1]); }

static void open_all(packets *opener, stream *sealed, size_t intact) {
  packets_payload payloads[PACKETS];
  size_t at = 0, to = 0, done = 0, count, wanted;
  packets_result result = PACKETS_OK;
  while (to < sealed->size && result == PACKETS_OK) {
    to += 1 + below((uint32_t)(sealed->size - to));
    do {
      size_t before = at;
      result = packets_open(opener, sealed->memory, &at, to, payloads, 1 + below(PACKETS), &count, &wanted);
      must(at >= before && at <= to && (result == PACKETS_OK || count == 0), "it stays within");
      must(wanted == 0 || (wanted > to - at && wanted <= 4 + PACKETS_MAX_LENGTH + PACKETS_TAG), "it wants what is missing");
      must(wanted == 0 || done + count >= intact || wanted == size_of(sealed, done + count), "it knows how much that is");
      for (size_t i = 0; i < count; i++, done++) {
        must(done < intact, "nothing that was changed is opened");
        must(payloads[i].length == sealed->lengths[done] &&
                 memcmp(sealed->memory + payloads[i].start, sealed->plain[done], payloads[i].length) == 0,
             "a packet is what it was");
        must(i + 1 == count || sealed->plain[done][0] == 94, "it stops behind what is no data");
      }
    } while (count > 0);
  }
  must(result != PACKETS_OK || intact < sealed->count || done == sealed->count, "all are opened");
  if (result != PACKETS_OK) must(packets_open(opener, sealed->memory, &at, to, payloads, 1, &count, &wanted) == result && count == 0, "it stays wrong");
}

static void seal_data(packets *sealer, packets *opener) {
  size_t length = below(3000), largest = 1 + below(700), at = 0, seen = 0, count, wanted;
  uint8_t *from = malloc(length + 1);
  fill(from, length);
  size_t size = length + (length / largest + 1) * (PACKETS_OVERHEAD + PACKETS_DATA_HEADER);
  uint8_t *memory = malloc(size);
  size_t none = 0;
  if (length > 0)
    must(packets_seal_data(sealer, from, length, memory, length, &none, 1, (uint32_t)largest) == PACKETS_NO_ROOM && none == 0, "nothing where not all fits");
  must(packets_seal_data(sealer, from, length, memory, size, &at, 7, (uint32_t)largest) == PACKETS_OK && at <= size, "data is sealed");
  for (size_t end = at, start = 0; start < end;) {
    packets_payload payloads[4];
    must(packets_open(opener, memory, &start, end, payloads, 4, &count, &wanted) == PACKETS_OK && count > 0, "data is opened");
    for (size_t i = 0; i < count; i++) {
      must(payloads[i].length > 9 && payloads[i].length - 9 <= largest, "no packet is too large");
      must(memcmp(memory + payloads[i].start + 9, from + seen, payloads[i].length - 9) == 0, "data is what it was");
      seen += payloads[i].length - 9;
    }
  }
  must(seen == length, "all data is there");
  free(memory);
  free(from);
}

// What nobody has sealed.
static void open_noise(packets *opener) {
  size_t size = 4 + below(600), at = 0, count, wanted;
  uint8_t *memory = malloc(size);
  packets_payload payloads[2];
  fill(memory, size);
  if (below(2)) memory[0] = memory[1] = 0, memory[2] &= 3;
  packets_open(opener, memory, &at, size, payloads, 2, &count, &wanted);
  must(count == 0, "noise is nothing");
  free(memory);
}

// More pieces than go into one call, some of them empty or overlapping, to a socket that takes all, a part, or nothing.
static void send_pieces(void) {
  enum { MEMORY = 5000, PIECES = 80 };
  int fds[2], small = 1;
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "there are sockets");
  if (below(2)) setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  int shut = below(8) == 0;
  if (shut) shutdown(fds[1], SHUT_RD);
  uint8_t *memory = malloc(MEMORY), *wanted = malloc(PIECES * MEMORY), *got = malloc(PIECES * MEMORY + 1);
  fill(memory, MEMORY);
  send_piece pieces[PIECES];
  size_t count = below(PIECES + 1), bytes = 0, seen = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t start = below(MEMORY + 1);
    pieces[i] = (send_piece){start, below(8) == 0 ? 0 : below(MEMORY - start + 1)};
    memcpy(wanted + bytes, memory + start, pieces[i].length);
    bytes += pieces[i].length;
  }
  must(wake_at(fds[1], 1 + (int)below(1000)) && !wake_at(-1, 1), "a socket wakes later, nothing else does");
  long told = send_now(fds[0], memory, pieces, count);
  must(told >= 0 ? (size_t)told <= bytes : shut && told == -EPIPE, "no more is sent than there is");
  must(send_now(-1, memory, pieces, 1) == -EBADF, "a wrong descriptor is told");
  size_t sent = told < 0 ? 0 : (size_t)told;
  close(fds[0]);
  int then = READ_ALL;
  while ((then == READ_ALL || then == READ_MORE) && seen <= sent) {
    size_t room = 1 + below((uint32_t)(PIECES * MEMORY - seen + 1));
    seen += read_now(fds[1], got + seen, room, (int)below(2), &then);
  }
  must(then == READ_END && read_now(-1, got, 1, 0, &then) == 0 && then == EBADF, "an end is no error");
  must(seen == sent && memcmp(got, wanted, sent) == 0, "what was sent is the first of it");
  close(fds[1]);
  free(memory);
  free(wanted);
  free(got);
}

int main(int argc, char **argv) {
  unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
  state = argc > 2 ? strtoull(argv[2], NULL, 10) : 88172645463325252u;
  for (unsigned long round = 0; round < rounds; round++) {
    uint32_t cipher = below(3), sequence = below(8) ? any() : UINT32_MAX - below(3);
    uint8_t key[64], iv[12];
    fill(key, sizeof key);
    fill(iv, sizeof iv);
    if (below(8) == 0) memset(iv + 4, 255, 8);
    must(packets_new(NAMES[cipher], key, KEYS[cipher] - 1, iv, 12, sequence, 1) == NULL, "a short key is refused");
    packets *sealer = packets_new(NAMES[cipher], key, KEYS[cipher], iv, 12, sequence, 1);
    packets *opener = packets_new(NAMES[cipher], key, KEYS[cipher], iv, 12, sequence, 0);
    must(sealer != NULL && opener != NULL, "there are keys");
    switch (below(4)) {
      case 0: seal_data(sealer, opener); break;
      case 1: open_noise(opener); break;
      default: {
        stream sealed;
        seal_all(sealer, &sealed);
        open_all(opener, &sealed, mutate(&sealed));
        free(sealed.memory);
      }
    }
    if (round % 16 == 0) send_pieces();
    packets_free(sealer);
    packets_free(opener);
  }
  printf("%lu rounds\n", rounds);
  return 0;
}

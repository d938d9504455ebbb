// Sends over a socket of Node's without its stream. No policy: for which socket, and what becomes of the rest, is for who calls.
#ifndef TUNNELD_SEND_H
#define TUNNELD_SEND_H
#include <stddef.h>
#include <stdint.h>

typedef struct { uint32_t start, length; } send_piece;

// Sends pieces of memory, which are within it, one behind the other, and never waits. Returns how many bytes the kernel took: 0 where it
// takes none, or where the socket is broken, which who writes the rest finds out.
size_t send_now(int fd, const uint8_t *memory, const send_piece *pieces, size_t count);

// A socket is readable only when so many bytes have come, or its end (SO_RCVLOWAT of socket(7)). Returns 0 where it is no socket.
int wake_at(int fd, int bytes);

// The bytes that were sent and that the other end has not acknowledged (SIOCOUTQ of tcp(7)); -1 where that is not known.
int unacknowledged(int fd);

// Acknowledges what has come now, not with the next bytes or after 40 ms (TCP_QUICKACK of tcp(7)). Returns 0 where that cannot be.
int acknowledge(int fd);

#endif

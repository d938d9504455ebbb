// System calls on sockets, those of Node's too, past its streams. Each returns a number below 0, -errno, where it fails. No policy: for which
// socket, and what becomes of it, is for who calls.
#ifndef TUNNELD_SEND_H
#define TUNNELD_SEND_H
#include <stddef.h>
#include <stdint.h>

typedef struct { uint32_t start, length; } send_piece;

// Begins a connection to an IP address, without Nagle's algorithm. Returns the descriptor.
int begin_connection(const char *address, uint16_t port);

// Whether it is open by now: 1 or 0. Within this machine the kernel does mostly all of it during connect(2).
int is_open(int fd);

// Whether there is something to read, or to be told of an epoll(7), which it leaves there.
int is_readable(int fd);

// Reads all that is there, as far as there is room. `*then` is what came behind it: READ_ALL where there was nothing more or no room,
// READ_END at the end, else an errno. Where `soon`, it returns what is small before it looks for more: READ_MORE, for there may be some.
enum { READ_ALL = 0, READ_END = -1, READ_MORE = -2 };
size_t read_now(int fd, uint8_t *memory, size_t room, int soon, int *then);

// Ends what is sent (shutdown(2)).
int end_sending(int fd);

// Closes it, with a reset where `reset`.
void close_socket(int fd, int reset);

// Sends pieces of memory, which are within it, one behind the other, and never waits. Returns how many bytes the kernel took: 0 where it
// takes none now.
long send_now(int fd, const uint8_t *memory, const send_piece *pieces, size_t count);

// A socket is readable only when so many bytes have come, or its end (SO_RCVLOWAT of socket(7)). Returns 0 where it is no socket.
int wake_at(int fd, int bytes);

// Takes no more than so many bytes beyond what is on its way (TCP_NOTSENT_LOWAT of tcp(7)). Returns 0 where that cannot be.
int limit_unsent(int fd, int bytes);

// The bytes that were sent and that the other end has not acknowledged (SIOCOUTQ of tcp(7)); -1 where that is not known.
int unacknowledged(int fd);

// Acknowledges what has come now, not with the next bytes or after 40 ms (TCP_QUICKACK of tcp(7)). Returns 0 where that cannot be.
int acknowledge(int fd);

#endif

#include "send.h"
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { AT_ONCE = 32 };

static size_t send_some(int fd, struct iovec *parts, size_t count) {
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
  ssize_t sent;
  do sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? 0 : (size_t)sent;
}

int wake_at(int fd, int bytes) { return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0; }

int unacknowledged(int fd) {
  int protocol, bytes;
  socklen_t size = sizeof protocol;
  // Of a Unix socket it is something else.
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0 || protocol != IPPROTO_TCP) return -1;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : -1;
}

int acknowledge(int fd) {
  int on = 1;
  return setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on) == 0;
}

size_t send_now(int fd, const uint8_t *memory, const send_piece *pieces, size_t count) {
  size_t total = 0;
  for (size_t at = 0; at < count;) {
    struct iovec parts[AT_ONCE];
    size_t some = 0, bytes = 0;
    for (; some < AT_ONCE && at < count; some++, at++) {
      parts[some] = (struct iovec){(void *)(uintptr_t)(memory + pieces[at].start), pieces[at].length};
      bytes += pieces[at].length;
    }
    size_t sent = send_some(fd, parts, some);
    total += sent;
    if (sent < bytes) break;
  }
  return total;
}

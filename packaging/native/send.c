#include "send.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { AT_ONCE = 32, SMALL = 4096 };

static long send_some(int fd, struct iovec *parts, size_t count) {
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
  ssize_t sent;
  do sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? 0 : -errno;
}

static socklen_t fill(struct sockaddr_storage *out, const char *address, uint16_t port) {
  struct sockaddr_in *four = (struct sockaddr_in *)out;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
  if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    return sizeof *four;
  }
  if (inet_pton(AF_INET6, address, &six->sin6_addr) != 1) return 0;
  six->sin6_family = AF_INET6;
  six->sin6_port = htons(port);
  return sizeof *six;
}

int is_readable(int fd) {
  struct pollfd at = {.fd = fd, .events = POLLIN};
  return poll(&at, 1, 0) > 0;
}

int is_open(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  struct pollfd at = {.fd = fd, .events = POLLOUT};
  if (poll(&at, 1, 0) <= 0) return 0;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return -errno;
  return error == 0 ? 1 : -error;
}

int begin_connection(const char *address, uint16_t port) {
  struct sockaddr_storage to = {0};
  socklen_t size = fill(&to, address, port);
  if (size == 0) return -EINVAL;
  int on = 1, result = 0, fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) result = -errno;
  else if (connect(fd, (struct sockaddr *)&to, size) != 0 && errno != EINPROGRESS) result = -errno;
  if (result == 0) return fd;
  close(fd);
  return result;
}

// Not only once: a read stops short at urgent data, and nobody tells again of what is behind it.
size_t read_now(int fd, uint8_t *memory, size_t room, int soon, int *then) {
  size_t total = 0;
  *then = READ_ALL;
  while (total < room) {
    ssize_t count = recv(fd, memory + total, room - total, MSG_DONTWAIT);
    if (count > 0) {
      total += (size_t)count;
      if (soon && total < SMALL) { *then = READ_MORE; break; }
    }
    else if (count == 0) { *then = READ_END; break; }
    else if (errno == EAGAIN) break;
    else if (errno != EINTR) { *then = errno; break; }
  }
  return total;
}

int end_sending(int fd) { return shutdown(fd, SHUT_WR) == 0 ? 0 : -errno; }

void close_socket(int fd, int reset) {
  struct linger at_once = {.l_onoff = 1};
  if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

int wake_at(int fd, int bytes) { return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0; }

int unacknowledged(int fd) {
  int protocol, bytes;
  socklen_t size = sizeof protocol;
  // Of a Unix socket it is something else.
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0 || protocol != IPPROTO_TCP) return -1;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : -1;
}

int limit_unsent(int fd, int bytes) { return setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes) == 0; }

int acknowledge(int fd) {
  int on = 1;
  return setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on) == 0;
}

long send_now(int fd, const uint8_t *memory, const send_piece *pieces, size_t count) {
  long total = 0;
  for (size_t at = 0; at < count;) {
    struct iovec parts[AT_ONCE];
    size_t some = 0;
    long bytes = 0;
    for (; some < AT_ONCE && at < count; some++, at++) {
      parts[some] = (struct iovec){(void *)(uintptr_t)(memory + pieces[at].start), pieces[at].length};
      bytes += (long)pieces[at].length;
    }
    long sent = send_some(fd, parts, some);
    // What went before is told first: the next call finds it broken again.
    if (sent < 0) return total > 0 ? total : sent;
    total += sent;
    if (sent < bytes) break;
  }
  return total;
}

/*
 * An SSH server of libssh that listens for its client and connects for it: PORT HOST_KEY. One process for each client; one loop
 * that moves bytes between channels and sockets and blocks on neither.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX 512
#define CHUNK 32768

struct link {
  ssh_channel channel;
  int fd;
  char buffer[CHUNK];
  int from, to;
  int channel_ended, socket_ended;
};

struct listener {
  char host[256];
  int port, fd;
};

static struct link *links[MAX];
static struct listener listeners[16];
static int listening;

static int nonblocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return fd;
}

static void add(ssh_channel channel, int fd) {
  for (int i = 0; i < MAX; i++)
    if (links[i] == NULL) {
      links[i] = calloc(1, sizeof(struct link));
      links[i]->channel = channel;
      links[i]->fd = nonblocking(fd);
      return;
    }
  close(fd);
}

static int dial(const char *host, int port) {
  char text[16];
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  snprintf(text, sizeof text, "%d", port);
  if (getaddrinfo(host, text, &hints, &found) != 0) return -1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
    close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  return fd;
}

static int listen_on(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static void on_message(ssh_message message) {
  int type = ssh_message_type(message), subtype = ssh_message_subtype(message);
  if (type == SSH_REQUEST_CHANNEL_OPEN && subtype == SSH_CHANNEL_DIRECT_TCPIP) {
    int fd = dial(ssh_message_channel_request_open_destination(message),
                  ssh_message_channel_request_open_destination_port(message));
    if (fd >= 0) {
      add(ssh_message_channel_request_open_reply_accept(message), fd);
      return;
    }
  } else if (type == SSH_REQUEST_GLOBAL && subtype == SSH_GLOBAL_REQUEST_TCPIP_FORWARD && listening < 16) {
    struct listener *one = &listeners[listening];
    one->port = ssh_message_global_request_port(message);
    one->fd = listen_on(one->port);
    if (one->fd >= 0) {
      snprintf(one->host, sizeof one->host, "%s", ssh_message_global_request_address(message));
      nonblocking(one->fd);
      listening++;
      ssh_message_global_request_reply_success(message, one->port);
      return;
    }
  }
  ssh_message_reply_default(message);
}

static int authenticate(ssh_session session, ssh_message message, void *data) {
  int *done = data;
  (void)session;
  if (ssh_message_type(message) == SSH_REQUEST_AUTH && ssh_message_subtype(message) == SSH_AUTH_METHOD_PUBLICKEY) {
    if (ssh_message_auth_publickey_state(message) == SSH_PUBLICKEY_STATE_NONE)
      ssh_message_auth_reply_pk_ok_simple(message);
    else {
      ssh_message_auth_reply_success(message, 0);
      *done = 1;
    }
    return 0;
  }
  if (ssh_message_type(message) == SSH_REQUEST_AUTH) {
    ssh_message_auth_set_methods(message, SSH_AUTH_METHOD_PUBLICKEY);
    return 1;
  }
  if (*done == 0) return 1;
  on_message(message);
  return 0;
}

static void end(int i) {
  ssh_channel_close(links[i]->channel);
  ssh_channel_free(links[i]->channel);
  close(links[i]->fd);
  free(links[i]);
  links[i] = NULL;
}

/* Whether anything moved. */
static int move(int i) {
  struct link *one = links[i];
  int moved = 0;
  char bytes[CHUNK];
  if (one->from == one->to && !one->channel_ended) {
    int got = ssh_channel_read_nonblocking(one->channel, one->buffer, CHUNK, 0);
    if (got > 0) {
      one->from = 0;
      one->to = got;
      moved = 1;
    } else if (got < 0 || ssh_channel_is_eof(one->channel)) {
      one->channel_ended = 1;
      shutdown(one->fd, SHUT_WR);
    }
  }
  if (one->from < one->to) {
    int put = send(one->fd, one->buffer + one->from, one->to - one->from, MSG_NOSIGNAL);
    if (put > 0) {
      one->from += put;
      moved = 1;
    } else if (errno != EAGAIN) {
      end(i);
      return 1;
    }
  }
  unsigned window = ssh_channel_window_size(one->channel);
  if (!one->socket_ended && window > 0) {
    int got = recv(one->fd, bytes, window < CHUNK ? window : CHUNK, 0);
    if (got > 0) {
      ssh_channel_write(one->channel, bytes, got);
      moved = 1;
    } else if (got == 0 || errno != EAGAIN) {
      one->socket_ended = 1;
      ssh_channel_send_eof(one->channel);
    }
  }
  if (one->socket_ended && (one->channel_ended || ssh_channel_is_eof(one->channel) || ssh_channel_is_closed(one->channel))) {
    if (one->from == one->to) end(i);
    return 1;
  }
  if (ssh_channel_is_closed(one->channel) && one->from == one->to) {
    end(i);
    return 1;
  }
  return moved;
}

static void serve(ssh_session session) {
  int authenticated = 0;
  ssh_event event = ssh_event_new();
  ssh_set_message_callback(session, authenticate, &authenticated);
  if (ssh_handle_key_exchange(session) != SSH_OK) return;
  ssh_event_add_session(event, session);
  while (ssh_is_connected(session)) {
    int moved = 0;
    for (int i = 0; i < MAX; i++)
      if (links[i] != NULL) moved |= move(i);
    for (int i = 0; i < listening; i++) {
      struct sockaddr_in from;
      socklen_t size = sizeof from;
      int fd = accept(listeners[i].fd, (struct sockaddr *)&from, &size);
      if (fd < 0) continue;
      ssh_channel channel = ssh_channel_new(session);
      if (ssh_channel_open_reverse_forward(channel, listeners[i].host, listeners[i].port, "127.0.0.1", ntohs(from.sin_port)) == SSH_OK)
        add(channel, fd);
      else
        close(fd);
      moved = 1;
    }
    if (ssh_event_dopoll(event, moved ? 0 : 2) == SSH_ERROR) break;
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  ssh_bind bind = ssh_bind_new();
  ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BINDADDR, "127.0.0.1");
  ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BINDPORT_STR, argv[1]);
  ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HOSTKEY, argv[2]);
  if (ssh_bind_listen(bind) < 0) {
    fprintf(stderr, "%s\n", ssh_get_error(bind));
    return 1;
  }
  for (;;) {
    ssh_session session = ssh_new();
    if (ssh_bind_accept(bind, session) != SSH_OK) continue;
    if (fork() == 0) {
      serve(session);
      _exit(0);
    }
    ssh_disconnect(session);
    ssh_free(session);
  }
}

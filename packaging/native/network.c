#include "network.h"
#include "call.h"
#include "libuv.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

typedef struct watch watch;

// `handle` is NULL where there is nothing to close.
typedef struct {
  watch *of;
  const char *what;
  int fd;
  uv_poll_t *handle;
} source;

struct watch {
  napi_env env;
  napi_ref listener;
  // Waits for the end of the environment, and lets it wait until all is closed.
  napi_async_cleanup_hook_handle end;
  source network, clock;
  int open, stopped;
};

static void arm(int fd) {
  // So far ahead that it never comes (and fits 32 bits): what is waited for is that the clock is set.
  struct itimerspec far = {.it_value = {.tv_sec = 0x7fffffff}};
  timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

static int is_change(const struct nlmsghdr *message) {
  if (message->nlmsg_type != RTM_NEWLINK) return 1;
  if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg))) return 0;
  // A report of a wireless card about a scan changes nothing.
  return ((const struct ifinfomsg *)NLMSG_DATA(message))->ifi_change != 0;
}

// Reads all that is there.
static int network_changed(int fd) {
  union { struct nlmsghdr first; char bytes[8192]; } buffer;
  int changed = 0;
  for (;;) {
    ssize_t length = recv(fd, &buffer, sizeof buffer, MSG_DONTWAIT);
    if (length < 0 && errno == EINTR) continue;
    // Some were lost: there were many.
    if (length < 0 && errno == ENOBUFS) { changed = 1; continue; }
    if (length <= 0) return changed;
    size_t left = (size_t)length;
    for (struct nlmsghdr *message = &buffer.first; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left))
      changed |= is_change(message);
  }
}

static int clock_changed(int fd) {
  uint64_t expired;
  if (read(fd, &expired, sizeof expired) < 0 && errno == EAGAIN) return 0;
  arm(fd);
  return 1;
}

static void tell(watch *watch, const char *what) {
  napi_handle_scope scope;
  napi_value listener, argument;
  if (napi_open_handle_scope(watch->env, &scope) != napi_ok) return;
  if (napi_get_reference_value(watch->env, watch->listener, &listener) == napi_ok &&
      napi_create_string_utf8(watch->env, what, NAPI_AUTO_LENGTH, &argument) == napi_ok)
    call_back(watch->env, listener, 1, &argument);
  napi_close_handle_scope(watch->env, scope);
}

static void happened(uv_poll_t *handle, int status, int events) {
  (void)events;
  // libuv takes lost reports (ENOBUFS) for a broken descriptor, and has stopped.
  if (status < 0) uv_poll_start(handle, UV_READABLE_EVENT, happened);
  source *from = uv_handle_get_data((uv_handle_t *)handle);
  watch *watch = from->of;
  if (from == &watch->network ? network_changed(from->fd) : clock_changed(from->fd)) tell(watch, from->what);
}

static void done(watch *watch) {
  if (watch->end != NULL) napi_remove_async_cleanup_hook(watch->end);
  free(watch);
}

static void closed(uv_handle_t *handle) {
  source *from = uv_handle_get_data(handle);
  watch *watch = from->of;
  close(from->fd);
  free(handle);
  if (--watch->open == 0) done(watch);
}

static void stop(watch *watch) {
  if (watch->stopped) return;
  watch->stopped = 1;
  source *sources[] = {&watch->network, &watch->clock};
  for (int i = 0; i < 2; i++)
    if (sources[i]->handle != NULL) uv_close((uv_handle_t *)sources[i]->handle, closed);
    else if (sources[i]->fd >= 0) close(sources[i]->fd);
  if (watch->open == 0) done(watch);
}

// Node aborts where a worker thread leaves a handle open.
static void ends(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  stop(data);
}

static int start(watch *watch, source *from, const char *what, int fd, struct uv_loop_s *loop) {
  *from = (source){.of = watch, .what = what, .fd = fd};
  if (fd < 0) return 0;
  uv_poll_t *handle = calloc(1, uv_handle_size(UV_POLL_TYPE));
  if (handle == NULL || uv_poll_init(loop, handle, fd) != 0) { free(handle); return 0; }
  from->handle = handle;
  watch->open++;
  uv_handle_set_data((uv_handle_t *)handle, from);
  uv_unref((uv_handle_t *)handle);
  return uv_poll_start(handle, UV_READABLE_EVENT, happened) == 0;
}

static int open_network(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  struct sockaddr_nl groups = {
      .nl_family = AF_NETLINK,
      .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
  if (fd < 0 || bind(fd, (struct sockaddr *)&groups, sizeof groups) == 0) return fd;
  close(fd);
  return -1;
}

static int open_clock(void) {
  int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd >= 0) arm(fd);
  return fd;
}

static napi_value stop_watch(napi_env env, napi_callback_info info) {
  void *data;
  watch *watch;
  if (napi_get_cb_info(env, info, NULL, NULL, NULL, &data) != napi_ok) return NULL;
  // Called again, it has nothing to do.
  watch = *(struct watch **)data;
  *(struct watch **)data = NULL;
  if (watch == NULL) return NULL;
  napi_delete_reference(env, watch->listener);
  stop(watch);
  return NULL;
}

static void forget(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
}

napi_value network_watch(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], out;
  napi_valuetype type;
  struct uv_loop_s *loop;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 1 || napi_typeof(env, argv[0], &type) != napi_ok ||
      type != napi_function || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    napi_throw_error(env, "WRONG_ARGUMENT", "An argument is wrong");
    return NULL;
  }
  watch *watch = calloc(1, sizeof *watch), **box = malloc(sizeof *box);
  if (watch == NULL || box == NULL) { free(watch); free(box); return NULL; }
  *box = watch;
  watch->env = env;
  int both = start(watch, &watch->network, "network", open_network(), loop);
  both &= start(watch, &watch->clock, "clock", open_clock(), loop);
  if (both && napi_create_reference(env, argv[0], 1, &watch->listener) == napi_ok &&
      napi_add_async_cleanup_hook(env, ends, watch, &watch->end) == napi_ok &&
      napi_create_function(env, "stop", NAPI_AUTO_LENGTH, stop_watch, box, &out) == napi_ok &&
      napi_add_finalizer(env, out, box, forget, NULL, NULL) == napi_ok)
    return out;
  if (watch->listener != NULL) napi_delete_reference(env, watch->listener);
  stop(watch);
  free(box);
  return napi_get_null(env, &out) == napi_ok ? out : NULL;
}

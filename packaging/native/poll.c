#include "poll.h"
#include "call.h"
#include "libuv.h"
#include "send.h"
#include <limits.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { AT_ONCE = 64, BUSY_MICROSECONDS = 1000 };

typedef struct {
  napi_env env;
  napi_ref table, listener;
  int fd;
  // NULL when it has ended.
  uv_poll_t *handle;
  // Waits for the end of the environment, and lets it wait until all is closed.
  napi_async_cleanup_hook_handle end;
  // The handle, and the two functions.
  int users;
} poll;

static void leave(poll *poll) {
  if (--poll->users == 0) free(poll);
}

static void closed(uv_handle_t *handle) {
  poll *poll = uv_handle_get_data(handle);
  close(poll->fd);
  poll->fd = -1;
  free(handle);
  if (poll->end != NULL) napi_remove_async_cleanup_hook(poll->end);
  leave(poll);
}

static void stop(poll *poll) {
  if (poll->handle == NULL) return;
  if (poll->table != NULL) napi_delete_reference(poll->env, poll->table);
  if (poll->listener != NULL) napi_delete_reference(poll->env, poll->listener);
  uv_close((uv_handle_t *)poll->handle, closed);
  poll->handle = NULL;
}

// Node aborts where a worker thread leaves a handle open.
static void ends(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  stop(data);
}

static uint32_t what(uint32_t events) {
  uint32_t is = 0;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) is |= POLL_READABLE;
  if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) is |= POLL_WRITABLE;
  return is;
}

static size_t entries(napi_env env, napi_value table, uint32_t **out) {
  napi_typedarray_type type;
  napi_value buffer;
  size_t length, offset;
  void *data;
  if (napi_get_typedarray_info(env, table, &type, &length, &data, &buffer, &offset) != napi_ok || type != napi_uint32_array) return 0;
  *out = data;
  return length / 2;
}

// Fills the table, and returns how many are ready.
static int collect(poll *poll) {
  struct epoll_event events[AT_ONCE];
  napi_value table;
  uint32_t *to;
  if (napi_get_reference_value(poll->env, poll->table, &table) != napi_ok) return 0;
  size_t room = entries(poll->env, table, &to);
  if (room == 0) return 0;
  int count = epoll_wait(poll->fd, events, room < AT_ONCE ? (int)room : AT_ONCE, 0);
  for (int i = 0; i < count; i++) {
    to[2 * i] = events[i].data.u32;
    to[2 * i + 1] = what(events[i].events);
  }
  return count;
}

static void tell(poll *poll) {
  napi_value listener, argument;
  int count = collect(poll);
  if (count > 0 && napi_get_reference_value(poll->env, poll->listener, &listener) == napi_ok &&
      napi_create_int32(poll->env, count, &argument) == napi_ok)
    call_back(poll->env, listener, 1, &argument);
}

static void happened(uv_poll_t *handle, int status, int events) {
  (void)status;
  (void)events;
  poll *poll = uv_handle_get_data((uv_handle_t *)handle);
  napi_handle_scope scope;
  napi_env env = poll->env;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  tell(poll);
  napi_close_handle_scope(env, scope);
}

static int number(napi_env env, napi_value value, uint32_t *out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0 && number <= 4294967295.0)) return 0;
  *out = (uint32_t)number;
  return 1;
}

static napi_value wrong(napi_env env) {
  napi_throw_error(env, "WRONG_ARGUMENT", "An argument is wrong");
  return NULL;
}

static napi_value watch(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3], out;
  uint32_t fd, id;
  bool writable;
  void *data;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, &data) != napi_ok || argc != 3 || !number(env, argv[0], &fd) || fd > INT_MAX ||
      !number(env, argv[1], &id) || napi_get_value_bool(env, argv[2], &writable) != napi_ok)
    return wrong(env);
  uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  struct epoll_event event = {.events = writable ? events | EPOLLOUT : events, .data = {.u32 = id}};
  bool is = epoll_ctl(((poll *)data)->fd, writable ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, (int)fd, &event) == 0;
  return napi_get_boolean(env, is, &out) == napi_ok ? out : NULL;
}

static napi_value poll_busily(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], out;
  uint32_t microseconds;
  struct uv_loop_s *loop;
  void *data;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, &data) != napi_ok || argc != 1 || !number(env, argv[0], &microseconds) ||
      microseconds > BUSY_MICROSECONDS || napi_get_uv_event_loop(env, &loop) != napi_ok)
    return wrong(env);
  poll *poll = data;
  uint64_t end = uv_hrtime() + (uint64_t)microseconds * 1000;
  int count = 0;
  // The event loop waits for the poll too. It is only looked at: what epoll_wait(2) returned would be lost to it where it is edge-triggered,
  // which in libuv 1.49.0 and 1.49.1 is the end of all work of other threads.
  while (poll->handle != NULL && !is_readable(uv_backend_fd(loop))) {
    if (uv_hrtime() >= end) {
      count = -1;
      break;
    }
    sched_yield();
  }
  if (count == 0 && poll->handle != NULL) count = collect(poll);
  return napi_create_int32(env, count, &out) == napi_ok ? out : NULL;
}

static void forget(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  leave(data);
}

napi_value poll_create(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2], out;
  napi_valuetype type;
  uint32_t *table;
  struct uv_loop_s *loop;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 2 || entries(env, argv[0], &table) == 0 ||
      napi_typeof(env, argv[1], &type) != napi_ok || type != napi_function || napi_get_uv_event_loop(env, &loop) != napi_ok)
    return wrong(env);
  poll *poll = calloc(1, sizeof *poll);
  uv_poll_t *handle = calloc(1, uv_handle_size(UV_POLL_TYPE));
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (poll == NULL || handle == NULL || fd < 0 || uv_poll_init(loop, handle, fd) != 0) {
    if (fd >= 0) close(fd);
    free(poll);
    free(handle);
    return napi_get_null(env, &out) == napi_ok ? out : NULL;
  }
  poll->env = env;
  poll->fd = fd;
  poll->handle = handle;
  poll->users = 1;
  uv_handle_set_data((uv_handle_t *)handle, poll);
  uv_unref((uv_handle_t *)handle);
  if (napi_add_async_cleanup_hook(env, ends, poll, &poll->end) == napi_ok &&
      napi_create_reference(env, argv[0], 1, &poll->table) == napi_ok &&
      napi_create_reference(env, argv[1], 1, &poll->listener) == napi_ok && uv_poll_start(handle, UV_READABLE_EVENT, happened) == 0 &&
      napi_create_object(env, &out) == napi_ok && add_function(env, out, "watch", watch, poll, &poll->users, forget) &&
      add_function(env, out, "pollBusily", poll_busily, poll, &poll->users, forget))
    return out;
  stop(poll);
  return napi_get_null(env, &out) == napi_ok ? out : NULL;
}

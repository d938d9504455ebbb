#include "timer.h"
#include "call.h"
#include "libuv.h"
#include <stdint.h>
#include <stdlib.h>

typedef struct {
  napi_env env;
  // NULL when it has ended.
  napi_ref listener;
  uv_timer_t *handle;
  // Waits for the end of the environment, and lets it wait until all is closed.
  napi_async_cleanup_hook_handle end;
  // Of the handle, and of the function that cancels.
  int users;
} timer;

static void leave(timer *timer) {
  if (--timer->users == 0) free(timer);
}

static void closed(uv_handle_t *handle) {
  timer *timer = uv_handle_get_data(handle);
  free(handle);
  if (timer->end != NULL) napi_remove_async_cleanup_hook(timer->end);
  leave(timer);
}

static void stop(timer *timer) {
  if (timer->handle == NULL) return;
  uv_close((uv_handle_t *)timer->handle, closed);
  timer->handle = NULL;
}

static void fired(uv_timer_t *handle) {
  timer *timer = uv_handle_get_data((uv_handle_t *)handle);
  napi_handle_scope scope;
  napi_value listener;
  napi_ref reference = timer->listener;
  napi_env env = timer->env;
  timer->listener = NULL;
  stop(timer);
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, reference, &listener) == napi_ok) call_back(env, listener, 0, NULL);
  napi_delete_reference(env, reference);
  napi_close_handle_scope(env, scope);
}

// Node aborts where a worker thread leaves a handle open.
static void ends(napi_async_cleanup_hook_handle handle, void *data) {
  (void)handle;
  stop(data);
}

static napi_value cancel(napi_env env, napi_callback_info info) {
  void *data;
  if (napi_get_cb_info(env, info, NULL, NULL, NULL, &data) != napi_ok) return NULL;
  timer *timer = data;
  // Called again, or after it fired, it has nothing to do.
  if (timer->listener == NULL) return NULL;
  napi_delete_reference(env, timer->listener);
  timer->listener = NULL;
  stop(timer);
  return NULL;
}

static void forget(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  leave(data);
}

napi_value timer_begin(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2], out;
  napi_valuetype type;
  double ms;
  struct uv_loop_s *loop;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 2 || napi_get_value_double(env, argv[0], &ms) != napi_ok ||
      !(ms >= 0 && ms <= 4294967295.0) || napi_typeof(env, argv[1], &type) != napi_ok || type != napi_function ||
      napi_get_uv_event_loop(env, &loop) != napi_ok) {
    napi_throw_error(env, "WRONG_ARGUMENT", "An argument is wrong");
    return NULL;
  }
  timer *timer = calloc(1, sizeof *timer);
  uv_timer_t *handle = calloc(1, uv_handle_size(UV_TIMER_TYPE));
  if (timer == NULL || handle == NULL || uv_timer_init(loop, handle) != 0) {
    free(timer);
    free(handle);
    napi_throw_error(env, "NO_TIMER", "There is no timer");
    return NULL;
  }
  timer->env = env;
  timer->handle = handle;
  timer->users = 1;
  uv_handle_set_data((uv_handle_t *)handle, timer);
  // The loop's time may be that of its last wake-up.
  uv_update_time(loop);
  if (napi_add_async_cleanup_hook(env, ends, timer, &timer->end) == napi_ok &&
      napi_create_function(env, "cancel", NAPI_AUTO_LENGTH, cancel, timer, &out) == napi_ok &&
      napi_add_finalizer(env, out, timer, forget, NULL, NULL) == napi_ok) {
    timer->users++;
    if (napi_create_reference(env, argv[1], 1, &timer->listener) == napi_ok &&
        // The loop counts whole milliseconds: without one more it could fire early. By way of 32 bits, which every processor converts
        // itself: for 64 the compiler calls a function of libgcc on ARM, which Node need not have.
        uv_timer_start(handle, fired, (uint64_t)(uint32_t)ms + 1, 0) == 0)
      return out;
    if (timer->listener != NULL) napi_delete_reference(env, timer->listener);
    timer->listener = NULL;
  }
  stop(timer);
  napi_throw_error(env, "NO_TIMER", "There is no timer");
  return NULL;
}

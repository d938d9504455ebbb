// Calls from the event loop into JavaScript.
#ifndef TUNNELD_CALL_H
#define TUNNELD_CALL_H
#define NAPI_VERSION 8
#include <node_api.h>

// What the function throws is an uncaught exception.
static inline void call_back(napi_env env, napi_value function, size_t argc, const napi_value *argv) {
  napi_value global, error;
  if (napi_get_global(env, &global) == napi_ok &&
      napi_make_callback(env, NULL, global, function, argc, argv, NULL) == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok)
    napi_fatal_exception(env, error);
}

#endif

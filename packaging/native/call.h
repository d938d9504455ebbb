// Calls from the event loop into JavaScript, and functions of an object that share data.
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

// A function of an object, with data that has to stay as long as it does: where it is collected, `leave` is called with them. Returns whether
// it was made, which one more then uses.
static inline int add_function(napi_env env, napi_value to, const char *name, napi_callback call, void *data, int *users, napi_finalize leave) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, call, data, &function) != napi_ok ||
      napi_add_finalizer(env, function, data, leave, NULL, NULL) != napi_ok)
    return 0;
  ++*users;
  return napi_set_named_property(env, to, name, function) == napi_ok;
}

#endif

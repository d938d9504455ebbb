// A timer that leaves no wake-up behind when it is cancelled: Node.js's own do, for they share one timer of the event loop, which then
// fires for nothing.
#ifndef TUNNELD_TIMER_H
#define TUNNELD_TIMER_H
#define NAPI_VERSION 8
#include <node_api.h>

// startTimer(ms, listener): calls `listener` once after so many milliseconds, unless the returned function is called before. Keeps the
// process alive until then.
napi_value timer_begin(napi_env env, napi_callback_info info);

#endif

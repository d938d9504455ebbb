// Tells of what may have cut connections: a change of addresses, routes or links (rtnetlink(7)), a wake from sleep and a clock that was
// set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). No policy: what changed is looked up by who is told.
#ifndef TUNNELD_NETWORK_H
#define TUNNELD_NETWORK_H
#define NAPI_VERSION 8
#include <node_api.h>

// watchNetwork(listener): calls `listener` with "network" or "clock" until the returned function is called; null where the system
// has one of the two only, or none. Does not keep the process alive.
napi_value network_watch(napi_env env, napi_callback_info info);

#endif

// Tells which of many sockets are ready, those of an iteration of the event loop in one call. No policy: what is done with them is for who is
// told.
#ifndef TUNNELD_POLL_H
#define TUNNELD_POLL_H
#define NAPI_VERSION 8
#include <node_api.h>

// createPoll(table, listener): returns an object with the two below; null where there is no poll. `listener` is called with a number of
// sockets, after `table`, a Uint32Array, has got the id of each and what happened (POLL_READABLE and so on). Does not keep the process alive.
//
// watch(fd, id, writable) adds a socket until it is closed, edge-triggered (epoll(7)), and returns whether that could be; called again, with
// true, it tells of POLL_WRITABLE as well.
//
// pollBusily(microseconds), a thousand at most, waits without sleeping, while no other process wants the processor, until a socket is ready:
// returns how many, as the listener is told; 0 where something else is to be done, -1 after that time.
napi_value poll_create(napi_env env, napi_callback_info info);

enum { POLL_READABLE = 1, POLL_WRITABLE = 2 };

#endif

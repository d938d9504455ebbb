// The addon's functions for JavaScript (Node-API, version 8): they check their arguments, and call packets.c,
// network.c, memory.c, poll.c, send.c and timer.c.
#include "call.h"
#include "memory.h"
#include "network.h"
#include "openssl.h"
#include "packets.h"
#include "poll.h"
#include "send.h"
#include "timer.h"
#include <limits.h>
#include <stdlib.h>

typedef struct {
  // NULL when they are closed.
  packets *packets;
  // Its functions, and who makes them.
  int users;
} box;

static void leave(box *box) {
  if (--box->users > 0) return;
  packets_free(box->packets);
  free(box);
}

static void forget(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  leave(data);
}

static napi_value fail(napi_env env, const char *code, const char *message) {
  ERR_clear_error();
  napi_throw_error(env, code, message);
  return NULL;
}

static napi_value explain(napi_env env, packets_result result) {
  switch (result) {
    case PACKETS_NO_ROOM: return fail(env, "NO_ROOM", "The packets do not fit");
    case PACKETS_BAD_LENGTH: return fail(env, "BAD_LENGTH", "Bad packet length");
    case PACKETS_BAD_MAC: return fail(env, "BAD_MAC", "Invalid MAC");
    case PACKETS_BAD_PADDING: return fail(env, "BAD_PADDING", "Bad padding length");
    default: return fail(env, "REFUSED", "OpenSSL refuses");
  }
}

static napi_value wrong(napi_env env) { return fail(env, "WRONG_ARGUMENT", "An argument is wrong"); }

static int whole(napi_env env, napi_value value, size_t *out) {
  double number;
  // A conversion of Node's own would take -1 for 4294967295.
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0 && number <= 4294967295.0)) return 0;
  *out = (size_t)number;
  return (double)*out == number;
}

static int bytes(napi_env env, napi_value value, uint8_t **start, size_t *length) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) != napi_ok || type != napi_uint8_array) return 0;
  *start = data;
  return 1;
}

static int table_of(napi_env env, napi_value value, uint32_t **start, size_t *entries) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, value, &type, entries, &data, NULL, NULL) != napi_ok || type != napi_uint32_array) return 0;
  *start = data;
  return 1;
}

static napi_value number(napi_env env, size_t value) {
  napi_value out;
  return napi_create_uint32(env, (uint32_t)value, &out) == napi_ok ? out : NULL;
}

// The arguments of a function of keys, and the keys, which belong to it: an object that JavaScript hands over would have to be checked each time.
static packets *arguments(napi_env env, napi_callback_info info, size_t count, napi_value *argv) {
  size_t argc = count;
  void *data;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, &data) != napi_ok || argc != count) return NULL;
  return ((box *)data)->packets;
}

// seal(memory, at, length): the payload is at `at` + 5; returns where the packet ends.
static napi_value seal(napi_env env, napi_callback_info info) {
  size_t size, at, length;
  napi_value argv[3];
  uint8_t *memory;
  packets *keys = arguments(env, info, 3, argv);
  if (keys == NULL || !bytes(env, argv[0], &memory, &size) || !whole(env, argv[1], &at) || !whole(env, argv[2], &length))
    return wrong(env);
  packets_result result = packets_seal(keys, memory, size, &at, length);
  return result == PACKETS_OK ? number(env, at) : explain(env, result);
}

// sealData(from, start, end, memory, at, channel, largest): returns where the packets end. `from` and `memory` do not overlap.
static napi_value seal_data(napi_env env, napi_callback_info info) {
  size_t length, size, start, end, at, channel, largest;
  napi_value argv[7];
  uint8_t *from, *memory;
  packets *keys = arguments(env, info, 7, argv);
  if (keys == NULL || !bytes(env, argv[0], &from, &length) || !whole(env, argv[1], &start) || !whole(env, argv[2], &end) ||
      !bytes(env, argv[3], &memory, &size) || !whole(env, argv[4], &at) || !whole(env, argv[5], &channel) ||
      !whole(env, argv[6], &largest) || start > end || end > length || (from < memory + size && memory < from + length))
    return wrong(env);
  packets_result result =
      packets_seal_data(keys, from + start, end - start, memory, size, &at, (uint32_t)channel, (uint32_t)largest);
  return result == PACKETS_OK ? number(env, at) : explain(env, result);
}

// open(memory, from, to, table): returns how many packets were opened; table[0] is where it stopped, then come start and
// length of each payload, or, where none was opened, the bytes of the packet that is not whole; 0 where they are not known. Throws where the
// next packet is wrong.
static napi_value open_packets(napi_env env, napi_callback_info info) {
  size_t size, at, to, entries, count, wanted;
  napi_value argv[4];
  uint8_t *memory;
  uint32_t *table;
  packets *keys = arguments(env, info, 4, argv);
  if (keys == NULL || !bytes(env, argv[0], &memory, &size) || !whole(env, argv[1], &at) || !whole(env, argv[2], &to) || at > to ||
      to > size || !table_of(env, argv[3], &table, &entries) || entries < 3)
    return wrong(env);
  packets_result result = packets_open(keys, memory, &at, to, (packets_payload *)(table + 1), (entries - 1) / 2, &count, &wanted);
  if (result != PACKETS_OK) return explain(env, result);
  table[0] = (uint32_t)at;
  if (count == 0) table[1] = (uint32_t)wanted;
  return number(env, count);
}

// close(): the keys are overwritten now, not when their functions are collected.
static napi_value close_keys(napi_env env, napi_callback_info info) {
  void *data;
  if (napi_get_cb_info(env, info, NULL, NULL, NULL, &data) != napi_ok) return wrong(env);
  box *box = data;
  packets_free(box->packets);
  box->packets = NULL;
  return NULL;
}

static int add_own(napi_env env, napi_value to, const char *name, napi_callback call, box *box) {
  return add_function(env, to, name, call, box, &box->users, forget);
}

static int add_functions(napi_env env, napi_value to, box *box, int sealing) {
  if (!add_own(env, to, "close", close_keys, box)) return 0;
  if (!sealing) return add_own(env, to, "open", open_packets, box);
  return add_own(env, to, "seal", seal, box) && add_own(env, to, "sealData", seal_data, box);
}

static napi_value make(napi_env env, packets *packets, int sealing) {
  napi_value out;
  box *own = packets == NULL ? NULL : malloc(sizeof *own);
  if (own == NULL) {
    packets_free(packets);
    return fail(env, "REFUSED", "OpenSSL refuses the key");
  }
  *own = (box){packets, 1};
  int ok = napi_create_object(env, &out) == napi_ok && add_functions(env, out, own, sealing);
  leave(own);
  return ok ? out : fail(env, "REFUSED", "There are no functions for the key");
}

static napi_value make_keys(napi_env env, napi_callback_info info, int sealing) {
  size_t argc = 4, key_length, iv_length = 0, name_length, sequence;
  napi_value argv[4];
  napi_valuetype type;
  char name[16];
  uint8_t *key, *iv = NULL;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 4 ||
      napi_get_value_string_utf8(env, argv[0], name, sizeof name, &name_length) != napi_ok ||
      !bytes(env, argv[1], &key, &key_length) || napi_typeof(env, argv[2], &type) != napi_ok ||
      (type != napi_null && !bytes(env, argv[2], &iv, &iv_length)) || !whole(env, argv[3], &sequence))
    return wrong(env);
  return make(env, packets_new(name, key, key_length, iv, iv_length, (uint32_t)sequence, sealing), sealing);
}

// sealer(cipher, key, iv | null, sequence): returns the functions of its keys: seal, sealData, close.
static napi_value sealer(napi_env env, napi_callback_info info) { return make_keys(env, info, 1); }

// opener(cipher, key, iv | null, sequence): the same: open, close.
static napi_value opener(napi_env env, napi_callback_info info) { return make_keys(env, info, 0); }

static napi_value signed_number(napi_env env, long value) {
  napi_value out;
  return napi_create_int32(env, (int32_t)value, &out) == napi_ok ? out : NULL;
}

// send(fd, memory, pieces, count): `pieces` has start and length of each; returns how many bytes the kernel took, or -errno.
static napi_value send_pieces(napi_env env, napi_callback_info info) {
  size_t argc = 4, fd, size, entries, count;
  napi_value argv[4];
  uint8_t *memory;
  uint32_t *table;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 4 || !whole(env, argv[0], &fd) || fd > INT_MAX ||
      !bytes(env, argv[1], &memory, &size) || !table_of(env, argv[2], &table, &entries) || !whole(env, argv[3], &count) ||
      count > entries / 2)
    return wrong(env);
  const send_piece *pieces = (const send_piece *)table;
  for (size_t i = 0; i < count; i++)
    if (pieces[i].start > size || pieces[i].length > size - pieces[i].start) return wrong(env);
  return signed_number(env, send_now((int)fd, memory, pieces, count));
}

static napi_value set_bytes(napi_env env, napi_callback_info info, int (*set)(int fd, int bytes)) {
  size_t argc = 2, fd, count;
  napi_value argv[2], out;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 2 || !whole(env, argv[0], &fd) || fd > INT_MAX ||
      !whole(env, argv[1], &count) || count > INT_MAX)
    return wrong(env);
  return napi_get_boolean(env, set((int)fd, (int)count) != 0, &out) == napi_ok ? out : NULL;
}

// wakeAt(fd, bytes): returns whether it is so.
static napi_value wake_at_bytes(napi_env env, napi_callback_info info) { return set_bytes(env, info, wake_at); }

// limitUnsent(fd, bytes): returns whether it is so.
static napi_value limit_unsent_bytes(napi_env env, napi_callback_info info) { return set_bytes(env, info, limit_unsent); }

static int descriptor(napi_env env, napi_callback_info info, int *out) {
  size_t argc = 1, fd;
  napi_value argv[1];
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 1 || !whole(env, argv[0], &fd) || fd > INT_MAX) return 0;
  *out = (int)fd;
  return 1;
}

// connect(address, port): returns the descriptor of a connection that opens, or -errno.
static napi_value connect_to(napi_env env, napi_callback_info info) {
  size_t argc = 2, length, port;
  napi_value argv[2];
  char address[64];
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 2 ||
      napi_get_value_string_utf8(env, argv[0], address, sizeof address, &length) != napi_ok || !whole(env, argv[1], &port) ||
      port > UINT16_MAX)
    return wrong(env);
  return signed_number(env, begin_connection(address, (uint16_t)port));
}

enum { READ_UNIT = 1 << 20 };

// read(fd, memory, start, end, soon): returns how many bytes came, and 2^20 times what came behind them: 0 for nothing, -1 for the end, -2 for what
// is not known yet, else an errno.
static napi_value read_into(napi_env env, napi_callback_info info) {
  size_t argc = 5, fd, size, start, end;
  napi_value argv[5];
  uint8_t *memory;
  bool soon;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 5 || !whole(env, argv[0], &fd) || fd > INT_MAX ||
      !bytes(env, argv[1], &memory, &size) || !whole(env, argv[2], &start) || !whole(env, argv[3], &end) || start >= end || end > size ||
      end - start >= READ_UNIT || napi_get_value_bool(env, argv[4], &soon) != napi_ok)
    return wrong(env);
  int then;
  long count = (long)read_now((int)fd, memory + start, end - start, soon, &then);
  return signed_number(env, count + then * READ_UNIT);
}

// isOpen(fd): returns 1, 0 for one that still opens, or -errno.
static napi_value is_socket_open(napi_env env, napi_callback_info info) {
  int fd;
  return descriptor(env, info, &fd) ? signed_number(env, is_open(fd)) : wrong(env);
}

// shutdown(fd): returns 0, or -errno.
static napi_value shutdown_socket(napi_env env, napi_callback_info info) {
  int fd;
  return descriptor(env, info, &fd) ? signed_number(env, end_sending(fd)) : wrong(env);
}

// closeSocket(fd, reset)
static napi_value close_of_socket(napi_env env, napi_callback_info info) {
  size_t argc = 2, fd;
  napi_value argv[2];
  bool reset;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc != 2 || !whole(env, argv[0], &fd) || fd > INT_MAX ||
      napi_get_value_bool(env, argv[1], &reset) != napi_ok)
    return wrong(env);
  close_socket((int)fd, reset);
  return NULL;
}

// unacknowledged(fd): returns how many bytes; -1 where that is not known.
static napi_value unacknowledged_bytes(napi_env env, napi_callback_info info) {
  int fd;
  return descriptor(env, info, &fd) ? signed_number(env, unacknowledged(fd)) : wrong(env);
}

// acknowledge(fd): returns whether it is so.
static napi_value acknowledge_now(napi_env env, napi_callback_info info) {
  int fd;
  napi_value out;
  if (!descriptor(env, info, &fd)) return wrong(env);
  return napi_get_boolean(env, acknowledge(fd) != 0, &out) == napi_ok ? out : NULL;
}

NAPI_MODULE_INIT() {
  const struct { const char *name; napi_callback call; } all[] = {
      {"sealer", sealer}, {"opener", opener}, {"send", send_pieces}, {"connect", connect_to}, {"isOpen", is_socket_open}, {"read", read_into}, {"shutdown", shutdown_socket}, {"closeSocket", close_of_socket}, {"createPoll", poll_create}, {"wakeAt", wake_at_bytes}, {"limitUnsent", limit_unsent_bytes}, {"unacknowledged", unacknowledged_bytes}, {"acknowledge", acknowledge_now}, {"watchNetwork", network_watch}, {"releaseMemory", memory_release}, {"startTimer", timer_begin}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    napi_value function;
    if (napi_create_function(env, all[i].name, NAPI_AUTO_LENGTH, all[i].call, NULL, &function) != napi_ok ||
        napi_set_named_property(env, exports, all[i].name, function) != napi_ok)
      return NULL;
  }
  return exports;
}

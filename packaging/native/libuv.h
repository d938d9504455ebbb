// What we use of libuv 1, which every Node brings and exports. Declared here, because its headers would tie the addon to the sizes of its
// structures, which are asked for instead.
#ifndef TUNNELD_LIBUV_H
#define TUNNELD_LIBUV_H
#include <stddef.h>
#include <stdint.h>

struct uv_loop_s;
typedef struct uv_handle_s uv_handle_t;
typedef struct uv_poll_s uv_poll_t;
typedef struct uv_timer_s uv_timer_t;

extern size_t uv_handle_size(int type);
extern void uv_handle_set_data(uv_handle_t *handle, void *data);
extern void *uv_handle_get_data(const uv_handle_t *handle);
extern void uv_close(uv_handle_t *handle, void (*callback)(uv_handle_t *));
extern void uv_unref(uv_handle_t *handle);
extern int uv_poll_init(struct uv_loop_s *loop, uv_poll_t *handle, int fd);
extern int uv_poll_start(uv_poll_t *handle, int events, void (*callback)(uv_poll_t *, int, int));
extern int uv_timer_init(struct uv_loop_s *loop, uv_timer_t *handle);
extern int uv_timer_start(uv_timer_t *handle, void (*callback)(uv_timer_t *), uint64_t timeout, uint64_t repeat);
extern int uv_backend_fd(const struct uv_loop_s *loop);
extern uint64_t uv_hrtime(void);
extern void uv_update_time(struct uv_loop_s *loop);
enum { UV_POLL_TYPE = 8, UV_TIMER_TYPE = 13, UV_READABLE_EVENT = 1 };

#endif

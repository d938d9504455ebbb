// Gives memory back to the system. No policy: when is for who calls.
#ifndef TUNNELD_MEMORY_H
#define TUNNELD_MEMORY_H
#define NAPI_VERSION 8
#include <node_api.h>

// releaseMemory(): what the allocator holds for later is freed (malloc_trim(3), glibc alone), and of programs and libraries the pages
// leave this process (madvise(2), MADV_DONTNEED): they stay in the kernel's cache, and come back as they are used. Returns how many
// bytes of address space were given back so.
napi_value memory_release(napi_env env, napi_callback_info info);

#endif

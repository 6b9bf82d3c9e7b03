// KVM's ioctls that move one structure of fixed size, as rows of a table: each becomes a method of a class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <napi.h>

#include "linux_kvm.h"

struct KvmStructCall {
  const char *method; // in JavaScript
  const char *name;   // the ioctl's own, for errors
  unsigned long request;
  size_t bytes; // of the structure that it reads, writes, or both; 0: it takes no argument
};

#define KVM_STRUCT_CALL(method, request, type)                                                               \
  { method, #request, request, sizeof(type) }
#define KVM_PLAIN_CALL(method, request)                                                                      \
  { method, #request, request, 0 }

// A Uint8Array (or Buffer); `what` names it in the TypeError for anything else.
struct KvmBytes {
  uint8_t *data;
  size_t length;
};
KvmBytes bytes_argument(const Napi::CallbackInfo &info, size_t index, const char *what);

// The structure for a call, of exactly its size; nullptr for a call without one. The kernel reads and writes
// it in place.
uint8_t *struct_argument(const Napi::CallbackInfo &info, size_t index, const KvmStructCall &call);

// A KVM structure that ends in an array: count elements behind a head whose first 32 bits are the count. The
// argument holds the whole; throws unless its length fits its count.
uint8_t *counted_argument(const Napi::CallbackInfo &info, size_t index, const char *name, size_t head,
                          size_t element, uint32_t limit);

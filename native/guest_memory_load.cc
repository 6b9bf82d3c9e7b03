// What fills a guest's memory before the guest runs.
#include <cerrno>

#include "errors.h"
#include "guest_memory.h"
#include "memory_pages.h"

Napi::Value GuestMemory::read_pages_from(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  GuestMapping &mapping = open(env);
  int fd = int(integer_argument(info, 0, "fd", INT32_MAX));
  uint64_t position = integer_argument(info, 1, "position", INT64_MAX);
  uint64_t offset = integer_argument(info, 2, "offset", mapping.bytes);
  uint64_t length = integer_argument(info, 3, "length", mapping.bytes - offset);
  int64_t count = read_pages(fd, position, mapping.base + offset, length);
  if (count < 0) throw_errno(env, errno, "pread");
  return Napi::Number::New(env, double(count));
}

void GuestMemory::copy_pages_from(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  GuestMapping &mapping = open(env);
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw_argument(env, "bytes must be a Uint8Array");
  auto bytes = info[0].As<Napi::Uint8Array>();
  uint64_t offset = integer_argument(info, 1, "offset", mapping.bytes);
  if (bytes.ByteLength() > mapping.bytes - offset)
    throw_code(env, "ERANGE", "the bytes end beyond the guest's memory");
  copy_pages(bytes.Data(), mapping.base + offset, bytes.ByteLength());
}

// Page tables and tables of a u64 a frame: so many of them are a matter of 100 ms to JavaScript that has just
// been loaded, on a slow host.
void GuestMemory::fill_entries(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  GuestMapping &mapping = open(env);
  uint64_t offset = integer_argument(info, 0, "offset", mapping.bytes);
  uint64_t count = integer_argument(info, 1, "count", (mapping.bytes - offset) / sizeof(uint64_t));
  if (offset % sizeof(uint64_t) != 0 || !info[2].IsBigInt() || !info[3].IsBigInt())
    throw_argument(env, "offset must be a multiple of 8, first and step bigints");
  bool lossless;
  uint64_t value = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  uint64_t step = info[3].As<Napi::BigInt>().Uint64Value(&lossless);
  auto *entries = reinterpret_cast<uint64_t *>(mapping.base + offset);
  for (uint64_t i = 0; i < count; i++, value += step)
    entries[i] = value;
}

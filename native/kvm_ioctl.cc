#include "kvm_ioctl.h"

#include <cstring>
#include <string>

#include "errors.h"

KvmBytes bytes_argument(const Napi::CallbackInfo &info, size_t index, const char *what) {
  if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw_argument(info.Env(), std::string(what) + " must be a Uint8Array");
  auto array = info[index].As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

uint8_t *struct_argument(const Napi::CallbackInfo &info, size_t index, const KvmStructCall &call) {
  if (call.bytes == 0) return nullptr;
  KvmBytes bytes = bytes_argument(info, index, call.name);
  if (bytes.length != call.bytes)
    throw_argument(info.Env(), std::string(call.name) + " takes a structure of " +
                                   std::to_string(call.bytes) + " bytes, not " +
                                   std::to_string(bytes.length));
  return bytes.data;
}

uint8_t *counted_argument(const Napi::CallbackInfo &info, size_t index, const char *name, size_t head,
                          size_t element, uint32_t limit) {
  KvmBytes bytes = bytes_argument(info, index, name);
  uint32_t count = 0;
  if (bytes.length >= head) memcpy(&count, bytes.data, sizeof count);
  if (bytes.length < head || count > limit || bytes.length != head + count * element)
    throw_argument(info.Env(), std::string(name) + " takes " + std::to_string(head) +
                                   " bytes that begin with a count of at most " + std::to_string(limit) +
                                   ", and as many elements of " + std::to_string(element) + " bytes");
  return bytes.data;
}

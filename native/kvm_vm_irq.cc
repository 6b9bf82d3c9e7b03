// The part of KvmVm that routes interrupts and other events.
#include <array>
#include <string>
#include <vector>

#include "errors.h"
#include "event_fd.h"
#include "kvm_ioctl.h"
#include "kvm_vm.h"
#include "linux_kvm.h"

namespace {

constexpr uint32_t kMaxRoutes = 4096; // KVM_MAX_IRQ_ROUTES

uint64_t bigint_argument(const Napi::CallbackInfo &info, size_t index, const char *name) {
  bool lossless = false;
  uint64_t value = info[index].IsBigInt() ? info[index].As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (!lossless) throw_argument(info.Env(), std::string(name) + " must be a bigint of 64 bits");
  return value;
}

// Copies the bitmap: an array's elements may be getters, which run JavaScript.
void read_range(Napi::Env env, Napi::Value value, kvm_msr_filter_range &range, std::vector<uint8_t> &bitmap) {
  constexpr const char *kShape = "a range is [flags, base, nmsrs, Uint8Array]";
  if (!value.IsArray()) throw_argument(env, kShape);
  uint32_t numbers[3];
  for (uint32_t i = 0; i < 3; i++) {
    Napi::Value number = value.As<Napi::Array>().Get(i);
    if (!number.IsNumber()) throw_argument(env, kShape);
    numbers[i] = number.As<Napi::Number>().Uint32Value();
  }
  Napi::Value bytes = value.As<Napi::Array>().Get(3u);
  if (!bytes.IsTypedArray() || bytes.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw_argument(env, kShape);
  auto array = bytes.As<Napi::Uint8Array>();
  uint64_t wanted = (uint64_t(numbers[2]) + 63) / 64 * 8;
  if (wanted > KVM_MSR_FILTER_MAX_BITMAP_SIZE || array.ByteLength() != wanted)
    throw_argument(env,
                   "a range's bitmap has 64 bits for every 64 MSRs or part of them, 0x600 bytes at most");
  bitmap.assign(array.Data(), array.Data() + wanted);
  range = {numbers[0], numbers[2], numbers[1], bitmap.data()};
}

} // namespace

void KvmVm::set_gsi_routing(const Napi::CallbackInfo &info) {
  open(info.Env());
  uint8_t *routing = counted_argument(info, 0, "KVM_SET_GSI_ROUTING", sizeof(kvm_irq_routing),
                                      sizeof(kvm_irq_routing_entry), kMaxRoutes);
  call(info.Env(), "KVM_SET_GSI_ROUTING", KVM_SET_GSI_ROUTING, routing);
}

// irqfd(event, gsi, flags, resample): resample is an EventFd with KVM_IRQFD_FLAG_RESAMPLE
void KvmVm::irqfd(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  open(env);
  kvm_irqfd request = {};
  request.fd = uint32_t(EventFd::descriptor_of(env, info[0]));
  request.gsi = uint32_t(integer_argument(info, 1, "gsi", UINT32_MAX));
  request.flags = uint32_t(integer_argument(info, 2, "flags", UINT32_MAX));
  if (request.flags & KVM_IRQFD_FLAG_RESAMPLE)
    request.resamplefd = uint32_t(EventFd::descriptor_of(env, info[3]));
  call(env, "KVM_IRQFD", KVM_IRQFD, &request);
}

// ioeventfd(event, address, length, flags, datamatch)
void KvmVm::ioeventfd(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  open(env);
  kvm_ioeventfd request = {};
  request.fd = EventFd::descriptor_of(env, info[0]);
  request.addr = integer_argument(info, 1, "address", UINT64_MAX);
  request.len = uint32_t(integer_argument(info, 2, "length", UINT32_MAX));
  request.flags = uint32_t(integer_argument(info, 3, "flags", UINT32_MAX));
  request.datamatch = bigint_argument(info, 4, "datamatch");
  call(env, "KVM_IOEVENTFD", KVM_IOEVENTFD, &request);
}

// setMsrFilter(flags, [[flags, base, nmsrs, bitmap], ...])
void KvmVm::set_msr_filter(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  open(env);
  kvm_msr_filter filter = {};
  filter.flags = uint32_t(integer_argument(info, 0, "flags", UINT32_MAX));
  if (!info[1].IsArray() || info[1].As<Napi::Array>().Length() > KVM_MSR_FILTER_MAX_RANGES)
    throw_argument(env, "ranges must be an array of at most 16");
  auto ranges = info[1].As<Napi::Array>();
  std::array<std::vector<uint8_t>, KVM_MSR_FILTER_MAX_RANGES> bitmaps;
  for (uint32_t i = 0; i < ranges.Length(); i++)
    read_range(env, ranges.Get(i), filter.ranges[i], bitmaps[i]);
  call(env, "KVM_X86_SET_MSR_FILTER", KVM_X86_SET_MSR_FILTER, &filter);
}

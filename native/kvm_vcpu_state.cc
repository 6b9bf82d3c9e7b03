// The part of KvmVcpu that reads and writes the vCPU's state.
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <sys/ioctl.h>
#include <vector>

#include "errors.h"
#include "kvm_ioctl.h"
#include "kvm_signal.h"
#include "kvm_vcpu.h"
#include "kvm_vm_core.h"

// Of Linux 5.16; headers may be older.
#ifndef KVM_VCPU_TSC_CTRL
#define KVM_VCPU_TSC_CTRL 0
#define KVM_VCPU_TSC_OFFSET 0
#endif

namespace {

constexpr uint32_t kMaxEntries = 4096;

constexpr KvmStructCall kStructCalls[] = {
    KVM_STRUCT_CALL("getRegs", KVM_GET_REGS, kvm_regs),
    KVM_STRUCT_CALL("setRegs", KVM_SET_REGS, kvm_regs),
    KVM_STRUCT_CALL("getSregs", KVM_GET_SREGS, kvm_sregs),
    KVM_STRUCT_CALL("setSregs", KVM_SET_SREGS, kvm_sregs),
    KVM_STRUCT_CALL("getSregs2", KVM_GET_SREGS2, kvm_sregs2),
    KVM_STRUCT_CALL("setSregs2", KVM_SET_SREGS2, kvm_sregs2),
    KVM_STRUCT_CALL("getFpu", KVM_GET_FPU, kvm_fpu),
    KVM_STRUCT_CALL("setFpu", KVM_SET_FPU, kvm_fpu),
    KVM_STRUCT_CALL("getXcrs", KVM_GET_XCRS, kvm_xcrs),
    KVM_STRUCT_CALL("setXcrs", KVM_SET_XCRS, kvm_xcrs),
    KVM_STRUCT_CALL("getDebugregs", KVM_GET_DEBUGREGS, kvm_debugregs),
    KVM_STRUCT_CALL("setDebugregs", KVM_SET_DEBUGREGS, kvm_debugregs),
    KVM_STRUCT_CALL("getLapic", KVM_GET_LAPIC, kvm_lapic_state),
    KVM_STRUCT_CALL("setLapic", KVM_SET_LAPIC, kvm_lapic_state),
    KVM_STRUCT_CALL("getVcpuEvents", KVM_GET_VCPU_EVENTS, kvm_vcpu_events),
    KVM_STRUCT_CALL("setVcpuEvents", KVM_SET_VCPU_EVENTS, kvm_vcpu_events),
    KVM_STRUCT_CALL("getMpState", KVM_GET_MP_STATE, kvm_mp_state),
    KVM_STRUCT_CALL("setMpState", KVM_SET_MP_STATE, kvm_mp_state),
    KVM_STRUCT_CALL("setGuestDebug", KVM_SET_GUEST_DEBUG, kvm_guest_debug),
    KVM_STRUCT_CALL("translate", KVM_TRANSLATE, kvm_translation),
    KVM_STRUCT_CALL("interrupt", KVM_INTERRUPT, kvm_interrupt),
    KVM_STRUCT_CALL("enableCap", KVM_ENABLE_CAP, kvm_enable_cap),
    KVM_PLAIN_CALL("nmi", KVM_NMI),
    KVM_PLAIN_CALL("kvmclockCtrl", KVM_KVMCLOCK_CTRL),
    KVM_PLAIN_CALL("getTscKhz", KVM_GET_TSC_KHZ),
};

} // namespace

void KvmVcpu::add_state_methods(std::vector<PropertyDescriptor> &methods) {
  methods.push_back(InstanceMethod<&KvmVcpu::set_tsc_khz>("setTscKhz"));
  methods.push_back(InstanceMethod<&KvmVcpu::get_msrs>("getMsrs"));
  methods.push_back(InstanceMethod<&KvmVcpu::set_msrs>("setMsrs"));
  methods.push_back(InstanceMethod<&KvmVcpu::set_cpuid2>("setCpuid2"));
  methods.push_back(InstanceMethod<&KvmVcpu::get_cpuid2>("getCpuid2"));
  methods.push_back(InstanceMethod<&KvmVcpu::get_xsave>("getXsave"));
  methods.push_back(InstanceMethod<&KvmVcpu::set_xsave>("setXsave"));
  methods.push_back(InstanceMethod<&KvmVcpu::set_signal_mask>("setSignalMask"));
  methods.push_back(InstanceMethod<&KvmVcpu::get_tsc_offset>("getTscOffset"));
  methods.push_back(InstanceMethod<&KvmVcpu::set_tsc_offset>("setTscOffset"));
  for (const KvmStructCall &call : kStructCalls)
    methods.push_back(InstanceMethod<&KvmVcpu::struct_call>(call.method, napi_default_method,
                                                            const_cast<KvmStructCall *>(&call)));
}

Napi::Value KvmVcpu::struct_call(const Napi::CallbackInfo &info) {
  const auto &row = *static_cast<const KvmStructCall *>(info.Data());
  open(info.Env());
  uint8_t *argument = struct_argument(info, 0, row);
  return Napi::Number::New(info.Env(), call(info.Env(), row.name, row.request, argument));
}

void KvmVcpu::set_tsc_khz(const Napi::CallbackInfo &info) {
  open(info.Env());
  uint64_t khz = integer_argument(info, 0, "khz", UINT32_MAX);
  call(info.Env(), "KVM_SET_TSC_KHZ", KVM_SET_TSC_KHZ, reinterpret_cast<void *>(khz));
}

// Both return how many of the MSRs were read or written: KVM stops at the first that it does not take.
Napi::Value KvmVcpu::get_msrs(const Napi::CallbackInfo &info) {
  open(info.Env());
  uint8_t *msrs =
      counted_argument(info, 0, "KVM_GET_MSRS", sizeof(kvm_msrs), sizeof(kvm_msr_entry), kMaxEntries);
  return Napi::Number::New(info.Env(), call(info.Env(), "KVM_GET_MSRS", KVM_GET_MSRS, msrs));
}

Napi::Value KvmVcpu::set_msrs(const Napi::CallbackInfo &info) {
  open(info.Env());
  uint8_t *msrs =
      counted_argument(info, 0, "KVM_SET_MSRS", sizeof(kvm_msrs), sizeof(kvm_msr_entry), kMaxEntries);
  return Napi::Number::New(info.Env(), call(info.Env(), "KVM_SET_MSRS", KVM_SET_MSRS, msrs));
}

void KvmVcpu::set_cpuid2(const Napi::CallbackInfo &info) {
  open(info.Env());
  uint8_t *cpuid =
      counted_argument(info, 0, "KVM_SET_CPUID2", sizeof(kvm_cpuid2), sizeof(kvm_cpuid_entry2), kMaxEntries);
  call(info.Env(), "KVM_SET_CPUID2", KVM_SET_CPUID2, cpuid);
}

Napi::Value KvmVcpu::get_cpuid2(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  // KVM_MAX_CPUID_ENTRIES
  uint32_t count = 256;
  std::vector<uint8_t> buffer(sizeof(kvm_cpuid2) + count * sizeof(kvm_cpuid_entry2));
  memcpy(buffer.data(), &count, sizeof count);
  call(env, "KVM_GET_CPUID2", KVM_GET_CPUID2, buffer.data());
  memcpy(&count, buffer.data(), sizeof count);
  return Napi::Buffer<uint8_t>::Copy(env, buffer.data(),
                                     sizeof(kvm_cpuid2) + count * sizeof(kvm_cpuid_entry2));
}

// KVM reads and writes as many bytes as KVM_CAP_XSAVE2 says on the machine's descriptor; 4096 without it.
size_t KvmVcpu::xsave_bytes(Napi::Env env) const {
  KvmVmCore::Use use(*open(env).vm);
  int bytes = use.fd < 0 ? 0 : ioctl(use.fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
  return bytes > int(sizeof(kvm_xsave)) ? size_t(bytes) : sizeof(kvm_xsave);
}

Napi::Value KvmVcpu::get_xsave(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  size_t bytes = xsave_bytes(env);
  auto buffer = Napi::Buffer<uint8_t>::New(env, bytes);
  if (bytes > sizeof(kvm_xsave))
    call(env, "KVM_GET_XSAVE2", KVM_GET_XSAVE2, buffer.Data());
  else
    call(env, "KVM_GET_XSAVE", KVM_GET_XSAVE, buffer.Data());
  return buffer;
}

void KvmVcpu::set_xsave(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  size_t bytes = xsave_bytes(env);
  KvmBytes state = bytes_argument(info, 0, "KVM_SET_XSAVE");
  if (state.length != bytes)
    throw_argument(env, "KVM_SET_XSAVE takes " + std::to_string(bytes) + " bytes, not " +
                            std::to_string(state.length));
  call(env, "KVM_SET_XSAVE", KVM_SET_XSAVE, state.data);
}

// Signals that are blocked during KVM_RUN: bit n - 1 is signal n. Ours never is, or no kick would arrive.
// undefined: the thread's own mask.
void KvmVcpu::set_signal_mask(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  open(env);
  if (info[0].IsUndefined()) {
    call(env, "KVM_SET_SIGNAL_MASK", KVM_SET_SIGNAL_MASK, nullptr);
    return;
  }
  bool lossless = false;
  uint64_t mask = info[0].IsBigInt() ? info[0].As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (!lossless) throw_argument(env, "a signal mask is a bigint of 64 bits, or undefined");
  mask &= ~(uint64_t(1) << (kvm_signal_number() - 1));
  alignas(kvm_signal_mask) uint8_t request[sizeof(kvm_signal_mask) + sizeof mask];
  uint32_t length = sizeof mask;
  memcpy(request, &length, sizeof length);
  memcpy(request + sizeof(kvm_signal_mask), &mask, sizeof mask);
  call(env, "KVM_SET_SIGNAL_MASK", KVM_SET_SIGNAL_MASK, request);
}

// Guest TSC = host TSC times the ratio of the frequencies, plus this, modulo 2^64.
Napi::Value KvmVcpu::get_tsc_offset(const Napi::CallbackInfo &info) {
  uint64_t offset = 0;
  kvm_device_attr attribute = {0, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, uint64_t(&offset)};
  call(info.Env(), "KVM_GET_DEVICE_ATTR of KVM_VCPU_TSC_OFFSET", KVM_GET_DEVICE_ATTR, &attribute);
  return Napi::BigInt::New(info.Env(), offset);
}

void KvmVcpu::set_tsc_offset(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  open(env);
  bool lossless = false;
  uint64_t offset = info[0].IsBigInt() ? info[0].As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (!lossless) throw_argument(env, "a TSC offset is a bigint of 64 bits");
  kvm_device_attr attribute = {0, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, uint64_t(&offset)};
  call(env, "KVM_SET_DEVICE_ATTR of KVM_VCPU_TSC_OFFSET", KVM_SET_DEVICE_ATTR, &attribute);
}

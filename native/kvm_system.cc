#include "kvm_system.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

#include "errors.h"
#include "kvm_denied.h"
#include "kvm_ioctl.h"
#include "kvm_vm.h"
#include "kvm_vm_core.h"
#include "linux_kvm.h"

namespace {

// Calls that fill an array: the caller says how much there is room for, E2BIG asks for more.
struct CountedCall {
  const char *method;
  const char *name;
  unsigned long request;
  size_t head, element;
};

constexpr CountedCall kCountedCalls[] = {
    {"getSupportedCpuid", "KVM_GET_SUPPORTED_CPUID", KVM_GET_SUPPORTED_CPUID, sizeof(kvm_cpuid2),
     sizeof(kvm_cpuid_entry2)},
    {"getEmulatedCpuid", "KVM_GET_EMULATED_CPUID", KVM_GET_EMULATED_CPUID, sizeof(kvm_cpuid2),
     sizeof(kvm_cpuid_entry2)},
    {"getMsrIndexList", "KVM_GET_MSR_INDEX_LIST", KVM_GET_MSR_INDEX_LIST, sizeof(kvm_msr_list),
     sizeof(uint32_t)},
    {"getMsrFeatureIndexList", "KVM_GET_MSR_FEATURE_INDEX_LIST", KVM_GET_MSR_FEATURE_INDEX_LIST,
     sizeof(kvm_msr_list), sizeof(uint32_t)},
};

constexpr uint32_t kMaxElements = 4096;

} // namespace

void KvmSystem::init(Napi::Env env, Napi::Object exports) {
  std::vector<PropertyDescriptor> methods = {
      InstanceMethod<&KvmSystem::check_extension>("checkExtension"),
      InstanceMethod<&KvmSystem::get_msrs>("getMsrs"),
      InstanceMethod<&KvmSystem::create_vm>("createVm"),
      InstanceMethod<&KvmSystem::close>("close"),
  };
  for (const CountedCall &call : kCountedCalls)
    methods.push_back(InstanceMethod<&KvmSystem::counted>(call.method, napi_default_method,
                                                          const_cast<CountedCall *>(&call)));
  exports.Set("KvmSystem", DefineClass(env, "KvmSystem", methods));
}

KvmSystem::KvmSystem(const Napi::CallbackInfo &info) : Napi::ObjectWrap<KvmSystem>(info) {
  Napi::Env env = info.Env();
  fd_ = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (fd_ < 0 && errno == EACCES) throw_code(env, "EACCES", kvm_denied());
  if (fd_ < 0) throw_errno(env, errno, "open of /dev/kvm");
  int version = ioctl(fd_, KVM_GET_API_VERSION, 0);
  int immediate_exit = ioctl(fd_, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT);
  if (version == KVM_API_VERSION && immediate_exit > 0) return;
  int error = errno;
  release();
  if (version < 0) throw_errno(env, error, "KVM_GET_API_VERSION");
  if (version != KVM_API_VERSION)
    throw_code(env, "ENOTSUP", "KVM_GET_API_VERSION: version " + std::to_string(version) + ", not 12");
  throw_code(env, "ENOTSUP", "this KVM has no KVM_CAP_IMMEDIATE_EXIT (Linux 4.12)");
}

KvmSystem::~KvmSystem() {
  release();
}

int KvmSystem::open(Napi::Env env) const {
  if (fd_ < 0) throw_code(env, "EBADF", "/dev/kvm is closed");
  return fd_;
}

Napi::Value KvmSystem::check_extension(const Napi::CallbackInfo &info) {
  int fd = open(info.Env());
  uint64_t capability = integer_argument(info, 0, "capability", UINT32_MAX);
  int result = ioctl(fd, KVM_CHECK_EXTENSION, capability);
  if (result < 0) throw_errno(info.Env(), errno, "KVM_CHECK_EXTENSION");
  return Napi::Number::New(info.Env(), result);
}

Napi::Value KvmSystem::counted(const Napi::CallbackInfo &info) {
  const auto &call = *static_cast<const CountedCall *>(info.Data());
  int fd = open(info.Env());
  std::vector<uint8_t> buffer;
  for (uint32_t count = 64;; count *= 2) {
    buffer.assign(call.head + count * call.element, 0);
    memcpy(buffer.data(), &count, sizeof count);
    if (ioctl(fd, call.request, buffer.data()) >= 0) break;
    if (errno != E2BIG || count >= kMaxElements) throw_errno(info.Env(), errno, call.name);
  }
  uint32_t count;
  memcpy(&count, buffer.data(), sizeof count);
  return Napi::Buffer<uint8_t>::Copy(info.Env(), buffer.data(), call.head + count * call.element);
}

// Of the host's feature MSRs.
Napi::Value KvmSystem::get_msrs(const Napi::CallbackInfo &info) {
  int fd = open(info.Env());
  uint8_t *msrs =
      counted_argument(info, 0, "KVM_GET_MSRS", sizeof(kvm_msrs), sizeof(kvm_msr_entry), kMaxElements);
  int result = ioctl(fd, KVM_GET_MSRS, msrs);
  if (result < 0) throw_errno(info.Env(), errno, "KVM_GET_MSRS");
  return Napi::Number::New(info.Env(), result);
}

Napi::Value KvmSystem::create_vm(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  int fd = open(env);
  int run_bytes = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_bytes < 0) throw_errno(env, errno, "KVM_GET_VCPU_MMAP_SIZE");
  if (size_t(run_bytes) < sizeof(kvm_run))
    throw_code(env, "ENOTSUP", "KVM_GET_VCPU_MMAP_SIZE: " + std::to_string(run_bytes) + " bytes");
  // Machine type 0, the only one that every x86 kernel has.
  int vm = ioctl(fd, KVM_CREATE_VM, 0);
  if (vm < 0) throw_errno(env, errno, "KVM_CREATE_VM");
  return KvmVm::wrap(env, KvmVmCore::create(vm, size_t(run_bytes)), true);
}

void KvmSystem::close(const Napi::CallbackInfo &) {
  release();
}

void KvmSystem::release() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

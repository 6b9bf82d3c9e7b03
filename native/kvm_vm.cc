#include "kvm_vm.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/ioctl.h>
#include <vector>

#include "addon_data.h"
#include "errors.h"
#include "kvm_ioctl.h"
#include "kvm_vcpu.h"

namespace {

constexpr KvmStructCall kStructCalls[] = {
    KVM_STRUCT_CALL("enableCap", KVM_ENABLE_CAP, kvm_enable_cap),
    KVM_PLAIN_CALL("createIrqchip", KVM_CREATE_IRQCHIP),
    KVM_STRUCT_CALL("createPit2", KVM_CREATE_PIT2, kvm_pit_config),
    KVM_STRUCT_CALL("getIrqchip", KVM_GET_IRQCHIP, kvm_irqchip),
    KVM_STRUCT_CALL("setIrqchip", KVM_SET_IRQCHIP, kvm_irqchip),
    KVM_STRUCT_CALL("getPit2", KVM_GET_PIT2, kvm_pit_state2),
    KVM_STRUCT_CALL("setPit2", KVM_SET_PIT2, kvm_pit_state2),
    KVM_STRUCT_CALL("reinjectControl", KVM_REINJECT_CONTROL, kvm_reinject_control),
    KVM_STRUCT_CALL("getClock", KVM_GET_CLOCK, kvm_clock_data),
    KVM_STRUCT_CALL("setClock", KVM_SET_CLOCK, kvm_clock_data),
    KVM_STRUCT_CALL("irqLine", KVM_IRQ_LINE, kvm_irq_level),
    KVM_STRUCT_CALL("signalMsi", KVM_SIGNAL_MSI, kvm_msi),
    KVM_STRUCT_CALL("registerCoalescedMmio", KVM_REGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone),
    KVM_STRUCT_CALL("unregisterCoalescedMmio", KVM_UNREGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone),
    KVM_STRUCT_CALL("setIdentityMapAddr", KVM_SET_IDENTITY_MAP_ADDR, uint64_t),
};

// Calls whose argument is a number, not an address.
struct NumberCall {
  const char *method;
  const char *name;
  unsigned long request;
};
constexpr NumberCall kNumberCalls[] = {
    {"checkExtension", "KVM_CHECK_EXTENSION", KVM_CHECK_EXTENSION},
    {"setTssAddr", "KVM_SET_TSS_ADDR", KVM_SET_TSS_ADDR},
    {"setBootCpuId", "KVM_SET_BOOT_CPU_ID", KVM_SET_BOOT_CPU_ID},
};

struct Wrapped {
  std::shared_ptr<KvmVmCore> core;
  bool owner;
};

// Bytes of a slot's dirty bitmap, which is made of 64-bit words (kvm_dirty_bitmap_bytes() in Linux).
size_t bitmap_bytes(uint64_t memory_bytes) {
  return size_t((memory_bytes / GuestMapping::kPageBytes + 63) / 64 * 8);
}

} // namespace

void KvmVm::init(Napi::Env env, Napi::Object exports) {
  std::vector<PropertyDescriptor> methods = {
      StaticMethod<&KvmVm::attach>("attach"),
      InstanceAccessor<&KvmVm::id>("id"),
      InstanceMethod<&KvmVm::create_vcpu>("createVcpu"),
      InstanceMethod<&KvmVm::set_memory>("setMemory"),
      InstanceMethod<&KvmVm::delete_memory>("deleteMemory"),
      InstanceMethod<&KvmVm::get_dirty_log>("getDirtyLog"),
      InstanceMethod<&KvmVm::clear_dirty_log>("clearDirtyLog"),
      InstanceMethod<&KvmVm::set_gsi_routing>("setGsiRouting"),
      InstanceMethod<&KvmVm::irqfd>("irqfd"),
      InstanceMethod<&KvmVm::ioeventfd>("ioeventfd"),
      InstanceMethod<&KvmVm::set_msr_filter>("setMsrFilter"),
      InstanceMethod<&KvmVm::close>("close"),
  };
  for (const KvmStructCall &call : kStructCalls)
    methods.push_back(InstanceMethod<&KvmVm::struct_call>(call.method, napi_default_method,
                                                          const_cast<KvmStructCall *>(&call)));
  for (const NumberCall &call : kNumberCalls)
    methods.push_back(InstanceMethod<&KvmVm::number_call>(call.method, napi_default_method,
                                                          const_cast<NumberCall *>(&call)));
  Napi::Function constructor = DefineClass(env, "KvmVm", methods);
  env.GetInstanceData<AddonData>()->kvm_vm = Napi::Persistent(constructor);
  exports.Set("KvmVm", constructor);
}

Napi::Value KvmVm::wrap(Napi::Env env, std::shared_ptr<KvmVmCore> core, bool owner) {
  Wrapped wrapped = {std::move(core), owner};
  return env.GetInstanceData<AddonData>()->kvm_vm.New({Napi::External<Wrapped>::New(env, &wrapped)});
}

// JavaScript cannot make an external value: only createVm() and attach() get past this.
KvmVm::KvmVm(const Napi::CallbackInfo &info) : Napi::ObjectWrap<KvmVm>(info) {
  if (!info[0].IsExternal()) throw_argument(info.Env(), "a KvmVm comes from KvmSystem.createVm()");
  auto *wrapped = info[0].As<Napi::External<Wrapped>>().Data();
  core_ = wrapped->core;
  owner_ = wrapped->owner;
}

Napi::Value KvmVm::attach(const Napi::CallbackInfo &info) {
  uint32_t id = uint32_t(integer_argument(info, 0, "id", UINT32_MAX));
  std::shared_ptr<KvmVmCore> core = KvmVmCore::find(id);
  if (!core) throw_code(info.Env(), "ENOENT", "KVM machine " + std::to_string(id) + " is not open");
  return wrap(info.Env(), std::move(core), false);
}

KvmVmCore &KvmVm::open(Napi::Env env) const {
  if (!core_ || KvmVmCore::Use(*core_).fd < 0) throw_code(env, "EBADF", "KVM machine is closed");
  return *core_;
}

int KvmVm::call(Napi::Env env, const char *name, unsigned long request, void *argument) const {
  KvmVmCore &core = open(env);
  KvmVmCore::Use use(core);
  int result = ioctl(use.fd, request, argument);
  if (result < 0) throw_errno(env, errno, name);
  return result;
}

Napi::Value KvmVm::id(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), open(info.Env()).id);
}

Napi::Value KvmVm::create_vcpu(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  KvmVmCore &core = open(env);
  uint32_t index = uint32_t(integer_argument(info, 0, "index", UINT32_MAX));
  const char *failed = nullptr;
  std::shared_ptr<KvmVcpuCore> vcpu = core.create_vcpu(index, &failed);
  if (!vcpu) throw_errno(env, errno, failed);
  return KvmVcpu::wrap(env, std::move(vcpu));
}

Napi::Value KvmVm::struct_call(const Napi::CallbackInfo &info) {
  const auto &row = *static_cast<const KvmStructCall *>(info.Data());
  open(info.Env());
  uint8_t *argument = struct_argument(info, 0, row);
  return Napi::Number::New(info.Env(), call(info.Env(), row.name, row.request, argument));
}

Napi::Value KvmVm::number_call(const Napi::CallbackInfo &info) {
  const auto &row = *static_cast<const NumberCall *>(info.Data());
  open(info.Env());
  uint64_t argument = info.Length() == 0 ? 0 : integer_argument(info, 0, row.name, UINT32_MAX);
  return Napi::Number::New(info.Env(),
                           call(info.Env(), row.name, row.request, reinterpret_cast<void *>(argument)));
}

// setMemory(slot, flags, address, memory, offset, bytes)
void KvmVm::set_memory(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  KvmVmCore &core = open(env);
  uint32_t slot = uint32_t(integer_argument(info, 0, "slot", UINT32_MAX));
  uint32_t flags = uint32_t(integer_argument(info, 1, "flags", UINT32_MAX));
  uint64_t address = integer_argument(info, 2, "address", UINT64_MAX);
  std::shared_ptr<GuestMapping> mapping = GuestMemory::mapping_of(env, info[3]);
  uint64_t offset = integer_argument(info, 4, "offset", mapping->bytes);
  uint64_t bytes = integer_argument(info, 5, "bytes", mapping->bytes);
  if (bytes == 0) throw_argument(env, "a memory slot of 0 bytes");
  if (bytes > mapping->bytes - offset) throw_code(env, "ERANGE", "the slot ends beyond the guest's memory");
  if (core.set_memory(slot, flags, address, std::move(mapping), offset, bytes) < 0)
    throw_errno(env, errno, "KVM_SET_USER_MEMORY_REGION of slot " + std::to_string(slot));
}

void KvmVm::delete_memory(const Napi::CallbackInfo &info) {
  KvmVmCore &core = open(info.Env());
  uint32_t slot = uint32_t(integer_argument(info, 0, "slot", UINT32_MAX));
  if (core.set_memory(slot, 0, 0, nullptr, 0, 0) < 0)
    throw_errno(info.Env(), errno, "KVM_SET_USER_MEMORY_REGION of slot " + std::to_string(slot));
}

// Bit n: page n of the slot has been written to since the last call.
Napi::Value KvmVm::get_dirty_log(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  KvmVmCore &core = open(env);
  uint32_t slot = uint32_t(integer_argument(info, 0, "slot", UINT32_MAX));
  uint64_t bytes = core.slot_bytes(slot);
  if (bytes == 0) throw_errno(env, ENOENT, "KVM_GET_DIRTY_LOG of slot " + std::to_string(slot));
  auto bitmap = Napi::Buffer<uint8_t>::New(env, bitmap_bytes(bytes));
  memset(bitmap.Data(), 0, bitmap.Length());
  kvm_dirty_log log = {};
  log.slot = slot;
  log.dirty_bitmap = bitmap.Data();
  call(env, "KVM_GET_DIRTY_LOG", KVM_GET_DIRTY_LOG, &log);
  return bitmap;
}

// clearDirtyLog(slot, firstPage, pages, bitmap)
void KvmVm::clear_dirty_log(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  open(env);
  kvm_clear_dirty_log log = {};
  log.slot = uint32_t(integer_argument(info, 0, "slot", UINT32_MAX));
  log.first_page = integer_argument(info, 1, "firstPage", UINT64_MAX);
  log.num_pages = uint32_t(integer_argument(info, 2, "pages", UINT32_MAX));
  KvmBytes bitmap = bytes_argument(info, 3, "bitmap");
  if (bitmap.length < (uint64_t(log.num_pages) + 63) / 64 * 8)
    throw_argument(env, "the bitmap is shorter than its pages");
  log.dirty_bitmap = bitmap.data;
  call(env, "KVM_CLEAR_DIRTY_LOG", KVM_CLEAR_DIRTY_LOG, &log);
}

void KvmVm::close(const Napi::CallbackInfo &) {
  if (core_ && owner_) core_->close();
  core_.reset();
}

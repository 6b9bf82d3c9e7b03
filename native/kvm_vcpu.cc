#include "kvm_vcpu.h"

#include <cerrno>
#include <sys/ioctl.h>
#include <vector>

#include "addon_data.h"
#include "errors.h"

namespace {

constexpr napi_type_tag kTypeTag = {0xd6a90f5e3b7c4e28, 0x97f1c4a80e625b3d};

} // namespace

void KvmVcpu::init(Napi::Env env, Napi::Object exports) {
  // Called for every exit of the guest: without node-addon-api's wrapper.
  napi_property_descriptor run = {"run",  nullptr, run_raw, nullptr, nullptr, nullptr, napi_default_method,
                                  nullptr};
  std::vector<PropertyDescriptor> methods = {
      PropertyDescriptor(run),
      InstanceAccessor<&KvmVcpu::id>("id"),
      InstanceAccessor<&KvmVcpu::index>("index"),
      InstanceAccessor<&KvmVcpu::page>("page"),
      InstanceMethod<&KvmVcpu::run_async>("runAsync"),
      InstanceMethod<&KvmVcpu::complete_io>("completeIo"),
      InstanceMethod<&KvmVcpu::close>("close"),
  };
  add_state_methods(methods);
  Napi::Function constructor = DefineClass(env, "KvmVcpu", methods);
  env.GetInstanceData<AddonData>()->kvm_vcpu = Napi::Persistent(constructor);
  exports.Set("KvmVcpu", constructor);
}

Napi::Value KvmVcpu::wrap(Napi::Env env, std::shared_ptr<KvmVcpuCore> core) {
  return env.GetInstanceData<AddonData>()->kvm_vcpu.New(
      {Napi::External<std::shared_ptr<KvmVcpuCore>>::New(env, &core)});
}

KvmVcpu::KvmVcpu(const Napi::CallbackInfo &info) : Napi::ObjectWrap<KvmVcpu>(info) {
  if (!info[0].IsExternal()) throw_argument(info.Env(), "a KvmVcpu comes from KvmVm.createVcpu()");
  core_ = *info[0].As<Napi::External<std::shared_ptr<KvmVcpuCore>>>().Data();
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
}

KvmVcpu::~KvmVcpu() {
  release();
}

std::shared_ptr<KvmVcpuCore> KvmVcpu::core_of(Napi::Env env, Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTypeTag))
    throw_argument(env, "not a KvmVcpu");
  KvmVcpu *self = Unwrap(value.As<Napi::Object>());
  self->open(env);
  return self->core_;
}

// Closed by its own close(), or with its machine.
KvmVcpuCore &KvmVcpu::open(Napi::Env env) const {
  if (!core_ || core_->is_closed()) throw_code(env, "EBADF", "vCPU is closed");
  return *core_;
}

int KvmVcpu::call(Napi::Env env, const char *name, unsigned long request, void *argument) const {
  KvmVcpuCore &core = open(env);
  KvmVcpuCore::Use use(core);
  if (use.running || runs()) throw_code(env, "EBUSY", std::string(name) + ": vCPU is running");
  if (use.fd < 0) throw_code(env, "EBADF", "vCPU is closed");
  int result = ioctl(use.fd, request, argument);
  if (result < 0) throw_errno(env, errno, name);
  return result;
}

napi_value KvmVcpu::run_raw(napi_env env, napi_callback_info info) {
  napi_value self, result;
  void *unwrapped;
  if (napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr) != napi_ok ||
      napi_unwrap(env, self, &unwrapped) != napi_ok) {
    napi_throw_type_error(env, "EINVAL", "not a KvmVcpu");
    return nullptr;
  }
  // A reference of its own: the machine may be closed by another thread meanwhile.
  auto *vcpu = static_cast<KvmVcpu *>(unwrapped);
  std::shared_ptr<KvmVcpuCore> core = vcpu->core_;
  KvmVcpuCore::Outcome outcome = {KvmVcpuCore::End::kClosed};
  if (core && vcpu->runs())
    outcome = {KvmVcpuCore::End::kRunning};
  else if (core)
    outcome = core->run();
  if (kvm_run_failed(outcome)) {
    kvm_run_error(env, outcome).ThrowAsJavaScriptException();
    return nullptr;
  }
  napi_create_uint32(env, reinterpret_cast<kvm_run *>(core->page->base)->exit_reason, &result);
  return result;
}

Napi::Value KvmVcpu::id(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), open(info.Env()).kick->id);
}

Napi::Value KvmVcpu::index(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), open(info.Env()).index);
}

Napi::Value KvmVcpu::page(const Napi::CallbackInfo &info) {
  KvmVcpuCore &core = open(info.Env());
  auto *reference = new std::shared_ptr<KvmRunPage>(core.page);
  return Napi::ArrayBuffer::New(
      info.Env(), core.page->base, core.page->bytes,
      [](Napi::BasicEnv, void *, std::shared_ptr<KvmRunPage> *hint) { delete hint; }, reference);
}

Napi::Value KvmVcpu::run_async(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  open(env);
  if (!async_) async_ = std::make_unique<KvmVcpuAsync>(env, core_);
  if (runs()) throw_code(env, "EBUSY", "KVM_RUN: vCPU is running");
  return async_->run(info.This().As<Napi::Object>());
}

// What an exit's I/O has been answered with is taken, and nothing else is executed.
Napi::Value KvmVcpu::complete_io(const Napi::CallbackInfo &info) {
  open(info.Env());
  if (runs()) throw_code(info.Env(), "EBUSY", "KVM_RUN: vCPU is running");
  const std::atomic<bool> stop{true};
  KvmVcpuCore::Outcome outcome = core_->run(&stop);
  if (kvm_run_failed(outcome)) throw kvm_run_error(info.Env(), outcome);
  return kvm_exit_reason(info.Env(), *core_);
}

void KvmVcpu::close(const Napi::CallbackInfo &) {
  release();
}

void KvmVcpu::release() {
  if (!core_) return;
  core_->close();
  async_.reset();
  core_.reset();
}

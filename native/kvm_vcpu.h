// A vCPU of KVM, for the JavaScript thread that made it.
#pragma once

#include <memory>
#include <napi.h>
#include <vector>

#include "kvm_vcpu_async.h"
#include "kvm_vcpu_core.h"

class KvmVcpu : public Napi::ObjectWrap<KvmVcpu> {
public:
  static void init(Napi::Env env, Napi::Object exports);
  static Napi::Value wrap(Napi::Env env, std::shared_ptr<KvmVcpuCore> core);
  // The vCPU behind a JavaScript object; throws unless it is an open KvmVcpu.
  static std::shared_ptr<KvmVcpuCore> core_of(Napi::Env env, Napi::Value value);

  explicit KvmVcpu(const Napi::CallbackInfo &info);
  ~KvmVcpu() override;

private:
  static napi_value run_raw(napi_env env, napi_callback_info info);
  Napi::Value id(const Napi::CallbackInfo &info);
  Napi::Value index(const Napi::CallbackInfo &info);
  Napi::Value page(const Napi::CallbackInfo &info);
  Napi::Value run_async(const Napi::CallbackInfo &info);
  Napi::Value complete_io(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);
  // kvm_vcpu_state.cc
  Napi::Value struct_call(const Napi::CallbackInfo &info);
  Napi::Value get_msrs(const Napi::CallbackInfo &info);
  Napi::Value set_msrs(const Napi::CallbackInfo &info);
  void set_cpuid2(const Napi::CallbackInfo &info);
  Napi::Value get_cpuid2(const Napi::CallbackInfo &info);
  Napi::Value get_xsave(const Napi::CallbackInfo &info);
  void set_xsave(const Napi::CallbackInfo &info);
  void set_signal_mask(const Napi::CallbackInfo &info);
  Napi::Value get_tsc_offset(const Napi::CallbackInfo &info);
  void set_tsc_offset(const Napi::CallbackInfo &info);
  void set_tsc_khz(const Napi::CallbackInfo &info);

  static void add_state_methods(std::vector<PropertyDescriptor> &methods);
  KvmVcpuCore &open(Napi::Env env) const;
  // From runAsync() until its promise is settled, whatever its thread has come to.
  bool runs() const { return async_ && async_->pending(); }
  // ioctl() that throws EBADF when the vCPU is closed, EBUSY while it runs, and errno with the ioctl's name.
  int call(Napi::Env env, const char *name, unsigned long request, void *argument) const;
  size_t xsave_bytes(Napi::Env env) const;
  void release();

  std::shared_ptr<KvmVcpuCore> core_; // null: closed by this object; the core may be closed otherwise
  std::unique_ptr<KvmVcpuAsync> async_;
};

// A virtual machine of KVM, for JavaScript. The one who created it closes it; other threads attach to it by
// its id.
#pragma once

#include <memory>
#include <napi.h>

#include "kvm_vm_core.h"

class KvmVm : public Napi::ObjectWrap<KvmVm> {
public:
  static void init(Napi::Env env, Napi::Object exports);
  static Napi::Value wrap(Napi::Env env, std::shared_ptr<KvmVmCore> core, bool owner);

  explicit KvmVm(const Napi::CallbackInfo &info);

private:
  static Napi::Value attach(const Napi::CallbackInfo &info);
  Napi::Value id(const Napi::CallbackInfo &info);
  Napi::Value create_vcpu(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);
  void set_memory(const Napi::CallbackInfo &info);
  void delete_memory(const Napi::CallbackInfo &info);
  Napi::Value get_dirty_log(const Napi::CallbackInfo &info);
  void clear_dirty_log(const Napi::CallbackInfo &info);
  Napi::Value struct_call(const Napi::CallbackInfo &info);
  Napi::Value number_call(const Napi::CallbackInfo &info);
  // kvm_vm_irq.cc
  void set_gsi_routing(const Napi::CallbackInfo &info);
  void irqfd(const Napi::CallbackInfo &info);
  void ioeventfd(const Napi::CallbackInfo &info);
  void set_msr_filter(const Napi::CallbackInfo &info);

  // Throws EBADF when it is closed.
  KvmVmCore &open(Napi::Env env) const;
  // ioctl() that throws EBADF when the machine is closed, and errno with the ioctl's name when it fails.
  int call(Napi::Env env, const char *name, unsigned long request, void *argument) const;

  std::shared_ptr<KvmVmCore> core_;
  bool owner_ = false;
};

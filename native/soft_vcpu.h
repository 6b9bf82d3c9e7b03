// One software CPU over the guest's memory.
#pragma once

#include <memory>
#include <napi.h>
#include <softcpu.h>
#include <string>

#include "guest_memory.h"
#include "vcpu_kick.h"
#include "vcpu_timer.h"

class SoftVcpu : public Napi::ObjectWrap<SoftVcpu> {
public:
  static void init(Napi::Env env, Napi::Object exports);

  explicit SoftVcpu(const Napi::CallbackInfo &info);
  ~SoftVcpu() override;

private:
  static napi_value run_raw(napi_env env, napi_callback_info info);
  Napi::Value id(const Napi::CallbackInfo &info);
  Napi::Value last_error(const Napi::CallbackInfo &info);
  void inject(const Napi::CallbackInfo &info);
  Napi::Value wait(const Napi::CallbackInfo &info);
  void set_timer(const Napi::CallbackInfo &info);
  Napi::Value get_state(const Napi::CallbackInfo &info);
  void set_state(const Napi::CallbackInfo &info);
  void set_cpuid(const Napi::CallbackInfo &info);
  void invalidate(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  int run();
  void require_open(Napi::Env env) const;
  void release();

  // Destroyed in release() from the outside in: the timer's thread, the kicks of others, the CPU,
  // its memory.
  std::shared_ptr<GuestMapping> memory_;
  softcpu *cpu_ = nullptr;
  std::shared_ptr<VcpuKick> kick_;
  std::unique_ptr<VcpuTimer> timer_;
  std::string last_error_;
};

// Software CPUs over a guest's memory: one, or several that take turns on one thread.
#pragma once

#include <atomic>
#include <memory>
#include <napi.h>
#include <softcpu.h>
#include <string>

#include "guest_memory.h"
#include "vcpu_kick.h"
#include "vcpu_timer.h"

// What the CPUs of a machine have in common.
class SoftGroup {
public:
  SoftGroup();
  ~SoftGroup() { kick->close(); }

  // Kicks whichever of them runs, or the next run or wait of any.
  const std::shared_ptr<VcpuKick> kick;
  std::atomic<softcpu *> running{nullptr};
  std::atomic<bool> slice_over{false};
  bool sliced = false; // a run ends with its slice
  // After the members that their threads use.
  VcpuTimer timer, slice;
};

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
  void set_slice(const Napi::CallbackInfo &info);
  Napi::Value get_state(const Napi::CallbackInfo &info);
  void set_state(const Napi::CallbackInfo &info);
  Napi::Value get_fpu(const Napi::CallbackInfo &info);
  void set_fpu(const Napi::CallbackInfo &info);
  void set_cpuid(const Napi::CallbackInfo &info);
  void set_breakpoints(const Napi::CallbackInfo &info);
  void invalidate(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  int run();
  int run_until_exit();
  bool take_turn_over();
  void require_open(Napi::Env env) const;
  void release();

  // Destroyed in release() from the outside in: the group's threads and kicks with its last CPU, the CPU, its
  // memory.
  std::shared_ptr<GuestMapping> memory_;
  Napi::Reference<Napi::Uint8Array> marks_; // of all siblings: a page a byte
  softcpu *cpu_ = nullptr;
  std::shared_ptr<SoftGroup> group_;
  std::string last_error_;
};

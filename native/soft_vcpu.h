// One software CPU: a Unicorn engine over the guest's memory.
#pragma once

#include <memory>
#include <napi.h>
#include <string>
#include <vector>
#include <xenner-uc.h>

#include "guest_memory.h"
#include "vcpu_kick.h"
#include "vcpu_timer.h"

class SoftVcpu : public Napi::ObjectWrap<SoftVcpu> {
public:
  static void init(Napi::Env env, Napi::Object exports);

  explicit SoftVcpu(const Napi::CallbackInfo &info);
  ~SoftVcpu() override;

private:
  struct CpuidEntry {
    uint32_t function, index, eax, ebx, ecx, edx;
  };
  static constexpr uint32_t kAnyIndex = 0xffffffff;
  static constexpr size_t kMaxCpuidEntries = 256;

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

  static uint32_t on_in(uc_engine *engine, uint32_t port, int size, void *self);
  static void on_out(uc_engine *engine, uint32_t port, int size, uint32_t value, void *self);
  static int on_cpuid(uc_engine *engine, void *self);

  int run();
  void require_open(Napi::Env env) const;
  void check(Napi::Env env, uc_err error, const char *call);
  void open_engine(Napi::Env env);
  void release();

  // Destroyed in release() from the outside in: the timer's thread, the kicks of others, the engine, its
  // memory.
  std::shared_ptr<GuestMapping> memory_;
  uc_engine *engine_ = nullptr;
  std::shared_ptr<VcpuKick> kick_;
  std::unique_ptr<VcpuTimer> timer_;

  uint32_t exit_port_ = 0;
  bool port_written_ = false;
  std::vector<CpuidEntry> cpuid_;
  std::string last_error_;
};

// KVM_RUN as a promise: a vCPU's runs on a thread of its own, their ends on the event loop.
#pragma once

#include <memory>
#include <napi.h>
#include <optional>

#include "kvm_vcpu_core.h"
#include "kvm_vcpu_runner.h"

class KvmVcpuAsync {
public:
  // Throws when the environment has no room for it.
  KvmVcpuAsync(Napi::Env env, std::shared_ptr<KvmVcpuCore> vcpu);
  ~KvmVcpuAsync() { close(); }
  KvmVcpuAsync(const KvmVcpuAsync &) = delete;
  KvmVcpuAsync &operator=(const KvmVcpuAsync &) = delete;

  bool pending() const { return deferred_.has_value(); }
  // Keeps the process and `owner` alive until it is settled. Not while one is pending.
  Napi::Promise run(Napi::Object owner);
  // Ends the run and the thread; its promise is rejected. Idempotent.
  void close();

private:
  static void on_event_loop(napi_env env, napi_value, void *self, void *outcome);
  static void on_environment_exit(void *self);
  void settle(KvmVcpuCore::Outcome outcome);

  const Napi::Env env_;
  const std::shared_ptr<KvmVcpuCore> vcpu_;
  std::optional<Napi::Promise::Deferred> deferred_;
  Napi::ObjectReference owner_;
  napi_threadsafe_function function_ = nullptr;
  std::unique_ptr<KvmVcpuRunner> runner_;
};

// What run() gives JavaScript: the exit's reason, or an exception.
Napi::Number kvm_exit_reason(Napi::Env env, const KvmVcpuCore &vcpu);
Napi::Error kvm_run_error(Napi::Env env, const KvmVcpuCore::Outcome &outcome);
bool kvm_run_failed(const KvmVcpuCore::Outcome &outcome);

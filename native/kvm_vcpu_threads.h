// The vCPUs of one machine, each on a thread of its own, served by one JavaScript thread: it sleeps until one
// of them has exited to user space, looks at that one's kvm_run and state, and resumes it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <napi.h>
#include <string>
#include <vector>

#include "kvm_vcpu_core.h"
#include "kvm_vcpu_runner.h"
#include "vcpu_kick.h"
#include "vcpu_timer.h"

class KvmVcpuThreads : public Napi::ObjectWrap<KvmVcpuThreads> {
public:
  static void init(Napi::Env env, Napi::Object exports);

  explicit KvmVcpuThreads(const Napi::CallbackInfo &info);
  ~KvmVcpuThreads() override;

private:
  // What wait() returns beside an index. Also in src/kvm/api/native.ts.
  static constexpr int kKicked = -1, kTimedOut = -2;
  // Stands in kvm_run.exit_reason when KVM_RUN has failed.
  static constexpr uint32_t kExitError = 0xffffffff;
  static constexpr size_t kMaxVcpus = 1024;

  struct Member {
    std::shared_ptr<KvmVcpuCore> vcpu;
    std::unique_ptr<KvmVcpuRunner> runner;
    bool parked = true; // belongs to JavaScript's thread
    std::string error;
  };
  struct Exit {
    size_t index;
    KvmVcpuCore::Outcome outcome;
  };

  static napi_value run_raw(napi_env env, napi_callback_info info);
  static napi_value wait_raw(napi_env env, napi_callback_info info);
  Napi::Value id(const Napi::CallbackInfo &info);
  void resume(const Napi::CallbackInfo &info);
  Napi::Value pause(const Napi::CallbackInfo &info);
  void set_timer(const Napi::CallbackInfo &info);
  Napi::Value error(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  static void on_environment_exit(void *self);
  // Throws an exception in JavaScript and returns nullptr, or the object behind `this`.
  static KvmVcpuThreads *self_of(napi_env env, napi_callback_info info, napi_value *argument);
  // Returns an error's text, or empty.
  std::string resume(size_t index);
  bool pause(size_t index);
  int wait_until(uint64_t deadline_ns);
  int wait_for_threads(uint64_t deadline_ns);
  int run_here(uint64_t deadline_ns);
  int report(size_t index, const KvmVcpuCore::Outcome &outcome);
  void exited(size_t index, KvmVcpuCore::Outcome outcome);
  void interrupt();
  void release();

  napi_env env_;
  std::vector<Member> members_;
  std::shared_ptr<VcpuKick> kick_; // of the one that waits; null: closed
  std::unique_ptr<VcpuTimer> timer_;
  // Of one vCPU alone, which runs on the waiting thread itself; the timer ends a wait() with a time-out.
  std::atomic<bool> leave_{false};
  std::unique_ptr<VcpuTimer> time_out_;
  // Of several.
  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<Exit> exits_;
};

#include "kvm_probe.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <string>
#include <system_error>
#include <thread>

#include "kvm_probe_vm.h"
#include "kvm_signal.h"

namespace {

constexpr std::chrono::milliseconds kTimeLimit{3000};
constexpr std::chrono::milliseconds kStopLimit{1000};
// A guest whose loop is this much slower than the host's own is interpreted, and better off with the software
// CPU.
constexpr double kInterpretedFactor = 20;
// On a busy host one measurement may say how long the guest had to wait for a processor.
constexpr int kAttempts = 3;

struct ProbeResult {
  bool usable = false;
  std::string reason;
  double mips = 0;
};

// Shared with the probing thread, which may be stuck in the kernel for ever.
struct Attempt {
  std::mutex lock;
  std::condition_variable changed;
  bool finished = false;
  ProbeResult result;
  std::atomic<bool> cancelled{false};
  KvmProbeVm vm;
};

ProbeResult probe(KvmProbeVm &vm, const std::atomic<bool> &cancelled) {
  ProbeResult result;
  double enough = KvmProbeVm::host_mips() / kInterpretedFactor;
  std::string failure = vm.open();
  for (int i = 0; i < kAttempts && failure.empty() && result.mips < enough; i++) {
    double mips = 0;
    failure = vm.measure(cancelled, mips);
    result.mips = std::max(result.mips, mips);
  }
  if (!failure.empty()) {
    result.reason = failure;
  } else if (result.mips < enough) {
    result.reason = "ring-0 code runs at " + std::to_string(long(result.mips + 0.5)) + " MIPS: interpreted";
  } else {
    result.reason = vm.check_traps(cancelled);
    result.usable = result.reason.empty();
    if (result.usable)
      result.reason = "runs guests, ring 0 at " + std::to_string(long(result.mips)) + " MIPS";
  }
  return result;
}

std::thread start(const std::shared_ptr<Attempt> &attempt) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  try {
    thread = std::thread([attempt] {
      kvm_signal_prepare_thread();
      ProbeResult result = probe(attempt->vm, attempt->cancelled);
      std::lock_guard guard(attempt->lock);
      attempt->result = result;
      attempt->finished = true;
      attempt->changed.notify_all();
    });
  } catch (const std::system_error &) {
    attempt->result.reason = "no thread could be made for the probe";
    attempt->finished = true;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

ProbeResult probe_in_time() {
  static std::mutex one_at_a_time;
  std::lock_guard only(one_at_a_time);
  auto attempt = std::make_shared<Attempt>();
  std::thread thread = start(attempt);
  auto finished = [&] { return attempt->finished; };
  std::unique_lock guard(attempt->lock);
  if (!attempt->changed.wait_for(guard, kTimeLimit, finished)) {
    attempt->cancelled = true;
    // A signal that lands just before KVM_RUN is lost, so it is sent again.
    auto give_up = std::chrono::steady_clock::now() + kStopLimit;
    do {
      attempt->vm.ask_to_exit();
      pthread_kill(thread.native_handle(), kvm_signal_number());
    } while (!attempt->changed.wait_for(guard, std::chrono::milliseconds(10), finished) &&
             std::chrono::steady_clock::now() < give_up);
    if (!attempt->finished) {
      thread.detach();
      return {false, "KVM_RUN does not come back", 0};
    }
    attempt->result = {false, "the probe's guest did not end in time", attempt->result.mips};
  }
  guard.unlock();
  if (thread.joinable()) thread.join();
  return attempt->result;
}

Napi::Value probe_kvm(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  ProbeResult result = probe_in_time();
  Napi::Object object = Napi::Object::New(env);
  object.Set("usable", Napi::Boolean::New(env, result.usable));
  object.Set("reason", Napi::String::New(env, result.reason));
  object.Set("mips", Napi::Number::New(env, result.mips));
  return object;
}

} // namespace

void init_kvm_probe(Napi::Env env, Napi::Object exports) {
  exports.Set("probeKvm", Napi::Function::New<probe_kvm>(env, "probeKvm"));
}

// A thread of its own for one vCPU: parked until it is told to enter the guest, and again after each exit.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "kvm_vcpu_core.h"

class KvmVcpuRunner {
public:
  // on_exit is called on the runner's thread, once for every resume() unless pause() or stop() comes first;
  // by resume() itself when the vCPU is closed or runs elsewhere.
  KvmVcpuRunner(std::shared_ptr<KvmVcpuCore> vcpu, std::function<void(KvmVcpuCore::Outcome)> on_exit)
      : vcpu_(std::move(vcpu)), on_exit_(std::move(on_exit)) {}
  ~KvmVcpuRunner() { stop(); }
  KvmVcpuRunner(const KvmVcpuRunner &) = delete;
  KvmVcpuRunner &operator=(const KvmVcpuRunner &) = delete;

  // Starts the thread, `vcpu N` to the system, unless it has been started. Returns 0 or the errno of
  // pthread_create.
  int start();
  // Lets the vCPU, which counts as running from now on, run until its next exit. Errors: start()'s.
  int resume();
  // Ends a run that is under way, between two instructions. False if the run had ended by itself: on_exit has
  // been called for it.
  bool pause();
  // Ends a run that is under way, and the thread. For good.
  void stop();

private:
  void serve();

  const std::shared_ptr<KvmVcpuCore> vcpu_;
  const std::function<void(KvmVcpuCore::Outcome)> on_exit_;
  std::thread thread_;
  std::mutex lock_;
  std::condition_variable changed_;
  bool resumed_ = false; // and not begun yet
  bool running_ = false;
  bool paused_ = false;
  bool stopping_ = false;
  std::atomic<bool> leave_{false}; // what ends KVM_RUN
};

#include "kvm_vcpu_runner.h"

#include <csignal>
#include <pthread.h>
#include <string>
#include <system_error>

int KvmVcpuRunner::resume() {
  if (int error = start()) return error;
  if (auto refused = vcpu_->claim()) {
    on_exit_(*refused);
    return 0;
  }
  std::lock_guard guard(lock_);
  resumed_ = true;
  changed_.notify_all();
  return 0;
}

int KvmVcpuRunner::start() {
  if (thread_.joinable()) return 0;
  // The thread inherits this mask: signals belong to Node's own threads. It lets ours through itself.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = 0;
  try {
    thread_ = std::thread(&KvmVcpuRunner::serve, this);
  } catch (const std::system_error &failure) {
    error = failure.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

void KvmVcpuRunner::serve() {
  pthread_setname_np(pthread_self(), ("vcpu " + std::to_string(vcpu_->index)).c_str());
  std::unique_lock guard(lock_);
  for (;;) {
    changed_.wait(guard, [this] { return resumed_ || stopping_; });
    if (stopping_) {
      if (resumed_) vcpu_->unclaim();
      return;
    }
    resumed_ = false;
    running_ = true;
    guard.unlock();
    KvmVcpuCore::Outcome outcome = vcpu_->run_claimed(&leave_);
    bool stopped = outcome.end == KvmVcpuCore::End::kStopped;
    if (!stopped) on_exit_(outcome);
    guard.lock();
    running_ = false;
    paused_ = stopped;
    changed_.notify_all();
  }
}

bool KvmVcpuRunner::pause() {
  std::unique_lock guard(lock_);
  paused_ = false;
  leave_ = true;
  if (!vcpu_->is_closed()) vcpu_->interrupt();
  changed_.wait(guard, [this] { return !resumed_ && !running_; });
  leave_ = false;
  return paused_;
}

void KvmVcpuRunner::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard guard(lock_);
    stopping_ = true;
    leave_ = true;
    changed_.notify_all();
  }
  // A closed one comes out by itself, and its page is nobody's any more.
  if (!vcpu_->is_closed()) vcpu_->interrupt();
  thread_.join();
}

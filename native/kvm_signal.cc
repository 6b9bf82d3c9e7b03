#include "kvm_signal.h"

#include <csignal>
#include <mutex>
#include <pthread.h>

namespace {

void ignore_signal(int) {}

// KVM_RUN comes back with EINTR only for a signal that has a handler. Without SA_RESTART, by the way, though
// KVM_RUN is never restarted. It stays: a vCPU may always be on its way into the kernel.
void install_handler() {
  struct sigaction action = {};
  action.sa_handler = ignore_signal;
  sigemptyset(&action.sa_mask);
  sigaction(kvm_signal_number(), &action, nullptr);
}

} // namespace

int kvm_signal_number() {
  return SIGRTMAX - 1;
}

void kvm_signal_prepare_thread() {
  static std::once_flag installed;
  thread_local bool prepared = false;
  if (prepared) return;
  std::call_once(installed, install_handler);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, kvm_signal_number());
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  prepared = true;
}

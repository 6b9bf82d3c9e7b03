#include "kvm_vcpu_core.h"

#include <cerrno>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm_signal.h"
#include "kvm_vm_core.h"

// Of Linux 6.8, newer than the headers of Debian 12.
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif

KvmRunPage::~KvmRunPage() {
  munmap(base, bytes);
}

void KvmRunPage::detach() {
  mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

KvmVcpuCore::KvmVcpuCore(std::shared_ptr<KvmVmCore> vm, int fd, uint32_t index,
                         std::shared_ptr<KvmRunPage> page)
    : index(index), vm(std::move(vm)), page(std::move(page)), kick(VcpuKick::create([this] { interrupt(); })),
      fd_(fd) {}

KvmVcpuCore::~KvmVcpuCore() {
  close();
}

void KvmVcpuCore::set_immediate_exit(uint8_t value) {
  __atomic_store_n(&run_page()->immediate_exit, value, __ATOMIC_SEQ_CST);
}

// KVM_RUN looks at immediate_exit when it begins, and at signals from then on. Whoever interrupts sets the
// one, then sends the other if it sees a thread inside; a thread goes inside, then begins. So one of the two
// sees the other, whatever the order. A signal that comes too late finds the thread elsewhere, where it does
// nothing.
void KvmVcpuCore::interrupt() {
  set_immediate_exit(1);
  pid_t thread = inside_.load();
  if (thread) syscall(SYS_tgkill, getpid(), thread, kvm_signal_number());
}

bool KvmVcpuCore::must_leave(const std::atomic<bool> *stop) const {
  return closed_ || (stop && *stop) || kick->pending();
}

KvmVcpuCore::Outcome KvmVcpuCore::run(const std::atomic<bool> *stop) {
  std::optional<Outcome> refused = claim();
  return refused ? *refused : run_claimed(stop);
}

std::optional<KvmVcpuCore::Outcome> KvmVcpuCore::claim() {
  std::lock_guard guard(lock_);
  if (closed_) return Outcome{End::kClosed};
  if (running_) return Outcome{End::kRunning};
  running_ = true;
  return std::nullopt;
}

void KvmVcpuCore::unclaim() {
  std::lock_guard guard(lock_);
  running_ = false;
  if (closed_) left_.notify_all();
}

KvmVcpuCore::Outcome KvmVcpuCore::run_claimed(const std::atomic<bool> *stop) {
  thread_local const pid_t thread = gettid();
  kvm_signal_prepare_thread();
  inside_ = thread;
  Outcome outcome = run_until_exit(stop);
  inside_ = 0;
  unclaim();
  return closed_ ? Outcome{End::kClosed} : outcome;
}

// Even when it is known that the run has to end, KVM_RUN is called: it completes the I/O of the exit before,
// and sees immediate_exit only then.
KvmVcpuCore::Outcome KvmVcpuCore::run_until_exit(const std::atomic<bool> *stop) {
  kvm_run *run = run_page();
  for (;;) {
    if (must_leave(stop)) set_immediate_exit(1);
    run->exit_reason = KVM_EXIT_UNKNOWN;
    if (ioctl(fd_, KVM_RUN, 0) == 0) return {End::kExit};
    int error = errno;
    if (error == EINTR) {
      // Cleared before the reasons are looked at: whoever has one later sets it again.
      set_immediate_exit(0);
      run->exit_reason = KVM_EXIT_INTR;
      if (closed_) return {End::kClosed};
      if (stop && *stop) return {End::kStopped};
      if (kick->take()) return {End::kKicked};
    } else if ((error == EFAULT || error == EHWPOISON) && run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
      return {End::kExit};
    } else if (error != EAGAIN) {
      // EAGAIN: an application processor has been woken, and may be entered now.
      return {End::kError, error};
    }
  }
}

void KvmVcpuCore::close() {
  std::unique_lock guard(lock_);
  if (fd_ < 0) return;
  closed_ = true;
  // The signal is sent again and again only for the sake of kernels that lose one.
  while (running_) {
    interrupt();
    left_.wait_for(guard, std::chrono::milliseconds(10));
  }
  // Another thread may have waited for the same.
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
  page->detach();
  guard.unlock();
  kick->close();
}

#include "vcpu_timer.h"

#include <cerrno>
#include <csignal>
#include <pthread.h>
#include <sys/timerfd.h>
#include <system_error>
#include <unistd.h>

#include "vcpu_kick.h"

int VcpuTimer::arm(uint64_t deadline_ns, const char **failed) {
  std::lock_guard guard(lock_);
  if (deadline_ns != 0 && descriptor_ < 0)
    if (int error = start(failed)) return error;
  deadline_ = deadline_ns;
  if (deadline_ns != 0 && (armed_ == 0 || deadline_ns < armed_)) set_descriptor(deadline_ns);
  return 0;
}

uint64_t VcpuTimer::deadline() {
  std::lock_guard guard(lock_);
  return deadline_ ? deadline_ : UINT64_MAX;
}

bool VcpuTimer::take_due(uint64_t now_ns) {
  std::lock_guard guard(lock_);
  if (deadline_ == 0 || deadline_ > now_ns) return false;
  deadline_ = 0;
  return true;
}

int VcpuTimer::start(const char **failed) {
  *failed = "timerfd_create";
  descriptor_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (descriptor_ < 0) return errno;
  *failed = "pthread_create";
  // The thread inherits this mask: signals belong to Node's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = 0;
  try {
    thread_ = std::thread(&VcpuTimer::serve, this);
  } catch (const std::system_error &failure) {
    error = failure.code().value();
    ::close(descriptor_);
    descriptor_ = -1;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

void VcpuTimer::set_descriptor(uint64_t deadline_ns) {
  armed_ = deadline_ns;
  itimerspec when = {{0, 0}, {time_t(deadline_ns / 1000000000u), long(deadline_ns % 1000000000u)}};
  timerfd_settime(descriptor_, TFD_TIMER_ABSTIME, &when, nullptr);
}

void VcpuTimer::serve() {
  for (;;) {
    uint64_t expirations;
    ssize_t got = read(descriptor_, &expirations, sizeof expirations);
    if (got < 0 && errno == EINTR) continue;
    bool due = false;
    {
      std::lock_guard guard(lock_);
      if (closing_ || got < 0) return;
      due = deadline_ != 0 && deadline_ <= monotonic_ns();
      if (due) deadline_ = 0;
      armed_ = 0;
      if (deadline_ != 0) set_descriptor(deadline_);
    }
    if (due) fire_();
  }
}

void VcpuTimer::close() {
  {
    std::lock_guard guard(lock_);
    if (descriptor_ < 0) return;
    closing_ = true;
    deadline_ = 0;
    set_descriptor(1);
  }
  thread_.join();
  ::close(descriptor_);
  descriptor_ = -1;
}

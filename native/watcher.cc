#include "watcher.h"

#include <cerrno>
#include <csignal>
#include <pthread.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "notifier.h"

// It stays: there is nothing to free that the end of the process does not.
Watcher &Watcher::the() {
  static Watcher *watcher = new Watcher;
  return *watcher;
}

uint64_t Watcher::add(int fd, uint32_t notifier, Mode mode) {
  std::lock_guard guard(lock_);
  if (!start()) return 0;
  uint64_t watch = ++last_;
  epoll_event event = {};
  event.events = mode == kEdges ? EPOLLIN | EPOLLET : EPOLLONESHOT;
  event.data.u64 = watch;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0) return 0;
  notifiers_[watch] = notifier;
  return watch;
}

void Watcher::arm(uint64_t watch, int fd, uint32_t events) {
  epoll_event event = {};
  event.events = events | EPOLLONESHOT;
  event.data.u64 = watch;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Watcher::remove(uint64_t watch, int fd) {
  std::lock_guard guard(lock_);
  notifiers_.erase(watch);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

bool Watcher::start() {
  if (epoll_ >= 0) return true;
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return false;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int error = 0;
  try {
    std::thread(&Watcher::serve, this).detach();
  } catch (const std::system_error &failure) {
    error = failure.code().value();
    ::close(epoll_);
    epoll_ = -1;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return error == 0;
}

void Watcher::serve() {
  for (;;) {
    epoll_event events[16];
    int count = epoll_wait(epoll_, events, 16, -1);
    for (int i = 0; i < count; i++) {
      uint32_t notifier = 0;
      {
        std::lock_guard guard(lock_);
        auto found = notifiers_.find(events[i].data.u64);
        if (found != notifiers_.end()) notifier = found->second;
      }
      if (notifier) Notifier::notify(notifier);
    }
  }
}

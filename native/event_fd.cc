#include "event_fd.h"

#include <cerrno>
#include <csignal>
#include <mutex>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <unordered_map>

#include "errors.h"
#include "notifier.h"

namespace {

constexpr napi_type_tag kTypeTag = {0x41c7e0b95d3f4a12, 0x8be6f2047a9c1d53};

// One thread of the process waits for all watched eventfds and passes each signal on to a notifier. It stays:
// there is nothing to free that the end of the process does not.
class Watcher {
public:
  static Watcher &the() {
    static Watcher *watcher = new Watcher;
    return *watcher;
  }

  // Returns the watch, or 0 with errno.
  uint64_t add(int fd, uint32_t notifier) {
    std::lock_guard guard(lock_);
    if (!start()) return 0;
    uint64_t watch = ++last_;
    // Edges: the count stays for take(), and a signal that comes before it is taken is told again.
    epoll_event event = {};
    event.events = EPOLLIN | EPOLLET;
    event.data.u64 = watch;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0) return 0;
    notifiers_[watch] = notifier;
    return watch;
  }

  void remove(uint64_t watch, int fd) {
    std::lock_guard guard(lock_);
    notifiers_.erase(watch);
    epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  }

private:
  bool start() {
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

  void serve() {
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

  std::mutex lock_;
  int epoll_ = -1;
  uint64_t last_ = 0;
  std::unordered_map<uint64_t, uint32_t> notifiers_;
};

} // namespace

void EventFd::init(Napi::Env env, Napi::Object exports) {
  exports.Set("EventFd", DefineClass(env, "EventFd",
                                     {
                                         InstanceAccessor<&EventFd::fd>("fd"),
                                         InstanceMethod<&EventFd::signal>("signal"),
                                         InstanceMethod<&EventFd::take>("take"),
                                         InstanceMethod<&EventFd::notify>("notify"),
                                         InstanceMethod<&EventFd::close>("close"),
                                     }));
}

EventFd::EventFd(const Napi::CallbackInfo &info) : Napi::ObjectWrap<EventFd>(info) {
  fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd_ < 0) throw_errno(info.Env(), errno, "eventfd");
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
}

EventFd::~EventFd() {
  release();
}

int EventFd::descriptor_of(Napi::Env env, Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTypeTag))
    throw_argument(env, "not an EventFd");
  return Unwrap(value.As<Napi::Object>())->open(env);
}

int EventFd::open(Napi::Env env) const {
  if (fd_ < 0) throw_code(env, "EBADF", "eventfd is closed");
  return fd_;
}

Napi::Value EventFd::fd(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), open(info.Env()));
}

// EAGAIN, when the counter is full, is no failure: whoever waits is told already.
void EventFd::signal(const Napi::CallbackInfo &info) {
  uint64_t one = 1;
  if (write(open(info.Env()), &one, sizeof one) < 0 && errno != EAGAIN)
    throw_errno(info.Env(), errno, "write to an eventfd");
}

Napi::Value EventFd::take(const Napi::CallbackInfo &info) {
  uint64_t count = 0;
  if (read(open(info.Env()), &count, sizeof count) < 0) {
    if (errno != EAGAIN) throw_errno(info.Env(), errno, "read of an eventfd");
    count = 0;
  }
  return Napi::Number::New(info.Env(), double(count));
}

void EventFd::notify(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  int fd = open(env);
  uint32_t notifier = uint32_t(integer_argument(info, 0, "notifier", UINT32_MAX));
  if (watch_) throw_code(env, "EBUSY", "the eventfd has a notifier already");
  watch_ = Watcher::the().add(fd, notifier);
  if (!watch_) throw_errno(env, errno, "watching an eventfd");
}

void EventFd::close(const Napi::CallbackInfo &) {
  release();
}

void EventFd::release() {
  if (fd_ < 0) return;
  if (watch_) Watcher::the().remove(watch_, fd_);
  ::close(fd_);
  fd_ = -1;
  watch_ = 0;
}

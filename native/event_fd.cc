#include "event_fd.h"

#include <cerrno>
#include <sys/eventfd.h>
#include <unistd.h>

#include "errors.h"
#include "watcher.h"

namespace {

constexpr napi_type_tag kTypeTag = {0x41c7e0b95d3f4a12, 0x8be6f2047a9c1d53};

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
  watch_ = Watcher::the().add(fd, notifier, Watcher::kEdges);
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

// An eventfd: what KVM's irqfd and ioeventfd are made of.
#pragma once

#include <cstdint>
#include <napi.h>

class EventFd : public Napi::ObjectWrap<EventFd> {
public:
  static void init(Napi::Env env, Napi::Object exports);
  // The descriptor behind a JavaScript object; throws unless it is an open EventFd.
  static int descriptor_of(Napi::Env env, Napi::Value value);

  explicit EventFd(const Napi::CallbackInfo &info);
  ~EventFd() override;

private:
  Napi::Value fd(const Napi::CallbackInfo &info);
  void signal(const Napi::CallbackInfo &info);
  Napi::Value take(const Napi::CallbackInfo &info);
  void notify(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  int open(Napi::Env env) const;
  void release();

  int fd_ = -1;
  uint64_t watch_ = 0; // 0: nobody waits for it
};

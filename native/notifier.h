// Wakes the JavaScript thread that made it, from any thread.
#pragma once

#include <cstdint>
#include <napi.h>

class Notifier : public Napi::ObjectWrap<Notifier> {
public:
  static void init(Napi::Env env, Napi::Object exports);
  // Unknown ids are ignored: the notifier is gone. Any thread.
  static void notify(uint32_t id);

  explicit Notifier(const Napi::CallbackInfo &info);
  ~Notifier() override;

private:
  Napi::Value id(const Napi::CallbackInfo &info);
  void hold(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  static void on_environment_exit(void *self);
  void release();

  napi_env env_;
  uint32_t id_ = 0; // 0: closed
  napi_threadsafe_function function_ = nullptr;
};

// /dev/kvm itself.
#pragma once

#include <napi.h>

class KvmSystem : public Napi::ObjectWrap<KvmSystem> {
public:
  static void init(Napi::Env env, Napi::Object exports);

  explicit KvmSystem(const Napi::CallbackInfo &info);
  ~KvmSystem() override;

private:
  Napi::Value check_extension(const Napi::CallbackInfo &info);
  Napi::Value counted(const Napi::CallbackInfo &info);
  Napi::Value get_msrs(const Napi::CallbackInfo &info);
  Napi::Value create_vm(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  int open(Napi::Env env) const;
  void release();

  int fd_ = -1;
};

// Asynchronous I/O on files for one JavaScript thread: many requests at once, ended ones in batches.
#pragma once

#include <deque>
#include <napi.h>

#include "file_request.h"

class FileIo : public Napi::ObjectWrap<FileIo> {
public:
  static void init(Napi::Env env, Napi::Object exports);

  explicit FileIo(const Napi::CallbackInfo &info);
  ~FileIo() override;

private:
  void transfer(const Napi::CallbackInfo &info);
  void call(const Napi::CallbackInfo &info);
  Napi::Value flush(const Napi::CallbackInfo &info);
  Napi::Value reap(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  FileEngine &open(Napi::Env env) const;
  void add(std::unique_ptr<FileRequest> request);
  uint32_t report();
  static void on_environment_exit(void *self);
  void release();

  napi_env env_;
  std::unique_ptr<FileEngine> engine_; // empty: closed
  uint64_t watch_ = 0;
  bool armed_ = false;
  uint64_t under_way_ = 0;
  Napi::Reference<Napi::Float64Array> results_;
  std::deque<std::unique_ptr<FileRequest>> ended_; // for the next report()
};

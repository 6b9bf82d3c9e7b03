// A network interface whose other end is a file: /dev/net/tun, or a macvtap's /dev/tapN. Packets carry struct
// virtio_net_hdr. Nothing here ever blocks.
#pragma once

#include <cstdint>
#include <napi.h>
#include <string>

class NetTap : public Napi::ObjectWrap<NetTap> {
public:
  static void init(Napi::Env env, Napi::Object exports);

  explicit NetTap(const Napi::CallbackInfo &info);
  ~NetTap() override;

private:
  Napi::Value name(const Napi::CallbackInfo &info);
  void set_offload(const Napi::CallbackInfo &info);
  void set_carrier(const Napi::CallbackInfo &info);
  Napi::Value receive(const Napi::CallbackInfo &info);
  Napi::Value send(const Napi::CallbackInfo &info);
  void watch(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  int open(Napi::Env env) const;
  void configure(Napi::Env env, const std::string &name);
  void release();

  int fd_ = -1;
  std::string name_;
  uint64_t watch_ = 0;
};

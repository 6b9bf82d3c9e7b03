// Netlink of the host (netlink(7)): messages go out and come in as bytes, which src/kvm/netlink encodes and
// decodes.
#pragma once

#include <napi.h>

// What the kernel tells by itself: a socket in multicast groups of NETLINK_ROUTE.
class NetlinkEvents : public Napi::ObjectWrap<NetlinkEvents> {
public:
  static void init(Napi::Env env, Napi::Object exports);

  explicit NetlinkEvents(const Napi::CallbackInfo &info);
  ~NetlinkEvents() override;

private:
  Napi::Value receive(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  void release();

  int fd_ = -1;
  uint64_t watch_ = 0;
};

void init_netlink(Napi::Env env, Napi::Object exports);

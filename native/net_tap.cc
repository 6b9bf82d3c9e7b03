#include "net_tap.h"

#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "errors.h"
#include "watcher.h"

namespace {

// A packet of 64 KiB behind Ethernet's header and two VLANs, and virtio_net_hdr.
constexpr size_t kMaxPacketBytes = 65536 + 64;
// sizeof(struct virtio_net_hdr): <linux/virtio_net.h> is no C++.
constexpr int kHeaderBytes = 10;
// Those of a front end's largest packet, and headers.
constexpr uint32_t kMaxPieces = 64;
static_assert(kMaxPieces <= IOV_MAX);

} // namespace

void NetTap::init(Napi::Env env, Napi::Object exports) {
  exports.Set("NetTap", DefineClass(env, "NetTap",
                                    {
                                        InstanceAccessor<&NetTap::name>("name"),
                                        InstanceMethod<&NetTap::set_offload>("setOffload"),
                                        InstanceMethod<&NetTap::set_carrier>("setCarrier"),
                                        InstanceMethod<&NetTap::receive>("receive"),
                                        InstanceMethod<&NetTap::send>("send"),
                                        InstanceMethod<&NetTap::watch>("watch"),
                                        InstanceMethod<&NetTap::close>("close"),
                                    }));
}

// new NetTap(path, name, notifier): a macvtap has its name already, and takes any.
NetTap::NetTap(const Napi::CallbackInfo &info) : Napi::ObjectWrap<NetTap>(info) {
  Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsString()) throw_argument(env, "path and name must be strings");
  std::string path = info[0].As<Napi::String>();
  uint32_t notifier = uint32_t(integer_argument(info, 2, "notifier", UINT32_MAX));
  fd_ = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0) throw_errno(env, errno, path);
  try {
    configure(env, info[1].As<Napi::String>());
    watch_ = Watcher::the().add(fd_, notifier, Watcher::kOnce);
    if (!watch_) throw_errno(env, errno, "watching a tap");
  } catch (...) {
    release();
    throw;
  }
}

NetTap::~NetTap() {
  release();
}

void NetTap::configure(Napi::Env env, const std::string &name) {
  ifreq request = {};
  if (name.size() >= sizeof request.ifr_name || name.find('\0') != std::string::npos)
    throw_argument(env, "a name of an interface has at most 15 bytes");
  memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(fd_, TUNSETIFF, &request) < 0) throw_errno(env, errno, "TUNSETIFF");
  if (ioctl(fd_, TUNSETVNETHDRSZ, &kHeaderBytes) < 0) throw_errno(env, errno, "TUNSETVNETHDRSZ");
  name_.assign(request.ifr_name, strnlen(request.ifr_name, sizeof request.ifr_name));
}

int NetTap::open(Napi::Env env) const {
  if (fd_ < 0) throw_code(env, "EBADF", "the tap is closed");
  return fd_;
}

Napi::Value NetTap::name(const Napi::CallbackInfo &info) {
  return Napi::String::New(info.Env(), name_);
}

void NetTap::set_offload(const Napi::CallbackInfo &info) {
  int fd = open(info.Env());
  unsigned long flags = integer_argument(info, 0, "flags", UINT32_MAX);
  if (ioctl(fd, TUNSETOFFLOAD, flags) < 0) throw_errno(info.Env(), errno, "TUNSETOFFLOAD");
}

void NetTap::set_carrier(const Napi::CallbackInfo &info) {
  int fd = open(info.Env());
  int is_up = info[0].ToBoolean();
  // EINVAL: a macvtap, which knows no such thing.
  if (ioctl(fd, TUNSETCARRIER, &is_up) < 0 && errno != EINVAL)
    throw_errno(info.Env(), errno, "TUNSETCARRIER");
}

// receive(buffer, lengths): packets one behind the other, each at a multiple of 8, as many as there are and
// fit.
Napi::Value NetTap::receive(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  int fd = open(env);
  if (!info[0].IsTypedArray() || !info[1].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
    throw_argument(env, "receive takes a Uint8Array and a Uint32Array");
  auto buffer = info[0].As<Napi::Uint8Array>();
  auto lengths = info[1].As<Napi::Uint32Array>();
  uint32_t count = 0;
  for (size_t at = 0; count < lengths.ElementLength() && at + kMaxPacketBytes <= buffer.ByteLength();) {
    ssize_t length = read(fd, buffer.Data() + at, kMaxPacketBytes);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno != EAGAIN) throw_errno(env, errno, "read of " + name_);
    if (length <= 0) break;
    lengths[count++] = uint32_t(length);
    at += (size_t(length) + 7) / 8 * 8;
  }
  return Napi::Number::New(env, count);
}

// send(pieces): one packet, virtio_net_hdr first. False: not now, and watch() tells when.
Napi::Value NetTap::send(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  int fd = open(env);
  if (!info[0].IsArray()) throw_argument(env, "pieces must be an array");
  auto pieces = info[0].As<Napi::Array>();
  uint32_t count = pieces.Length();
  if (count > kMaxPieces) throw_argument(env, "a packet has at most 64 pieces");
  iovec vector[kMaxPieces];
  for (uint32_t i = 0; i < count; i++) {
    Napi::Value piece = pieces[i];
    if (!piece.IsTypedArray() || piece.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
      throw_argument(env, "a piece must be a Uint8Array");
    auto bytes = piece.As<Napi::Uint8Array>();
    vector[i] = {bytes.Data(), bytes.ByteLength()};
  }
  ssize_t written;
  do
    written = writev(fd, vector, int(count));
  while (written < 0 && errno == EINTR);
  if (written < 0 && errno != EAGAIN) throw_errno(env, errno, "write to " + name_);
  return Napi::Boolean::New(env, written >= 0);
}

// watch(events): signals the notifier once when one of them has come: 1 packets, 2 room.
void NetTap::watch(const Napi::CallbackInfo &info) {
  int fd = open(info.Env());
  uint64_t events = integer_argument(info, 0, "events", 3);
  uint32_t wanted = (events & 1 ? uint32_t(EPOLLIN) : 0) | (events & 2 ? uint32_t(EPOLLOUT) : 0);
  Watcher::the().arm(watch_, fd, wanted);
}

void NetTap::close(const Napi::CallbackInfo &) {
  release();
}

void NetTap::release() {
  if (fd_ < 0) return;
  if (watch_) Watcher::the().remove(watch_, fd_);
  ::close(fd_);
  fd_ = -1;
}

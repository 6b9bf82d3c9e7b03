#include "netlink.h"

#include <cerrno>
#include <linux/netlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "errors.h"
#include "watcher.h"

namespace {

// The kernel's dumps come in pieces of at most 32 KiB (netlink_dump()); one link with many VFs may take more.
constexpr size_t kPieceBytes = 256 * 1024;

int open_socket() {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return -1;
  // Texts of errors, and no more of a dump than was asked for. Kernels before 4.20 have neither, and all
  // works without.
  int on = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  return fd;
}

// Appends one datagram of the kernel's; other processes can send as well, and are not heard. -1 with errno.
ssize_t receive_piece(int fd, std::vector<uint8_t> &bytes) {
  size_t before = bytes.size();
  bytes.resize(before + kPieceBytes);
  sockaddr_nl sender = {};
  iovec piece = {bytes.data() + before, kPieceBytes};
  msghdr header = {};
  header.msg_name = &sender;
  header.msg_namelen = sizeof sender;
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  ssize_t length;
  do
    length = recvmsg(fd, &header, 0);
  while (length < 0 && errno == EINTR);
  int error = errno;
  if (length >= 0 && header.msg_flags & MSG_TRUNC) {
    length = -1;
    error = EMSGSIZE;
  }
  bytes.resize(before + (length > 0 && sender.nl_pid == 0 ? size_t(length) : 0));
  errno = error;
  return length;
}

// Whether the messages from `at` on have the one that ends an answer.
bool has_end(const std::vector<uint8_t> &bytes, size_t at) {
  while (bytes.size() - at >= sizeof(nlmsghdr)) {
    auto *header = reinterpret_cast<const nlmsghdr *>(bytes.data() + at);
    if (header->nlmsg_type == NLMSG_ERROR || header->nlmsg_type == NLMSG_DONE) return true;
    size_t length = NLMSG_ALIGN(size_t(header->nlmsg_len));
    if (header->nlmsg_len < sizeof(nlmsghdr) || length >= bytes.size() - at) return false;
    at += length;
  }
  return false;
}

// The kernel answers a request of NETLINK_ROUTE before send() returns, and makes the next piece of a dump
// before recvmsg() does.
int transact(const uint8_t *message, size_t length, size_t limit, std::vector<uint8_t> &answer) {
  int fd = open_socket();
  if (fd < 0) return errno;
  int error = 0;
  if (send(fd, message, length, 0) < 0) error = errno;
  for (size_t at = 0; !error && !has_end(answer, at);) {
    at = answer.size();
    if (receive_piece(fd, answer) < 0)
      error = errno;
    else if (answer.size() > limit)
      error = E2BIG;
  }
  close(fd);
  return error;
}

// netlinkRequest(message, maxBytes, what): all messages of the answer, one behind the other.
Napi::Value netlink_request(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      info[0].As<Napi::TypedArray>().ByteLength() < sizeof(nlmsghdr) || !info[2].IsString())
    throw_argument(env, "message must be a Uint8Array with a header, what a string");
  auto message = info[0].As<Napi::Uint8Array>();
  size_t limit = integer_argument(info, 1, "maxBytes", 1 << 30);
  std::vector<uint8_t> answer;
  if (int error = transact(message.Data(), message.ByteLength(), limit, answer))
    throw_errno(env, error, info[2].As<Napi::String>());
  return Napi::Buffer<uint8_t>::Copy(env, answer.data(), answer.size());
}

// linkIndex(name): 0 if there is no such interface.
Napi::Value link_index(const Napi::CallbackInfo &info) {
  if (!info[0].IsString()) throw_argument(info.Env(), "name must be a string");
  std::string name = info[0].As<Napi::String>();
  return Napi::Number::New(info.Env(), if_nametoindex(name.c_str()));
}

} // namespace

void NetlinkEvents::init(Napi::Env env, Napi::Object exports) {
  exports.Set("NetlinkEvents", DefineClass(env, "NetlinkEvents",
                                           {
                                               InstanceMethod<&NetlinkEvents::receive>("receive"),
                                               InstanceMethod<&NetlinkEvents::close>("close"),
                                           }));
}

// new NetlinkEvents(groups, notifier): RTMGRP_* bits.
NetlinkEvents::NetlinkEvents(const Napi::CallbackInfo &info) : Napi::ObjectWrap<NetlinkEvents>(info) {
  Napi::Env env = info.Env();
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = uint32_t(integer_argument(info, 0, "groups", UINT32_MAX));
  uint32_t notifier = uint32_t(integer_argument(info, 1, "notifier", UINT32_MAX));
  fd_ = open_socket();
  if (fd_ < 0) throw_errno(env, errno, "a socket of netlink");
  if (bind(fd_, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0)
    watch_ = Watcher::the().add(fd_, notifier, Watcher::kEdges);
  if (watch_) return;
  int error = errno;
  release();
  throw_errno(env, error, "groups of netlink");
}

NetlinkEvents::~NetlinkEvents() {
  release();
}

// receive(): the messages of one datagram, null if there is none now. ENOBUFS: some were lost.
Napi::Value NetlinkEvents::receive(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (fd_ < 0) throw_code(env, "EBADF", "the socket is closed");
  std::vector<uint8_t> bytes;
  ssize_t length = receive_piece(fd_, bytes);
  if (length < 0 && errno == EAGAIN) return env.Null();
  if (length < 0) throw_errno(env, errno, "netlink");
  return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
}

void NetlinkEvents::close(const Napi::CallbackInfo &) {
  release();
}

void NetlinkEvents::release() {
  if (fd_ < 0) return;
  if (watch_) Watcher::the().remove(watch_, fd_);
  ::close(fd_);
  fd_ = -1;
}

void init_netlink(Napi::Env env, Napi::Object exports) {
  NetlinkEvents::init(env, exports);
  exports.Set("netlinkRequest", Napi::Function::New<netlink_request>(env, "netlinkRequest"));
  exports.Set("linkIndex", Napi::Function::New<link_index>(env, "linkIndex"));
}

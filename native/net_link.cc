#include "net_link.h"

#include <cerrno>
#include <cstring>
#include <linux/netlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "errors.h"

namespace {

// The kernel answers a request of NETLINK_ROUTE before send() returns.
int request(const uint8_t *message, size_t length) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return errno;
  int error = 0;
  alignas(nlmsghdr) char answer[8192];
  ssize_t received = -1;
  if (send(fd, message, length, 0) < 0 || (received = recv(fd, answer, sizeof answer, 0)) < 0) error = errno;
  close(fd);
  if (error) return error;
  auto *header = reinterpret_cast<nlmsghdr *>(answer);
  if (!NLMSG_OK(header, size_t(received)) || header->nlmsg_type != NLMSG_ERROR) return EBADMSG;
  return -static_cast<nlmsgerr *>(NLMSG_DATA(header))->error;
}

// linkRequest(message, what): one request with NLM_F_ACK.
Napi::Value link_request(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      info[0].As<Napi::TypedArray>().ByteLength() < sizeof(nlmsghdr) || !info[1].IsString())
    throw_argument(env, "message must be a Uint8Array with a header, what a string");
  auto message = info[0].As<Napi::Uint8Array>();
  if (int error = request(message.Data(), message.ByteLength()))
    throw_errno(env, error, info[1].As<Napi::String>());
  return env.Undefined();
}

// linkIndex(name): 0 if there is no such interface.
Napi::Value link_index(const Napi::CallbackInfo &info) {
  if (!info[0].IsString()) throw_argument(info.Env(), "name must be a string");
  std::string name = info[0].As<Napi::String>();
  return Napi::Number::New(info.Env(), if_nametoindex(name.c_str()));
}

} // namespace

void init_net_link(Napi::Env env, Napi::Object exports) {
  exports.Set("linkRequest", Napi::Function::New<link_request>(env, "linkRequest"));
  exports.Set("linkIndex", Napi::Function::New<link_index>(env, "linkIndex"));
}

#include "socket_pair.h"

#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

#include "errors.h"

namespace {

// Without CAP_NET_ADMIN at most net.core.wmem_max. The kernel doubles it, for what it needs itself.
void widen(int fd, int bytes) {
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

// socketPair(bytes): two descriptors, each of which takes so many bytes that the other has not read.
Napi::Value socket_pair(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  int bytes = int(integer_argument(info, 0, "bytes", 1 << 30));
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) throw_errno(env, errno, "socketpair");
  Napi::Array pair = Napi::Array::New(env, 2);
  for (uint32_t i = 0; i < 2; i++) {
    widen(ends[i], bytes);
    pair.Set(i, Napi::Number::New(env, ends[i]));
  }
  return pair;
}

} // namespace

void init_socket_pair(Napi::Env env, Napi::Object exports) {
  exports.Set("socketPair", Napi::Function::New<socket_pair>(env, "socketPair"));
}

#include "file_lock.h"

#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <string>

#include "errors.h"

namespace {

// Open file description locks (fcntl(2)): unlike POSIX ones they end with the descriptor that took them, not
// with the first that the process closes on that file.
struct flock range_argument(const Napi::CallbackInfo &info, short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = off_t(integer_argument(info, 1, "offset", LLONG_MAX));
  lock.l_len = off_t(integer_argument(info, 2, "length", LLONG_MAX));
  return lock;
}

int fd_argument(const Napi::CallbackInfo &info) {
  return int(integer_argument(info, 0, "fd", INT_MAX));
}

// shareRange(fd, offset, length): takes a shared lock at once; false: somebody has an exclusive one.
Napi::Value share_range(const Napi::CallbackInfo &info) {
  struct flock lock = range_argument(info, F_RDLCK);
  bool taken = fcntl(fd_argument(info), F_OFD_SETLK, &lock) == 0;
  if (!taken && errno != EAGAIN && errno != EACCES) throw_errno(info.Env(), errno, "F_OFD_SETLK");
  return Napi::Boolean::New(info.Env(), taken);
}

// isRangeShared(fd, offset, length): somebody else has a lock of any kind there.
Napi::Value is_range_shared(const Napi::CallbackInfo &info) {
  struct flock lock = range_argument(info, F_WRLCK);
  if (fcntl(fd_argument(info), F_OFD_GETLK, &lock) < 0) throw_errno(info.Env(), errno, "F_OFD_GETLK");
  return Napi::Boolean::New(info.Env(), lock.l_type != F_UNLCK);
}

} // namespace

void init_file_lock(Napi::Env env, Napi::Object exports) {
  exports.Set("shareRange", Napi::Function::New<share_range>(env, "shareRange"));
  exports.Set("isRangeShared", Napi::Function::New<is_range_shared>(env, "isRangeShared"));
}

#include "file_io.h"

#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <string>

#include "errors.h"
#include "watcher.h"

namespace {

constexpr uint64_t kMaxThreads = 64;
// Of one request: more than a block device's front end can ask for.
constexpr uint32_t kMaxBuffers = 65536;

// A file that was opened with O_NONBLOCK, so that a FIFO would not hold us up: reads are to wait for the
// disk.
void clear_nonblock(const Napi::CallbackInfo &info) {
  int fd = int(integer_argument(info, 0, "fd", INT_MAX));
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) throw_errno(info.Env(), errno, "fcntl");
}

// Keeps the guest memory that a buffer lies in.
void hold(FileRequest &request, const iovec &buffer) {
  auto *start = static_cast<uint8_t *>(buffer.iov_base);
  for (const auto &guest : request.guests)
    if (start >= guest->base && start < guest->base + guest->bytes) return;
  if (auto guest = GuestMapping::around(start)) request.guests.push_back(std::move(guest));
}

} // namespace

void FileIo::init(Napi::Env env, Napi::Object exports) {
  exports.Set("FileIo", DefineClass(env, "FileIo",
                                    {
                                        InstanceMethod<&FileIo::transfer>("transfer"),
                                        InstanceMethod<&FileIo::call>("call"),
                                        InstanceMethod<&FileIo::flush>("flush"),
                                        InstanceMethod<&FileIo::reap>("reap"),
                                        InstanceMethod<&FileIo::close>("close"),
                                    }));
  exports.Set("clearNonblock", Napi::Function::New<clear_nonblock>(env, "clearNonblock"));
}

// new FileIo(threads, notifier, results); threads 0: io_uring
FileIo::FileIo(const Napi::CallbackInfo &info) : Napi::ObjectWrap<FileIo>(info), env_(info.Env()) {
  Napi::Env env = info.Env();
  auto threads = unsigned(integer_argument(info, 0, "threads", kMaxThreads));
  auto notifier = uint32_t(integer_argument(info, 1, "notifier", UINT32_MAX));
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
    throw_argument(env, "results must be a Float64Array");
  results_ = Napi::Persistent(info[2].As<Napi::Float64Array>());
  engine_ = threads > 0 ? make_thread_engine(threads) : make_uring_engine();
  if (!engine_) throw_errno(env, errno, threads > 0 ? "starting threads" : "io_uring_setup");
  watch_ = Watcher::the().add(engine_->descriptor(), notifier, Watcher::kOnce);
  if (!watch_) throw_errno(env, errno, "watching for completions");
  napi_add_env_cleanup_hook(env, on_environment_exit, this);
}

FileIo::~FileIo() {
  release();
}

FileEngine &FileIo::open(Napi::Env env) const {
  if (!engine_) throw_code(env, "EBADF", "file I/O is closed");
  return *engine_;
}

void FileIo::add(std::unique_ptr<FileRequest> request) {
  engine_->add(std::move(request));
  under_way_++;
}

// transfer(id, write, fd, position, buffers)
void FileIo::transfer(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  open(env);
  auto request = std::make_unique<FileRequest>();
  request->id = uint32_t(integer_argument(info, 0, "id", UINT32_MAX));
  request->op = integer_argument(info, 1, "write", 1) ? FileOp::writev : FileOp::readv;
  request->fd = int(integer_argument(info, 2, "fd", INT_MAX));
  request->offset = integer_argument(info, 3, "position", LLONG_MAX);
  if (!info[4].IsArray()) throw_argument(env, "buffers must be an array");
  auto buffers = info[4].As<Napi::Array>();
  uint32_t count = buffers.Length();
  if (count > kMaxBuffers) throw_argument(env, "at most " + std::to_string(kMaxBuffers) + " buffers at once");
  request->buffers.reserve(count);
  for (uint32_t i = 0; i < count; i++) {
    Napi::Value value = buffers[i];
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
      throw_argument(env, "buffers must be Uint8Arrays");
    auto bytes = value.As<Napi::Uint8Array>();
    // advance() ends a request with its last byte.
    if (bytes.ByteLength() == 0) continue;
    request->buffers.push_back({bytes.Data(), bytes.ByteLength()});
    hold(*request, request->buffers.back());
  }
  add(std::move(request));
}

// call(id, fd, mode, offset, length): fallocate; with the first two alone, fdatasync
void FileIo::call(const Napi::CallbackInfo &info) {
  open(info.Env());
  auto request = std::make_unique<FileRequest>();
  request->id = uint32_t(integer_argument(info, 0, "id", UINT32_MAX));
  request->fd = int(integer_argument(info, 1, "fd", INT_MAX));
  request->op = info.Length() > 2 ? FileOp::fallocate : FileOp::fdatasync;
  if (request->op == FileOp::fallocate) {
    request->mode = int(integer_argument(info, 2, "mode", INT_MAX));
    request->offset = integer_argument(info, 3, "offset", LLONG_MAX);
    request->length = integer_argument(info, 4, "length", LLONG_MAX);
  }
  add(std::move(request));
}

// Begins what was added. Returns as reap() does: much may have ended at once.
Napi::Value FileIo::flush(const Napi::CallbackInfo &info) {
  open(info.Env()).flush();
  return Napi::Number::New(info.Env(), report());
}

Napi::Value FileIo::reap(const Napi::CallbackInfo &info) {
  open(info.Env());
  armed_ = false;
  return Napi::Number::New(info.Env(), report());
}

// Puts id and result of what has ended into the array that JavaScript gave, and tells how many; all places
// taken: there may be more. The notifier comes once after that, if something is under way.
uint32_t FileIo::report() {
  std::vector<std::unique_ptr<FileRequest>> ended;
  engine_->reap(ended);
  for (auto &request : ended)
    ended_.push_back(std::move(request));
  Napi::Float64Array results = results_.Value();
  uint32_t count = 0;
  for (; count < results.ElementLength() / 2 && !ended_.empty(); count++) {
    results[2 * count] = ended_.front()->id;
    results[2 * count + 1] = double(ended_.front()->result);
    ended_.pop_front();
    under_way_--;
  }
  if (under_way_ > ended_.size() && !armed_) {
    Watcher::the().arm(watch_, engine_->descriptor());
    armed_ = true;
  }
  return count;
}

void FileIo::close(const Napi::CallbackInfo &) {
  release();
}

void FileIo::on_environment_exit(void *self) {
  static_cast<FileIo *>(self)->release();
}

// Waits for what the kernel is doing with buffers that are JavaScript's.
void FileIo::release() {
  if (!engine_) return;
  if (watch_) {
    napi_remove_env_cleanup_hook(env_, on_environment_exit, this);
    Watcher::the().remove(watch_, engine_->descriptor());
  }
  engine_.reset();
  ended_.clear();
}

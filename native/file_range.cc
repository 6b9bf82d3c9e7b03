#include "file_range.h"

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include "errors.h"

namespace {

constexpr size_t kPage = 4096;
constexpr uint64_t kMaxAligned = 64ull << 20;

struct Call {
  const char *name;
  int64_t (*run)(int fd, off_t offset, off_t length);
};

// ENXIO: nothing of the kind from there on. The position is nobody's: all of our reads and writes name
// theirs.
int64_t seek(int fd, off_t offset, int whence) {
  off_t found = lseek(fd, offset, whence);
  return found < 0 && errno == ENXIO ? INT64_MAX : found;
}

constexpr Call kCalls[] = {
    {"punch",
     [](int fd, off_t offset, off_t length) {
       return int64_t(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
     }},
    {"zero",
     [](int fd, off_t offset, off_t length) {
       return int64_t(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length));
     }},
    {"data", [](int fd, off_t offset, off_t) { return seek(fd, offset, SEEK_DATA); }},
    {"hole", [](int fd, off_t offset, off_t) { return seek(fd, offset, SEEK_HOLE); }},
    {"size", [](int fd, off_t, off_t) { return int64_t(lseek(fd, 0, SEEK_END)); }},
};

// One call on libuv's threads: all of them may wait for the disk.
class RangeWorker : public Napi::AsyncWorker {
public:
  RangeWorker(Napi::Env env, const Call &call, int fd, off_t offset, off_t length)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), call_(call), fd_(fd),
        offset_(offset), length_(length) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

protected:
  void Execute() override {
    do {
      result_ = call_.run(fd_, offset_, length_);
      error_ = result_ < 0 ? errno : 0;
    } while (error_ == EINTR);
  }

  void OnOK() override {
    if (error_ == 0)
      deferred_.Resolve(Napi::Number::New(Env(), double(result_)));
    else
      deferred_.Reject(errno_error(Env(), error_, call_.name).Value());
  }

private:
  const Napi::Promise::Deferred deferred_;
  const Call &call_;
  const int fd_;
  const off_t offset_, length_;
  int64_t result_ = 0;
  int error_ = 0;
};

// Where data are, many at once: a file may be full of holes, and a hop to another thread takes longer than
// lseek(2).
class DataWorker : public Napi::AsyncWorker {
public:
  DataWorker(Napi::Env env, int fd, off_t offset, off_t end, Napi::Float64Array ranges)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), fd_(fd), offset_(offset),
        end_(end), into_(ranges.Data()), room_(ranges.ElementLength()), ranges_(Napi::Persistent(ranges)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

protected:
  void Execute() override {
    for (off_t at = offset_; at < end_ && count_ + 2 <= room_;) {
      int64_t start = seek(fd_, at, SEEK_DATA);
      int64_t stop = start < 0 || start >= end_ ? start : seek(fd_, start, SEEK_HOLE);
      error_ = start < 0 || stop < 0 ? errno : 0;
      // It has become shorter meanwhile, if there is no end to it.
      if (error_ != 0 || start >= end_ || stop <= start || stop == INT64_MAX) return;
      into_[count_++] = double(start);
      into_[count_++] = double(stop);
      at = off_t(stop);
    }
  }

  void OnOK() override {
    if (error_ == 0)
      deferred_.Resolve(Napi::Number::New(Env(), double(count_)));
    else
      deferred_.Reject(errno_error(Env(), error_, "lseek").Value());
  }

private:
  const Napi::Promise::Deferred deferred_;
  const int fd_;
  const off_t offset_, end_;
  double *const into_;
  const size_t room_;
  const Napi::Reference<Napi::Float64Array> ranges_;
  size_t count_ = 0;
  int error_ = 0;
};

// dataRanges(fd, offset, end, ranges)
Napi::Value data_ranges(const Napi::CallbackInfo &info) {
  int fd = int(integer_argument(info, 0, "fd", INT_MAX));
  auto offset = off_t(integer_argument(info, 1, "offset", LLONG_MAX));
  auto end = off_t(integer_argument(info, 2, "end", LLONG_MAX));
  if (!info[3].IsTypedArray() || info[3].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
    throw_argument(info.Env(), "ranges must be a Float64Array");
  auto *worker = new DataWorker(info.Env(), fd, offset, end, info[3].As<Napi::Float64Array>());
  Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

// fileRange(call, fd, offset, length)
Napi::Value file_range(const Napi::CallbackInfo &info) {
  std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  for (const Call &call : kCalls) {
    if (name != call.name) continue;
    int fd = int(integer_argument(info, 1, "fd", INT_MAX));
    auto offset = off_t(integer_argument(info, 2, "offset", LLONG_MAX));
    auto length = off_t(integer_argument(info, 3, "length", LLONG_MAX));
    auto *worker = new RangeWorker(info.Env(), call, fd, offset, length);
    Napi::Promise promise = worker->promise();
    worker->Queue();
    return promise;
  }
  throw_argument(info.Env(), "unknown call '" + name + "'");
}

// alignedMemory(bytes): zeros that begin at a page, for O_DIRECT.
Napi::Value aligned_memory(const Napi::CallbackInfo &info) {
  uint64_t bytes = integer_argument(info, 0, "bytes", kMaxAligned);
  size_t size = (bytes + kPage - 1) / kPage * kPage;
  void *memory = size == 0 ? nullptr : aligned_alloc(kPage, size);
  if (!memory) throw_errno(info.Env(), size == 0 ? EINVAL : ENOMEM, "memory for O_DIRECT");
  memset(memory, 0, size);
  return Napi::ArrayBuffer::New(info.Env(), memory, bytes, [](Napi::BasicEnv, void *p) { free(p); });
}

} // namespace

void init_file_range(Napi::Env env, Napi::Object exports) {
  exports.Set("fileRange", Napi::Function::New<file_range>(env, "fileRange"));
  exports.Set("dataRanges", Napi::Function::New<data_ranges>(env, "dataRanges"));
  exports.Set("alignedMemory", Napi::Function::New<aligned_memory>(env, "alignedMemory"));
}

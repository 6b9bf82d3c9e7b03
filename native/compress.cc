#include "compress.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <zlib.h>
#include <zstd.h>

#include "errors.h"

namespace {

constexpr size_t kMaxPiece = 2 << 20;
// What qcow2's readers allow for (QEMU: qcow2_zlib_decompress() in block/qcow2-threads.c): a window of 4 KiB,
// and no header.
constexpr int kWindowBits = -12;
constexpr int kMemoryLevel = 9;

struct Piece {
  const uint8_t *from;
  size_t size;
  uint8_t *into;
  // One byte less than the piece: what gets no smaller is not worth it.
  size_t room;
};

// What it takes for many pieces; made once for each thread.
class Deflater {
public:
  ~Deflater() {
    if (ready_) deflateEnd(&stream_);
  }

  // The length, 0: it does not fit, -1: out of memory.
  int64_t run(const Piece &piece) {
    if (!ready_ && !start()) return -1;
    deflateReset(&stream_);
    stream_.next_in = const_cast<uint8_t *>(piece.from);
    stream_.avail_in = uInt(piece.size);
    stream_.next_out = piece.into;
    stream_.avail_out = uInt(piece.room);
    return deflate(&stream_, Z_FINISH) == Z_STREAM_END ? int64_t(piece.room - stream_.avail_out) : 0;
  }

private:
  bool start() {
    stream_ = {};
    ready_ = deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kWindowBits, kMemoryLevel,
                          Z_DEFAULT_STRATEGY) == Z_OK;
    return ready_;
  }

  z_stream stream_;
  bool ready_ = false;
};

int64_t run_deflate(const Piece &piece) {
  thread_local Deflater deflater;
  return deflater.run(piece);
}

int64_t run_zstd(const Piece &piece) {
  thread_local std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx *)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  if (!context) return -1;
  size_t size =
      ZSTD_compressCCtx(context.get(), piece.into, piece.room, piece.from, piece.size, ZSTD_CLEVEL_DEFAULT);
  return ZSTD_isError(size) ? 0 : int64_t(size);
}

struct Format {
  const char *name;
  int64_t (*run)(const Piece &piece);
};

constexpr Format kFormats[] = {{"deflate", run_deflate}, {"zstd", run_zstd}};

template <typename T> T typed(const Napi::CallbackInfo &info, size_t index, napi_typedarray_type type) {
  if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != type)
    throw_argument(info.Env(), "argument " + std::to_string(index) + " is an array of another type");
  return info[index].As<T>();
}

// compressPieces(format, data, pieceBytes, into, sizes), on libuv's threads. Nobody may touch the buffers
// meanwhile.
class CompressWorker : public Napi::AsyncWorker {
public:
  CompressWorker(const Napi::CallbackInfo &info, const Format &format)
      : Napi::AsyncWorker(info.Env()), deferred_(Napi::Promise::Deferred::New(info.Env())), format_(format) {
    auto data = typed<Napi::Uint8Array>(info, 1, napi_uint8_array);
    piece_ = integer_argument(info, 2, "pieceBytes", kMaxPiece);
    auto into = typed<Napi::Uint8Array>(info, 3, napi_uint8_array);
    auto sizes = typed<Napi::Uint32Array>(info, 4, napi_uint32_array);
    size_t count = piece_ > 1 ? (data.ElementLength() + piece_ - 1) / piece_ : 0;
    if (count == 0 || into.ElementLength() < data.ElementLength() || sizes.ElementLength() < count)
      throw_argument(info.Env(), "there is no room for what is compressed");
    from_ = data.Data();
    bytes_ = data.ElementLength();
    into_ = into.Data();
    sizes_ = sizes.Data();
    buffers_[0] = Napi::Persistent(data.As<Napi::Object>());
    buffers_[1] = Napi::Persistent(into.As<Napi::Object>());
    buffers_[2] = Napi::Persistent(sizes.As<Napi::Object>());
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

protected:
  void Execute() override {
    for (size_t at = 0; at < bytes_ && enough_; at += piece_)
      sizes_[at / piece_] = run(at, std::min(piece_, bytes_ - at));
  }

  void OnOK() override {
    if (enough_)
      deferred_.Resolve(Env().Undefined());
    else
      deferred_.Reject(errno_error(Env(), ENOMEM, format_.name).Value());
  }

private:
  uint32_t run(size_t at, size_t size) {
    int64_t compressed = format_.run({from_ + at, size, into_ + at, size - 1});
    if (compressed < 0) enough_ = false;
    return compressed > 0 ? uint32_t(compressed) : uint32_t(size);
  }

  const Napi::Promise::Deferred deferred_;
  const Format &format_;
  size_t piece_, bytes_;
  const uint8_t *from_;
  uint8_t *into_;
  uint32_t *sizes_;
  bool enough_ = true;
  Napi::ObjectReference buffers_[3];
};

Napi::Value compress_pieces(const Napi::CallbackInfo &info) {
  std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  for (const Format &format : kFormats) {
    if (name != format.name) continue;
    auto worker = std::make_unique<CompressWorker>(info, format);
    Napi::Promise promise = worker->promise();
    worker.release()->Queue();
    return promise;
  }
  throw_argument(info.Env(), "unknown compression format '" + name + "'");
}

} // namespace

void init_compress(Napi::Env env, Napi::Object exports) {
  exports.Set("compressPieces", Napi::Function::New<compress_pieces>(env, "compressPieces"));
}

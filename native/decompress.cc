#include "decompress.h"

#include <cerrno>
#include <cstdlib>
#include <string>

#include "errors.h"
#include "inflate_stream.h"

namespace {

// V8's own bound for a Buffer on 64-bit machines is above this; no kernel or initrd comes near.
constexpr uint64_t kMaxOutput = 2ull << 30;

struct Format {
  const char *name;
  Outcome (*run)(Bytes input, Output &output);
};

constexpr Format kFormats[] = {
    {"gzip", inflate_gzip}, {"bzip2", inflate_bzip2},         {"lzma", inflate_lzma},   {"xz", inflate_xz},
    {"zstd", inflate_zstd}, {"lz4-block", inflate_lz4_block}, {"lzo1x", inflate_lzo1x},
};

// The arguments of both functions: format, data, maxBytes.
struct Job {
  explicit Job(const Napi::CallbackInfo &info) : output(integer_argument(info, 2, "maxBytes", kMaxOutput)) {
    std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
    for (const Format &candidate : kFormats)
      if (name == candidate.name) format = &candidate;
    if (!format) throw_argument(info.Env(), "unknown compression format '" + name + "'");
    if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
      throw_argument(info.Env(), "data must be a Uint8Array");
    data = Napi::Persistent(info[1].As<Napi::Uint8Array>());
    input = {data.Value().Data(), data.Value().ByteLength()};
  }

  // On any thread.
  void run() { outcome = format->run(input, output); }

  Napi::Error error(Napi::Env env) const {
    std::string name = format->name;
    if (outcome == Outcome::no_memory) return errno_error(env, ENOMEM, name);
    if (outcome == Outcome::damaged)
      return code_error(env, "EBADMSG", name + ": the compressed data is damaged or truncated");
    if (outcome == Outcome::too_hungry)
      return code_error(env, "E2BIG", name + ": needs a larger dictionary than is allowed");
    return code_error(env, "E2BIG", name + ": would exceed " + std::to_string(output.max()) + " bytes");
  }

  Napi::Value result(Napi::Env env) {
    size_t size = output.size();
    return Napi::Buffer<uint8_t>::NewOrCopy(env, output.release(), size,
                                            [](Napi::BasicEnv, uint8_t *p) { free(p); });
  }

  const Format *format = nullptr;
  Napi::Reference<Napi::Uint8Array> data;
  Bytes input = {};
  Output output;
  Outcome outcome = Outcome::done;
};

Napi::Value decompress(const Napi::CallbackInfo &info) {
  Job job(info);
  job.run();
  if (job.outcome != Outcome::done) throw job.error(info.Env());
  return job.result(info.Env());
}

class DecompressWorker : public Napi::AsyncWorker {
public:
  explicit DecompressWorker(const Napi::CallbackInfo &info)
      : Napi::AsyncWorker(info.Env()), deferred_(Napi::Promise::Deferred::New(info.Env())), job_(info) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

protected:
  void Execute() override { job_.run(); }

  void OnOK() override {
    if (job_.outcome == Outcome::done)
      deferred_.Resolve(job_.result(Env()));
    else
      deferred_.Reject(job_.error(Env()).Value());
  }

private:
  const Napi::Promise::Deferred deferred_;
  Job job_;
};

// On libuv's threads. Nobody may change the data meanwhile.
Napi::Value decompress_elsewhere(const Napi::CallbackInfo &info) {
  auto *worker = new DecompressWorker(info);
  Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

} // namespace

void init_decompress(Napi::Env env, Napi::Object exports) {
  exports.Set("decompress", Napi::Function::New<decompress>(env, "decompress"));
  exports.Set("decompressElsewhere", Napi::Function::New<decompress_elsewhere>(env, "decompressElsewhere"));
}

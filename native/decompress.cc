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

Napi::Value decompress(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  const Format *format = nullptr;
  for (const Format &candidate : kFormats)
    if (name == candidate.name) format = &candidate;
  if (!format) throw_argument(env, "unknown compression format '" + name + "'");
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
    throw_argument(env, "data must be a Uint8Array");
  auto data = info[1].As<Napi::Uint8Array>();
  uint64_t max_bytes = integer_argument(info, 2, "maxBytes", kMaxOutput);

  Output output(max_bytes);
  switch (format->run({data.Data(), data.ByteLength()}, output)) {
  case Outcome::done:
    break;
  case Outcome::damaged:
    throw_code(env, "EBADMSG", name + ": the compressed data is damaged or truncated");
  case Outcome::too_big:
    throw_code(env, "E2BIG", name + ": would exceed " + std::to_string(max_bytes) + " bytes");
  case Outcome::too_hungry:
    throw_code(env, "E2BIG", name + ": needs a larger dictionary than is allowed");
  case Outcome::no_memory:
    throw_errno(env, ENOMEM, name);
  }
  size_t size = output.size();
  uint8_t *bytes = output.release();
  return Napi::Buffer<uint8_t>::NewOrCopy(env, bytes, size, [](Napi::BasicEnv, uint8_t *p) { free(p); });
}

} // namespace

void init_decompress(Napi::Env env, Napi::Object exports) {
  exports.Set("decompress", Napi::Function::New<decompress>(env, "decompress"));
}

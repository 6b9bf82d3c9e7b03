#include "inflate_stream.h"

#include <algorithm>
#include <bzlib.h>
#include <climits>
#include <cstdlib>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

namespace {

// What a decoder may allocate for itself: Linux's kernels ask for dictionaries of up to 128 MiB.
constexpr uint64_t kDecoderMemory = 256ull << 20;
constexpr size_t kFirstCapacity = 256 << 10;
// zlib and bzip2 count in unsigned int.
constexpr size_t kChunk = 1u << 30;

// One step of a decoder: what became of it after it ate and wrote what it could.
enum class Step { more, end, damaged, too_hungry, no_memory };

// Runs a decoder's steps until its end, the bound, or until it makes no progress for want of input.
template <typename StepFunction> Outcome drain(Output &output, StepFunction step) {
  for (;;) {
    if (!output.grow()) return Outcome::no_memory;
    size_t consumed = 0, produced = 0;
    Step result = step(consumed, produced);
    output.produced(produced);
    if (output.exceeded()) return Outcome::too_big;
    if (result == Step::end) return Outcome::done;
    if (result == Step::no_memory) return Outcome::no_memory;
    if (result == Step::too_hungry) return Outcome::too_hungry;
    if (result == Step::damaged || (consumed == 0 && produced == 0)) return Outcome::damaged;
  }
}

Outcome inflate_with_liblzma(lzma_ret opened, lzma_stream &stream, Bytes input, Output &output) {
  if (opened != LZMA_OK) return Outcome::no_memory;
  stream.next_in = input.data;
  stream.avail_in = input.size;
  Outcome outcome = drain(output, [&](size_t &consumed, size_t &produced) {
    stream.next_out = output.tail();
    stream.avail_out = output.room();
    size_t in = stream.avail_in, out = stream.avail_out;
    lzma_ret result = lzma_code(&stream, LZMA_RUN);
    consumed = in - stream.avail_in;
    produced = out - stream.avail_out;
    if (result == LZMA_STREAM_END) return Step::end;
    if (result == LZMA_OK || result == LZMA_BUF_ERROR) return Step::more;
    if (result == LZMA_MEMLIMIT_ERROR) return Step::too_hungry;
    return result == LZMA_MEM_ERROR ? Step::no_memory : Step::damaged;
  });
  lzma_end(&stream);
  return outcome;
}

} // namespace

Output::~Output() {
  free(data_);
}

bool Output::resize(size_t capacity) {
  auto *moved = static_cast<uint8_t *>(realloc(data_, capacity));
  if (!moved) return false;
  data_ = moved;
  capacity_ = capacity;
  return true;
}

bool Output::grow() {
  if (room() > 0) return true;
  size_t wanted = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
  return resize(std::min<uint64_t>(wanted, max_ + 1));
}

bool Output::reserve_all(size_t extra) {
  return resize(max_ + extra);
}

uint8_t *Output::release() {
  resize(std::max<size_t>(size_, 1));
  uint8_t *data = data_;
  data_ = nullptr;
  size_ = capacity_ = 0;
  return data;
}

Outcome inflate_gzip(Bytes input, Output &output) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return Outcome::no_memory;
  size_t left = input.size;
  stream.next_in = const_cast<uint8_t *>(input.data);
  Outcome outcome = drain(output, [&](size_t &consumed, size_t &produced) {
    uInt in = uInt(std::min(left, kChunk)), out = uInt(std::min(output.room(), kChunk));
    stream.avail_in = in;
    stream.next_out = output.tail();
    stream.avail_out = out;
    int result = inflate(&stream, Z_NO_FLUSH);
    consumed = in - stream.avail_in;
    produced = out - stream.avail_out;
    left -= consumed;
    if (result == Z_STREAM_END) return Step::end;
    if (result == Z_OK || result == Z_BUF_ERROR) return Step::more;
    return result == Z_MEM_ERROR ? Step::no_memory : Step::damaged;
  });
  inflateEnd(&stream);
  return outcome;
}

Outcome inflate_bzip2(Bytes input, Output &output) {
  bz_stream stream{};
  if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK) return Outcome::no_memory;
  size_t left = input.size;
  stream.next_in = reinterpret_cast<char *>(const_cast<uint8_t *>(input.data));
  Outcome outcome = drain(output, [&](size_t &consumed, size_t &produced) {
    unsigned in = unsigned(std::min(left, kChunk)), out = unsigned(std::min(output.room(), kChunk));
    stream.avail_in = in;
    stream.next_out = reinterpret_cast<char *>(output.tail());
    stream.avail_out = out;
    int result = BZ2_bzDecompress(&stream);
    consumed = in - stream.avail_in;
    produced = out - stream.avail_out;
    left -= consumed;
    if (result == BZ_STREAM_END) return Step::end;
    if (result == BZ_OK) return Step::more;
    return result == BZ_MEM_ERROR ? Step::no_memory : Step::damaged;
  });
  BZ2_bzDecompressEnd(&stream);
  return outcome;
}

Outcome inflate_lzma(Bytes input, Output &output) {
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_ret opened = lzma_alone_decoder(&stream, kDecoderMemory);
  return inflate_with_liblzma(opened, stream, input, output);
}

Outcome inflate_xz(Bytes input, Output &output) {
  lzma_stream stream = LZMA_STREAM_INIT;
  lzma_ret opened = lzma_stream_decoder(&stream, kDecoderMemory, 0);
  return inflate_with_liblzma(opened, stream, input, output);
}

// The library's default window limit is 128 MiB, which is what Linux's largest level asks for.
Outcome inflate_zstd(Bytes input, Output &output) {
  ZSTD_DStream *stream = ZSTD_createDStream();
  if (!stream) return Outcome::no_memory;
  ZSTD_inBuffer in = {input.data, input.size, 0};
  Outcome outcome = drain(output, [&](size_t &consumed, size_t &produced) {
    ZSTD_outBuffer out = {output.tail(), output.room(), 0};
    size_t before = in.pos;
    size_t result = ZSTD_decompressStream(stream, &out, &in);
    consumed = in.pos - before;
    produced = out.pos;
    if (!ZSTD_isError(result)) return result == 0 ? Step::end : Step::more;
    ZSTD_ErrorCode error = ZSTD_getErrorCode(result);
    if (error == ZSTD_error_frameParameter_windowTooLarge) return Step::too_hungry;
    return error == ZSTD_error_memory_allocation ? Step::no_memory : Step::damaged;
  });
  ZSTD_freeDStream(stream);
  return outcome;
}

Outcome inflate_lz4_block(Bytes input, Output &output) {
  if (input.size > LZ4_MAX_INPUT_SIZE || output.max() >= INT_MAX) return Outcome::too_big;
  if (!output.reserve_all(1)) return Outcome::no_memory;
  const char *source = reinterpret_cast<const char *>(input.data);
  char *target = reinterpret_cast<char *>(output.tail());
  int produced = LZ4_decompress_safe(source, target, int(input.size), int(output.max()));
  if (produced >= 0) {
    output.produced(size_t(produced));
    return Outcome::done;
  }
  // The library has one answer for damage and for want of room. Asked for a part, it tells: only a good block
  // fills one byte more than the bound.
  int limit = int(output.max()) + 1;
  produced = LZ4_decompress_safe_partial(source, target, int(input.size), limit, limit);
  return produced == limit ? Outcome::too_big : Outcome::damaged;
}

Outcome inflate_lzo1x(Bytes input, Output &output) {
  static const bool ready = lzo_init() == LZO_E_OK;
  if (!ready) return Outcome::no_memory;
  if (!output.reserve_all(1)) return Outcome::no_memory;
  lzo_uint produced = output.max();
  int result = lzo1x_decompress_safe(input.data, input.size, output.tail(), &produced, nullptr);
  if (result == LZO_E_OUTPUT_OVERRUN) return Outcome::too_big;
  if (result != LZO_E_OK) return Outcome::damaged;
  output.produced(produced);
  return Outcome::done;
}

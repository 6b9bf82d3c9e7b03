// The decompressors behind decompress.cc: plain C++, no JavaScript.
#pragma once

#include <cstddef>
#include <cstdint>

struct Bytes {
  const uint8_t *data;
  size_t size;
};

// too_hungry: the stream asks for a dictionary that we do not give; no_memory: the host is out of it.
enum class Outcome { done, damaged, too_big, too_hungry, no_memory };

// A growing buffer with a bound. Decoders write at `tail`, up to `room` bytes, and say how many with
// `produced`. One byte beyond the bound may be produced: that is how a stream that would exceed it shows
// itself.
class Output {
public:
  explicit Output(uint64_t max_bytes) : max_(max_bytes) {}
  ~Output();
  Output(const Output &) = delete;
  Output &operator=(const Output &) = delete;

  // Makes room for at least one more byte. False: out of memory.
  bool grow();
  // Makes room for the bound and `extra` bytes at once, for decoders of raw blocks.
  bool reserve_all(size_t extra);
  uint8_t *tail() { return data_ + size_; }
  size_t room() const { return capacity_ - size_; }
  void produced(size_t bytes) { size_ += bytes; }
  bool exceeded() const { return size_ > max_; }

  uint64_t max() const { return max_; }
  size_t size() const { return size_; }
  // The caller frees it with free(); never nullptr after a success, and no larger than needed.
  uint8_t *release();

private:
  bool resize(size_t capacity);

  const uint64_t max_;
  uint8_t *data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

Outcome inflate_gzip(Bytes input, Output &output);
Outcome inflate_bzip2(Bytes input, Output &output);
Outcome inflate_lzma(Bytes input, Output &output);
Outcome inflate_xz(Bytes input, Output &output);
Outcome inflate_zstd(Bytes input, Output &output);
Outcome inflate_lz4_block(Bytes input, Output &output);
Outcome inflate_lzo1x(Bytes input, Output &output);

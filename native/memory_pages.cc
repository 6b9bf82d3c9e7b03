#include "memory_pages.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <unistd.h>
#include <zlib.h>

namespace {

constexpr uint64_t kPage = 4096;

bool is_zero(const uint8_t *bytes, uint64_t length = kPage) {
  return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

// 0: the file ends there.
ssize_t read_some(int fd, uint8_t *bytes, uint64_t length, uint64_t position) {
  for (;;) {
    ssize_t count = pread(fd, bytes, length, off_t(position));
    if (count >= 0 || errno != EINTR) return count;
  }
}

bool write_all(int fd, const uint8_t *bytes, uint64_t length, uint64_t position) {
  while (length > 0) {
    ssize_t written = pwrite(fd, bytes, length, off_t(position));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    length -= uint64_t(written);
    position += uint64_t(written);
  }
  return true;
}

} // namespace

uint32_t sum_pages(uint32_t sum, const PageRun &run) {
  for (uint64_t at = 0; at < run.length; at += kPage) {
    if (is_zero(run.bytes + at)) continue;
    auto number = uint32_t((run.offset + at) / kPage);
    uint8_t before[4];
    memcpy(before, &number, sizeof before);
    sum = uint32_t(crc32_z(sum, before, sizeof before));
    sum = uint32_t(crc32_z(sum, run.bytes + at, kPage));
  }
  return sum;
}

bool write_pages(const PageRun &run, int fd, uint64_t position) {
  for (uint64_t at = 0; at < run.length;) {
    uint64_t end = at;
    while (end < run.length && !is_zero(run.bytes + end))
      end += kPage;
    if (end > at && !write_all(fd, run.bytes + at, end - at, position + run.offset + at)) return false;
    at = end + kPage;
  }
  return true;
}

void copy_pages(const uint8_t *from, uint8_t *to, uint64_t length) {
  for (uint64_t at = 0; at < length; at += kPage) {
    uint64_t piece = std::min(kPage, length - at);
    if (!is_zero(from + at, piece)) memcpy(to + at, from + at, piece);
  }
}

int64_t read_pages(int fd, uint64_t position, uint8_t *to, uint64_t length) {
  // Stays in the CPU's cache between reading and copying.
  constexpr uint64_t kChunk = 256 << 10;
  std::unique_ptr<uint8_t[]> chunk(new (std::nothrow) uint8_t[kChunk]);
  if (!chunk) {
    errno = ENOMEM;
    return -1;
  }
  uint64_t done = 0;
  while (done < length) {
    uint64_t wanted = std::min(kChunk, length - done), have = 0;
    while (have < wanted) {
      ssize_t count = read_some(fd, chunk.get() + have, wanted - have, position + done + have);
      if (count < 0) return -1;
      if (count == 0) return int64_t(done + have);
      have += uint64_t(count);
    }
    copy_pages(chunk.get(), to + done, have);
    done += have;
  }
  return int64_t(done);
}

#include "memory_pages.h"

#include <cerrno>
#include <cstring>
#include <unistd.h>
#include <zlib.h>

namespace {

constexpr uint64_t kPage = 4096;

bool is_zero(const uint8_t *page) {
  return page[0] == 0 && memcmp(page, page + 1, kPage - 1) == 0;
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

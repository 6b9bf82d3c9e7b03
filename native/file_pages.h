// Pages that come from a file when they are first touched, and what becomes of them when the file breaks.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

// A private mapping of a file: what is written to it stays in this process. Where the file cannot be read,
// because it was truncated meanwhile or its disk fails, the process would die of SIGBUS; instead, that page
// and all behind it become zeros, and the mapping counts as damaged.
class FilePages {
public:
  // Returns nullptr with errno set, and the failed call's name in *failed. The descriptor is duplicated.
  static FilePages *map(int fd, uint64_t offset, uint64_t bytes, const char **failed);
  ~FilePages();
  FilePages(const FilePages &) = delete;
  FilePages &operator=(const FilePages &) = delete;

  uint8_t *base() const { return base_; }
  // Any thread. Found out by touching a page, or by the file being too short now.
  bool is_damaged() const;
  // The pages there become zeros that take no memory; false: nothing was changed. Whole pages. Any thread.
  bool discard(uint64_t offset, uint64_t length);

private:
  FilePages(int fd, uint64_t end, int slot, uint8_t *base, uint64_t bytes);

  const int fd_;
  const uint64_t end_; // of what is mapped, in the file
  const int slot_;
  uint8_t *const base_;
  const uint64_t bytes_;
  std::mutex discard_lock_;
  std::vector<bool> discarded_; // by page; empty: none
  int pieces_ = 0;
};

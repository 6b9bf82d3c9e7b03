// One request to a file, until all of it is done: a system call may do less than it was asked to.
#pragma once

#include <cstdint>
#include <memory>
#include <sys/uio.h>
#include <vector>

#include "guest_memory.h"

enum class FileOp : uint8_t { readv, writev, fdatasync, fallocate };

struct FileRequest {
  uint32_t id = 0;
  FileOp op = FileOp::readv;
  int fd = -1;
  int mode = 0; // of fallocate
  uint64_t offset = 0;
  uint64_t length = 0; // of fallocate
  std::vector<iovec> buffers;
  // Guest memory stays mapped as long as the kernel may write to it, whoever closes it meanwhile. Other
  // buffers are JavaScript's, which holds them until it has the result.
  std::vector<std::shared_ptr<GuestMapping>> guests;

  int64_t result = 0; // bytes, or -errno

  // What is left to be transferred, in one call.
  const iovec *rest() const { return buffers.data() + first_; }
  unsigned rest_count() const;
  uint64_t rest_bytes() const;
  uint64_t rest_offset() const { return offset + done_; }

  // The kernel's answer, as bytes or -errno. Returns whether that was the end of it; if not, the rest is to
  // be asked for.
  bool advance(int64_t answer);

private:
  bool end(int64_t with);

  size_t first_ = 0;
  uint64_t done_ = 0;
};

// Runs requests for one thread.
class FileEngine {
public:
  // Waits for what is under way; what was not begun is dropped.
  virtual ~FileEngine() = default;

  virtual void add(std::unique_ptr<FileRequest> request) = 0;
  // Begins what was added.
  virtual void flush() = 0;
  // Appends what has ended.
  virtual void reap(std::vector<std::unique_ptr<FileRequest>> &ended) = 0;
  // Can be read when there is something to reap.
  virtual int descriptor() const = 0;
};

// Return nullptr with errno.
std::unique_ptr<FileEngine> make_uring_engine();
std::unique_ptr<FileEngine> make_thread_engine(unsigned threads);

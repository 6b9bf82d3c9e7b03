#include "file_request.h"

#include <algorithm>
#include <cerrno>
#include <climits>

unsigned FileRequest::rest_count() const {
  return unsigned(std::min<size_t>(buffers.size() - first_, IOV_MAX));
}

uint64_t FileRequest::rest_bytes() const {
  uint64_t bytes = 0;
  for (unsigned i = 0; i < rest_count(); i++)
    bytes += rest()[i].iov_len;
  return bytes;
}

bool FileRequest::end(int64_t with) {
  result = with;
  guests.clear();
  return true;
}

bool FileRequest::advance(int64_t answer) {
  if (answer == -EINTR) return false;
  if (answer < 0) return end(answer);
  if (op != FileOp::readv && op != FileOp::writev) return end(0);
  // The end of the file; a write has none.
  if (answer == 0 && rest_count() > 0) return end(op == FileOp::readv ? int64_t(done_) : -EIO);
  done_ += uint64_t(answer);
  for (uint64_t left = uint64_t(answer); left > 0;) {
    iovec &buffer = buffers[first_];
    size_t used = std::min<uint64_t>(left, buffer.iov_len);
    buffer.iov_base = static_cast<uint8_t *>(buffer.iov_base) + used;
    buffer.iov_len -= used;
    left -= used;
    if (buffer.iov_len == 0) first_++;
  }
  return first_ < buffers.size() ? false : end(int64_t(done_));
}

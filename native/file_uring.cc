// Requests by io_uring (io_uring_setup(2)), without a library: two rings, two system calls.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <iterator>
#include <linux/io_uring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file_request.h"

namespace {

constexpr unsigned kSubmissions = 256;
// As many as are under way at once: so that the completion queue never overflows.
constexpr unsigned kCompletions = 4096;
// Linux 5.7 has this feature, and by then every operation below.
constexpr unsigned kFeatures = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL;
// Linux 6.1: the thread is not interrupted for each completion, but collects them when it next asks.
constexpr unsigned kDeferred =
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
// The kernel's threads copy a read of so much from the page cache, while ours has something else to do.
constexpr uint64_t kCopiedElsewhere = 512 * 1024;
// A request that is alone is waited for so long: most file systems have the kernel's threads write to the
// page cache, which takes less, and hearing of it by the descriptor takes two more threads' turns.
constexpr long kPatienceNs = 50'000;

// Returns a descriptor; -1: errno.
int setup(unsigned flags, io_uring_params &params) {
  params = {};
  params.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | flags;
  params.cq_entries = kCompletions;
  return int(syscall(SYS_io_uring_setup, kSubmissions, &params));
}

int enter(int fd, unsigned submit, unsigned wait_for) {
  return int(syscall(SYS_io_uring_enter, fd, submit, wait_for, IORING_ENTER_GETEVENTS, nullptr, 0));
}

// Until something has ended, or for a moment.
void await_briefly(int fd) {
  __kernel_timespec timeout = {0, kPatienceNs};
  io_uring_getevents_arg argument = {};
  argument.ts = reinterpret_cast<uint64_t>(&timeout);
  unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  syscall(SYS_io_uring_enter, fd, 0, 1, flags, &argument, sizeof argument);
}

class UringEngine : public FileEngine {
public:
  ~UringEngine() override {
    std::vector<std::unique_ptr<FileRequest>> ended;
    if (under_way_ > 0) withdraw(ECANCELED);
    for (waiting_.clear(); under_way_ > 0; waiting_.clear()) {
      enter(fd_, 0, 1);
      take(ended);
    }
    if (entries_ != MAP_FAILED) munmap(entries_, entries_bytes_);
    if (rings_ != MAP_FAILED) munmap(rings_, rings_bytes_);
    if (event_ >= 0) ::close(event_);
    if (fd_ >= 0) ::close(fd_);
  }

  // Returns false with errno.
  bool open() {
    io_uring_params params;
    fd_ = setup(kDeferred, params);
    if (fd_ < 0 && errno == EINVAL) fd_ = setup(0, params);
    if (fd_ < 0) return false;
    if ((params.features & kFeatures) != kFeatures) {
      errno = ENOSYS;
      return false;
    }
    waits_ = params.features & IORING_FEAT_EXT_ARG;
    // Completions that wait to be collected do not wake who polls the ring itself.
    event_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event_ < 0 || syscall(SYS_io_uring_register, fd_, IORING_REGISTER_EVENTFD, &event_, 1) < 0)
      return false;
    return map(params);
  }

  void add(std::unique_ptr<FileRequest> request) override { waiting_.push_back(std::move(request)); }

  // What the host's caches have is done when this returns.
  void flush() override {
    if (submit() && under_way_ == 1 && waits_ && load(cq_tail_) == *cq_head_) await_briefly(fd_);
  }

  void reap(std::vector<std::unique_ptr<FileRequest>> &ended) override {
    take(ended);
    // What was only partly done goes on. Some may be done at once again.
    while (!waiting_.empty() && submit())
      take(ended);
    std::move(refused_.begin(), refused_.end(), std::back_inserter(ended));
    refused_.clear();
  }

  int descriptor() const override { return event_; }

private:
  static unsigned load(const unsigned *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
  static void store(unsigned *at, unsigned value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }

  bool map(const io_uring_params &params) {
    size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
    rings_bytes_ = std::max(sq_bytes, cq_bytes);
    entries_bytes_ = params.sq_entries * sizeof(io_uring_sqe);
    int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    rings_ = mmap(nullptr, rings_bytes_, prot, flags, fd_, IORING_OFF_SQ_RING);
    entries_ = mmap(nullptr, entries_bytes_, prot, flags, fd_, IORING_OFF_SQES);
    if (rings_ == MAP_FAILED || entries_ == MAP_FAILED) return false;
    auto *base = static_cast<uint8_t *>(rings_);
    auto word = [base](unsigned offset) { return reinterpret_cast<unsigned *>(base + offset); };
    sq_head_ = word(params.sq_off.head);
    sq_tail_ = word(params.sq_off.tail);
    sq_flags_ = word(params.sq_off.flags);
    sq_array_ = word(params.sq_off.array);
    sq_entries_ = params.sq_entries;
    cq_head_ = word(params.cq_off.head);
    cq_tail_ = word(params.cq_off.tail);
    cq_entries_ = params.cq_entries;
    completions_ = reinterpret_cast<io_uring_cqe *>(base + params.cq_off.cqes);
    return true;
  }

  // Returns whether any was begun. A host that is out of memory takes the rest later, with what is under way
  // to remind us; or it has refused them.
  bool submit() {
    bool begun = false;
    for (;;) {
      fill();
      unsigned count = *sq_tail_ - load(sq_head_);
      if (count == 0) return begun;
      int taken = enter(fd_, count, 0);
      if (taken > 0) {
        begun = true;
        continue;
      }
      if (taken < 0 && errno == EINTR) continue;
      if (under_way_ == count) withdraw(taken < 0 ? errno : EAGAIN);
      return begun;
    }
  }

  void fill() {
    unsigned tail = *sq_tail_;
    while (!waiting_.empty() && under_way_ < cq_entries_ && tail - load(sq_head_) < sq_entries_) {
      unsigned slot = tail & (sq_entries_ - 1);
      prepare(static_cast<io_uring_sqe *>(entries_)[slot], *waiting_.front());
      sq_array_[slot] = slot;
      // The ring's from here: its address comes back with the completion.
      waiting_.front().release();
      waiting_.pop_front();
      under_way_++;
      tail++;
    }
    store(sq_tail_, tail);
  }

  // What the kernel has not begun, which it does not look at unless it is asked to.
  void withdraw(int error) {
    unsigned head = load(sq_head_), tail = *sq_tail_;
    for (unsigned at = head; at != tail; at++) {
      uint64_t address = static_cast<io_uring_sqe *>(entries_)[at & (sq_entries_ - 1)].user_data;
      refused_.emplace_back(reinterpret_cast<FileRequest *>(address));
      refused_.back()->result = -error;
      under_way_--;
    }
    store(sq_tail_, head);
  }

  static void prepare(io_uring_sqe &entry, FileRequest &request) {
    memset(&entry, 0, sizeof entry);
    entry.fd = request.fd;
    entry.user_data = reinterpret_cast<uint64_t>(&request);
    switch (request.op) {
    case FileOp::readv:
    case FileOp::writev:
      entry.opcode = request.op == FileOp::readv ? IORING_OP_READV : IORING_OP_WRITEV;
      entry.addr = reinterpret_cast<uint64_t>(request.rest());
      entry.len = request.rest_count();
      entry.off = request.rest_offset();
      if (request.op == FileOp::readv && request.rest_bytes() >= kCopiedElsewhere) entry.flags = IOSQE_ASYNC;
      return;
    case FileOp::fdatasync:
      entry.opcode = IORING_OP_FSYNC;
      entry.fsync_flags = IORING_FSYNC_DATASYNC;
      return;
    case FileOp::fallocate:
      entry.opcode = IORING_OP_FALLOCATE;
      entry.len = unsigned(request.mode);
      entry.off = request.offset;
      entry.addr = request.length;
      return;
    }
  }

  bool is_uncollected() const { return load(sq_flags_) & IORING_SQ_TASKRUN; }

  // What ends after this makes the descriptor readable again, as what is collected does, for nothing. Once:
  // the kernel may leave the flag when there is nothing to collect, until there is.
  void collect() {
    eventfd_t events;
    eventfd_read(event_, &events);
    if (is_uncollected()) enter(fd_, 0, 0);
  }

  void take(std::vector<std::unique_ptr<FileRequest>> &ended) {
    collect();
    unsigned head = *cq_head_;
    for (unsigned tail = load(cq_tail_); head != tail; head++) {
      const io_uring_cqe &completion = completions_[head & (cq_entries_ - 1)];
      std::unique_ptr<FileRequest> request(reinterpret_cast<FileRequest *>(completion.user_data));
      under_way_--;
      auto &list = request->advance(completion.res) ? ended : again_;
      list.push_back(std::move(request));
    }
    store(cq_head_, head);
    for (auto &request : again_)
      waiting_.push_front(std::move(request));
    again_.clear();
  }

  int fd_ = -1, event_ = -1;
  bool waits_ = false; // Linux 5.11 can, for a time
  void *rings_ = MAP_FAILED, *entries_ = MAP_FAILED;
  size_t rings_bytes_ = 0, entries_bytes_ = 0;
  unsigned *sq_head_ = nullptr, *sq_tail_ = nullptr, *sq_flags_ = nullptr, *sq_array_ = nullptr;
  unsigned sq_entries_ = 0;
  unsigned *cq_head_ = nullptr, *cq_tail_ = nullptr, cq_entries_ = 0;
  io_uring_cqe *completions_ = nullptr;

  std::deque<std::unique_ptr<FileRequest>> waiting_;
  std::vector<std::unique_ptr<FileRequest>> again_, refused_;
  unsigned under_way_ = 0; // in either queue, or the kernel's
};

} // namespace

std::unique_ptr<FileEngine> make_uring_engine() {
  auto engine = std::make_unique<UringEngine>();
  if (!engine->open()) return nullptr;
  return engine;
}

// Requests by threads of our own: where the host has no io_uring, or does not let us use it.
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <fcntl.h>
#include <mutex>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "file_request.h"

namespace {

int64_t call(const FileRequest &request) {
  switch (request.op) {
  case FileOp::readv:
    return preadv(request.fd, request.rest(), int(request.rest_count()), off_t(request.rest_offset()));
  case FileOp::writev:
    return pwritev(request.fd, request.rest(), int(request.rest_count()), off_t(request.rest_offset()));
  case FileOp::fdatasync:
    return fdatasync(request.fd);
  case FileOp::fallocate:
    return fallocate(request.fd, request.mode, off_t(request.offset), off_t(request.length));
  }
  return -1;
}

class ThreadEngine : public FileEngine {
public:
  ~ThreadEngine() override {
    {
      std::lock_guard guard(lock_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread &thread : threads_)
      thread.join();
    if (eventfd_ >= 0) ::close(eventfd_);
  }

  // Returns whether there is at least one, or errno.
  bool start(unsigned threads) {
    eventfd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (eventfd_ < 0) return false;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    try {
      while (threads_.size() < threads)
        threads_.emplace_back(&ThreadEngine::serve, this);
    } catch (const std::system_error &) {
      errno = EAGAIN;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return !threads_.empty();
  }

  void add(std::unique_ptr<FileRequest> request) override { added_.push_back(std::move(request)); }

  void flush() override {
    size_t count = added_.size();
    {
      std::lock_guard guard(lock_);
      for (auto &request : added_)
        queue_.push_back(std::move(request));
    }
    added_.clear();
    for (size_t i = 0; i < count && i < threads_.size(); i++)
      wake_.notify_one();
  }

  void reap(std::vector<std::unique_ptr<FileRequest>> &ended) override {
    std::lock_guard guard(lock_);
    uint64_t count;
    if (!ended_.empty() && read(eventfd_, &count, sizeof count) < 0) return;
    for (auto &request : ended_)
      ended.push_back(std::move(request));
    ended_.clear();
  }

  int descriptor() const override { return eventfd_; }

private:
  void serve() {
    std::unique_lock guard(lock_);
    for (;;) {
      wake_.wait(guard, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      std::unique_ptr<FileRequest> request = std::move(queue_.front());
      queue_.pop_front();
      guard.unlock();
      for (int64_t answer = 0;;) {
        answer = call(*request);
        if (request->advance(answer < 0 ? -errno : answer)) break;
      }
      guard.lock();
      ended_.push_back(std::move(request));
      eventfd_write(eventfd_, 1);
    }
  }

  int eventfd_ = -1;
  std::vector<std::unique_ptr<FileRequest>> added_; // by the owner's thread
  std::vector<std::thread> threads_;
  std::mutex lock_; // what is below
  std::condition_variable wake_;
  std::deque<std::unique_ptr<FileRequest>> queue_;
  std::vector<std::unique_ptr<FileRequest>> ended_;
  bool stop_ = false;
};

} // namespace

std::unique_ptr<FileEngine> make_thread_engine(unsigned threads) {
  auto engine = std::make_unique<ThreadEngine>();
  if (!engine->start(threads)) return nullptr;
  return engine;
}

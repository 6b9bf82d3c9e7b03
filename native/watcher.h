// One thread of the process waits for all watched descriptors, and passes each signal on to a notifier.
#pragma once

#include <cstdint>
#include <mutex>
#include <sys/epoll.h>
#include <unordered_map>

class Watcher {
public:
  // kEdges: each signal, also of what is not taken meanwhile. kOnce: nothing before the next arm(), which
  // tells what is there already.
  enum Mode { kEdges, kOnce };

  static Watcher &the();

  // Returns the watch, or 0 with errno.
  uint64_t add(int fd, uint32_t notifier, Mode mode);
  // For EPOLL* events. Those of the last call count.
  void arm(uint64_t watch, int fd, uint32_t events = EPOLLIN);
  void remove(uint64_t watch, int fd);

private:
  bool start();
  void serve();

  std::mutex lock_;
  int epoll_ = -1;
  uint64_t last_ = 0;
  std::unordered_map<uint64_t, uint32_t> notifiers_;
};

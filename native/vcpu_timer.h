// One deadline per vCPU, kept by a thread of its own that sleeps in a timerfd.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

class VcpuTimer {
public:
  explicit VcpuTimer(std::function<void()> fire) : fire_(std::move(fire)) {}
  ~VcpuTimer() { close(); }
  VcpuTimer(const VcpuTimer &) = delete;
  VcpuTimer &operator=(const VcpuTimer &) = delete;

  // Fires once when CLOCK_MONOTONIC reaches deadline_ns; 0 disarms. Replaces the deadline before.
  // Returns 0, or the errno of *failed.
  int arm(uint64_t deadline_ns, const char **failed);
  // The armed deadline, or UINT64_MAX.
  uint64_t deadline();
  // Disarms a deadline that is not after now_ns, without firing. True if there was one.
  bool take_due(uint64_t now_ns);
  void close();

private:
  int start(const char **failed);
  void set_descriptor(uint64_t deadline_ns);
  void serve();

  const std::function<void()> fire_;
  std::mutex lock_;
  std::thread thread_;
  int descriptor_ = -1;
  bool closing_ = false;
  uint64_t deadline_ = 0;
  // When the descriptor goes off. It may be earlier than the deadline: then the thread arms it again, so that
  // moving a deadline later, as guests do all the time, costs no system call.
  uint64_t armed_ = 0;
};

// The part of a vCPU that other threads touch: kicks, the sleep that a kick ends, and ids that outlive the
// object.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <napi.h>

class VcpuKick {
public:
  // `interrupt` ends a run that is under way, or the next one; called on any thread, never after close().
  static std::shared_ptr<VcpuKick> create(std::function<void()> interrupt);
  // Kicks by id; unknown ids are ignored.
  static void kick_id(uint32_t id);
  // The process exits: every vCPU is kicked, and from now on at every run() and wait() again. Node joins its
  // worker threads before it exits, and one that sits in a guest would never see that it is to end.
  static void stop_all();
  static void init(Napi::Env env, Napi::Object exports);

  VcpuKick(const VcpuKick &) = delete;
  VcpuKick &operator=(const VcpuKick &) = delete;

  void kick();
  // Interrupts a run without a kick: what it is for is the caller's.
  void interrupt();
  // `interrupt` is not under way when this returns.
  void settle() { std::lock_guard guard(lock_); }
  // Takes a kick that has come, if one has. Only on the vCPU's thread, like wait().
  bool take() { return state_.exchange(kNone) == kKicked || stopping_; }
  // Whether take() would find one. Any thread.
  bool pending() const { return state_.load() == kKicked || stopping_; }
  // Sleeps until a kick (taken; true) or until CLOCK_MONOTONIC reaches deadline_ns (false). UINT64_MAX: for
  // ever.
  bool wait_until(uint64_t deadline_ns);
  // From here on the id is unknown and `interrupt` is not called any more.
  void close();

  const uint32_t id;

private:
  enum State : uint32_t { kNone, kKicked, kSleeping };

  VcpuKick(uint32_t id, std::function<void()> interrupt) : id(id), interrupt_(std::move(interrupt)) {}

  static inline std::atomic<bool> stopping_{false};

  std::atomic<uint32_t> state_{kNone}; // also the futex
  std::mutex lock_;
  std::function<void()> interrupt_; // under lock_; empty once closed
};

uint64_t monotonic_ns();

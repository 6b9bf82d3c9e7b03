#include "vcpu_kick.h"

#include <cerrno>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unordered_map>
#include <vector>

#include "errors.h"

namespace {

struct Registry {
  std::mutex lock;
  std::unordered_map<uint32_t, std::shared_ptr<VcpuKick>> vcpus;
  uint32_t next_id = 1;
};

// Never destroyed: other threads may still kick while the process exits.
Registry &registry() {
  static Registry *the = new Registry;
  return *the;
}

static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free);

// An absolute CLOCK_MONOTONIC deadline, or none for UINT64_MAX. False when it has passed.
bool futex_wait(std::atomic<uint32_t> &word, uint32_t expected, uint64_t deadline_ns) {
  timespec deadline = {time_t(deadline_ns / 1000000000u), long(deadline_ns % 1000000000u)};
  long result = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                        deadline_ns == UINT64_MAX ? nullptr : &deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
  return !(result < 0 && errno == ETIMEDOUT);
}

void kick_vcpu(const Napi::CallbackInfo &info) {
  VcpuKick::kick_id(uint32_t(integer_argument(info, 0, "id", UINT32_MAX)));
}

void on_process_exit(const Napi::CallbackInfo &) {
  VcpuKick::stop_all();
}

} // namespace

uint64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1000000000u + uint64_t(now.tv_nsec);
}

std::shared_ptr<VcpuKick> VcpuKick::create(std::function<void()> interrupt) {
  Registry &r = registry();
  std::lock_guard guard(r.lock);
  std::shared_ptr<VcpuKick> vcpu(new VcpuKick(r.next_id++, std::move(interrupt)));
  r.vcpus[vcpu->id] = vcpu;
  return vcpu;
}

void VcpuKick::kick_id(uint32_t id) {
  std::shared_ptr<VcpuKick> vcpu;
  {
    Registry &r = registry();
    std::lock_guard guard(r.lock);
    auto found = r.vcpus.find(id);
    if (found == r.vcpus.end()) return;
    vcpu = found->second;
  }
  vcpu->kick();
}

void VcpuKick::stop_all() {
  stopping_ = true;
  std::vector<std::shared_ptr<VcpuKick>> vcpus;
  {
    Registry &r = registry();
    std::lock_guard guard(r.lock);
    for (const auto &entry : r.vcpus)
      vcpus.push_back(entry.second);
  }
  for (const auto &vcpu : vcpus)
    vcpu->kick();
}

void VcpuKick::init(Napi::Env env, Napi::Object exports) {
  exports.Set("kickVcpu", Napi::Function::New<kick_vcpu>(env, "kickVcpu"));
  // A worker's `exit` event is its own end only; the process's is the main thread's.
  if (gettid() != getpid()) return;
  Napi::Object process = env.Global().Get("process").As<Napi::Object>();
  process.Get("once").As<Napi::Function>().Call(
      process, {Napi::String::New(env, "exit"), Napi::Function::New<on_process_exit>(env)});
}

// The flag is set before the run is interrupted: a run that ends by the interrupt finds the flag. A second
// kick before the first is taken adds nothing, since the first one's interrupt is still on its way or has
// been.
void VcpuKick::kick() {
  uint32_t before = state_.exchange(kKicked);
  if (before == kKicked) return;
  if (before == kSleeping) {
    syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    return;
  }
  interrupt();
}

void VcpuKick::interrupt() {
  std::lock_guard guard(lock_);
  if (interrupt_) interrupt_();
}

bool VcpuKick::wait_until(uint64_t deadline_ns) {
  uint32_t none = kNone;
  if (!stopping_ && state_.compare_exchange_strong(none, kSleeping))
    while (futex_wait(state_, kSleeping, deadline_ns) && state_.load() == kSleeping)
      continue;
  return take();
}

void VcpuKick::close() {
  {
    Registry &r = registry();
    std::lock_guard guard(r.lock);
    r.vcpus.erase(id);
  }
  std::lock_guard guard(lock_);
  interrupt_ = nullptr;
}

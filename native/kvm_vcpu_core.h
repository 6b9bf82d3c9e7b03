// One vCPU of KVM without JavaScript: its descriptor, its kvm_run page, and the way in and out of KVM_RUN.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <sys/types.h>

#include "linux_kvm.h"
#include "vcpu_kick.h"

class KvmVmCore;

// The mapping of kvm_run and what follows it. JavaScript's view of it may outlive the vCPU.
class KvmRunPage {
public:
  KvmRunPage(uint8_t *base, size_t bytes) : base(base), bytes(bytes) {}
  ~KvmRunPage();
  KvmRunPage(const KvmRunPage &) = delete;
  KvmRunPage &operator=(const KvmRunPage &) = delete;

  // From here on it is plain memory, of zeros: the kernel keeps a vCPU as long as it is mapped.
  void detach();

  uint8_t *const base;
  const size_t bytes;
};

class KvmVcpuCore {
public:
  enum class End {
    kExit,    // to user space: kvm_run says why
    kKicked,  // by the vCPU's id; kvm_run says KVM_EXIT_INTR
    kStopped, // *stop became true
    kClosed,  // before or meanwhile
    kRunning, // another thread is in it
    kError,   // KVM_RUN failed with `error`
  };
  struct Outcome {
    End end;
    int error = 0;
  };

  // Owns fd from here on. For KvmVmCore::create_vcpu.
  KvmVcpuCore(std::shared_ptr<KvmVmCore> vm, int fd, uint32_t index, std::shared_ptr<KvmRunPage> page);
  ~KvmVcpuCore();
  KvmVcpuCore(const KvmVcpuCore &) = delete;
  KvmVcpuCore &operator=(const KvmVcpuCore &) = delete;

  // KVM_RUN on the calling thread until one of the ends. However it ends, but for kExit and kError, the
  // instruction whose I/O the caller has answered is complete, so that the state is one between two
  // instructions.
  Outcome run(const std::atomic<bool> *stop = nullptr);
  // run() in two steps, for a thread that lets another one run it: from claim() on the vCPU counts as
  // running. Returns why not, or nothing; then one of the other two follows.
  std::optional<Outcome> claim();
  Outcome run_claimed(const std::atomic<bool> *stop);
  void unclaim();
  // Makes a run that is under way look at what it was told to stop for, or the next one. Any thread.
  void interrupt();
  // Ends a run that is under way. Idempotent; any thread.
  void close();
  bool is_closed() const { return closed_; }

  // The vCPU's descriptor for an ioctl, and nobody runs, uses or closes it meanwhile. While it runs the
  // kernel would make the caller wait for its next exit, so that is refused here.
  class Use {
  public:
    explicit Use(KvmVcpuCore &vcpu)
        : guard_(vcpu.lock_), running(vcpu.running_), fd(vcpu.running_ ? -1 : vcpu.fd_) {}

  private:
    std::lock_guard<std::mutex> guard_;

  public:
    const bool running;
    const int fd; // -1: running or closed
  };

  const uint32_t index;
  const std::shared_ptr<KvmVmCore> vm;
  const std::shared_ptr<KvmRunPage> page;
  const std::shared_ptr<VcpuKick> kick;

private:
  Outcome run_until_exit(const std::atomic<bool> *stop);
  bool must_leave(const std::atomic<bool> *stop) const;
  kvm_run *run_page() const { return reinterpret_cast<kvm_run *>(page->base); }
  void set_immediate_exit(uint8_t value);

  std::mutex lock_; // of fd_ and running_
  std::condition_variable left_;
  int fd_;
  bool running_ = false;
  std::atomic<bool> closed_{false};
  std::atomic<pid_t> inside_{0}; // the thread that is in KVM_RUN or on its way there
};

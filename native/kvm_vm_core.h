// One virtual machine of KVM without JavaScript: its descriptor, what its memory slots keep alive, and its
// vCPUs.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "guest_memory.h"

class KvmVcpuCore;

class KvmVmCore : public std::enable_shared_from_this<KvmVmCore> {
public:
  // Owns fd from here on. run_bytes: KVM_GET_VCPU_MMAP_SIZE.
  static std::shared_ptr<KvmVmCore> create(int fd, size_t run_bytes);
  // An open machine, for other threads; or nullptr.
  static std::shared_ptr<KvmVmCore> find(uint32_t id);

  ~KvmVmCore();
  KvmVmCore(const KvmVmCore &) = delete;
  KvmVmCore &operator=(const KvmVmCore &) = delete;

  // The descriptor, which nobody closes as long as this lives; -1 when it is closed. Any thread, several at
  // once.
  class Use {
  public:
    explicit Use(KvmVmCore &vm) : guard_(vm.lock_), fd(vm.fd_) {}

  private:
    std::shared_lock<std::shared_mutex> guard_;

  public:
    const int fd;
  };

  // KVM_SET_USER_MEMORY_REGION. bytes 0 deletes the slot. Returns -1 with errno.
  int set_memory(uint32_t slot, uint32_t flags, uint64_t address, std::shared_ptr<GuestMapping> mapping,
                 uint64_t offset, uint64_t bytes);
  // How many bytes slot covers; 0: there is none.
  uint64_t slot_bytes(uint32_t slot);
  // Returns nullptr with errno, and the failed call's name in *failed.
  std::shared_ptr<KvmVcpuCore> create_vcpu(uint32_t index, const char **failed);
  // Ends runs that are under way, closes the vCPUs, then the machine. Idempotent; any thread.
  void close();

  const uint32_t id;

private:
  struct Slot {
    std::shared_ptr<GuestMapping> mapping;
    uint64_t bytes;
  };

  KvmVmCore(uint32_t id, int fd, size_t run_bytes) : id(id), fd_(fd), run_bytes_(run_bytes) {}

  std::shared_mutex lock_; // shared: uses the descriptor; alone: closes it
  int fd_;
  const size_t run_bytes_;
  std::mutex parts_lock_; // of what follows
  std::map<uint32_t, Slot> slots_;
  std::vector<std::weak_ptr<KvmVcpuCore>> vcpus_;
};

#include "kvm_vm_core.h"

#include <cerrno>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unordered_map>

#include "kvm_vcpu_core.h"
#include "linux_kvm.h"

namespace {

struct Registry {
  std::mutex lock;
  std::unordered_map<uint32_t, std::weak_ptr<KvmVmCore>> machines;
  uint32_t next_id = 1;
};

// Never destroyed: threads may still close machines while the process exits.
Registry &registry() {
  static Registry *the = new Registry;
  return *the;
}

} // namespace

std::shared_ptr<KvmVmCore> KvmVmCore::create(int fd, size_t run_bytes) {
  Registry &r = registry();
  std::lock_guard guard(r.lock);
  std::shared_ptr<KvmVmCore> vm(new KvmVmCore(r.next_id++, fd, run_bytes));
  r.machines[vm->id] = vm;
  return vm;
}

std::shared_ptr<KvmVmCore> KvmVmCore::find(uint32_t id) {
  Registry &r = registry();
  std::lock_guard guard(r.lock);
  auto found = r.machines.find(id);
  return found == r.machines.end() ? nullptr : found->second.lock();
}

KvmVmCore::~KvmVmCore() {
  close();
}

// KVM itself refuses overlapping slots (EEXIST), addresses and sizes that are no whole pages (EINVAL) and
// slot numbers beyond KVM_CAP_NR_MEMSLOTS (EINVAL).
int KvmVmCore::set_memory(uint32_t slot, uint32_t flags, uint64_t address,
                          std::shared_ptr<GuestMapping> mapping, uint64_t offset, uint64_t bytes) {
  kvm_userspace_memory_region region = {};
  region.slot = slot;
  region.flags = flags;
  region.guest_phys_addr = address;
  region.memory_size = bytes;
  region.userspace_addr = mapping ? uint64_t(mapping->base) + offset : 0;
  Use use(*this);
  // Two threads that set the same slot must leave here what they leave in KVM.
  std::lock_guard guard(parts_lock_);
  int result = ioctl(use.fd, KVM_SET_USER_MEMORY_REGION, &region);
  if (result < 0) return result;
  if (bytes == 0)
    slots_.erase(slot);
  else
    slots_[slot] = {std::move(mapping), bytes};
  return result;
}

uint64_t KvmVmCore::slot_bytes(uint32_t slot) {
  std::lock_guard guard(parts_lock_);
  auto found = slots_.find(slot);
  return found == slots_.end() ? 0 : found->second.bytes;
}

std::shared_ptr<KvmVcpuCore> KvmVmCore::create_vcpu(uint32_t index, const char **failed) {
  Use use(*this);
  *failed = "KVM_CREATE_VCPU";
  int fd = ioctl(use.fd, KVM_CREATE_VCPU, (unsigned long)(index));
  if (fd < 0) return nullptr;
  *failed = "mmap of kvm_run";
  void *run = mmap(nullptr, run_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (run == MAP_FAILED) {
    int error = errno;
    ::close(fd);
    errno = error;
    return nullptr;
  }
  auto page = std::make_shared<KvmRunPage>(static_cast<uint8_t *>(run), run_bytes_);
  auto vcpu = std::make_shared<KvmVcpuCore>(shared_from_this(), fd, index, std::move(page));
  std::lock_guard guard(parts_lock_);
  std::erase_if(vcpus_, [](const auto &gone) { return gone.expired(); });
  vcpus_.push_back(vcpu);
  return vcpu;
}

// The kernel keeps a machine, and with it the use of its memory, as long as a vCPU of it is open; so the
// vCPUs go first, and the memory last.
void KvmVmCore::close() {
  {
    std::unique_lock guard(lock_);
    if (fd_ < 0) return;
    ::close(fd_);
    fd_ = -1;
  }
  {
    Registry &r = registry();
    std::lock_guard guard(r.lock);
    r.machines.erase(id);
  }
  std::vector<std::weak_ptr<KvmVcpuCore>> vcpus;
  {
    std::lock_guard guard(parts_lock_);
    vcpus.swap(vcpus_);
  }
  for (const auto &weak : vcpus)
    if (auto vcpu = weak.lock()) vcpu->close();
  std::lock_guard guard(parts_lock_);
  slots_.clear();
}

#include "kvm_probe_vm.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_denied.h"
#include "kvm_probe_guest.h"
#include "vcpu_kick.h"

namespace {

std::string failed(const char *call) {
  return std::string(call) + ": " + strerrordesc_np(errno);
}

uint64_t guest_address(const uint8_t *symbol) {
  return PROBE_CODE + uint64_t(symbol - kvm_probe_guest);
}

// An interrupt gate to ring 0 (Intel SDM vol. 3, 6.14.1), callable from ring `dpl`.
void set_gate(uint64_t *idt, int vector, const uint8_t *handler, uint64_t dpl) {
  uint64_t address = guest_address(handler);
  idt[vector * 2] = (address & 0xffff) | (uint64_t(PROBE_KERNEL_CS) << 16) | ((0x8e00ull | dpl << 13) << 32) |
                    ((address >> 16 & 0xffff) << 48);
  idt[vector * 2 + 1] = address >> 32;
}

kvm_segment segment(uint16_t selector, uint8_t type, bool code) {
  kvm_segment s = {};
  s.limit = 0xffffffff;
  s.selector = selector;
  s.type = type;
  s.present = 1;
  s.s = 1;
  s.g = 1;
  s.l = code;
  s.db = !code;
  return s;
}

constexpr uint64_t kEferSce = 1, kEferLme = 1 << 8, kEferLma = 1 << 10;
constexpr uint32_t kMsrStar = 0xc0000081, kMsrLstar = 0xc0000082, kMsrFmask = 0xc0000084;

} // namespace

KvmProbeVm::~KvmProbeVm() {
  if (kvm_run *run = run_.exchange(nullptr)) munmap(run, run_bytes_);
  for (int descriptor : {vcpu_, vm_, device_})
    if (descriptor >= 0) close(descriptor);
  if (memory_) munmap(memory_, PROBE_BYTES);
}

std::string KvmProbeVm::open() {
  device_ = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (device_ < 0) {
    if (errno == ENOENT) return "no /dev/kvm";
    if (errno == EACCES) return kvm_denied();
    return failed("/dev/kvm");
  }
  int version = ioctl(device_, KVM_GET_API_VERSION, 0);
  if (version < 0) return failed("KVM_GET_API_VERSION");
  if (version != KVM_API_VERSION) return "KVM API version is " + std::to_string(version) + ", not 12";
  std::string failure = open_vm();
  return failure.empty() ? open_vcpu() : failure;
}

std::string KvmProbeVm::open_vm() {
  vm_ = ioctl(device_, KVM_CREATE_VM, 0);
  if (vm_ < 0) return failed("KVM_CREATE_VM");
  // Three pages that Intel's VMX wants for itself; elsewhere not needed, so that a failure says nothing.
  ioctl(vm_, KVM_SET_TSS_ADDR, 0xfffbd000ul);
  void *memory = mmap(nullptr, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return failed("mmap");
  memory_ = static_cast<uint8_t *>(memory);
  build_memory();
  kvm_userspace_memory_region region = {};
  region.memory_size = PROBE_BYTES;
  region.userspace_addr = uint64_t(memory_);
  if (ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region) < 0) return failed("KVM_SET_USER_MEMORY_REGION");
  return "";
}

void KvmProbeVm::build_memory() {
  auto words = [this](uint64_t address) { return reinterpret_cast<uint64_t *>(memory_ + address); };
  // Present, writable, user; the last level maps 2 MiB.
  words(PROBE_PML4)[0] = PROBE_PDPT | 7;
  words(PROBE_PDPT)[0] = PROBE_PD | 7;
  words(PROBE_PD)[0] = 0x87;
  uint64_t *gdt = words(PROBE_GDT);
  gdt[PROBE_KERNEL_CS / 8] = 0x00af9b000000ffff;
  gdt[PROBE_KERNEL_DS / 8] = 0x00cf93000000ffff;
  gdt[PROBE_USER_DS / 8] = 0x00cff3000000ffff;
  gdt[PROBE_USER_CS / 8] = 0x00affb000000ffff;
  gdt[PROBE_TR / 8] = 0x00008b0000000067ull | uint64_t(PROBE_TSS) << 16;
  uint64_t rsp0 = PROBE_KERNEL_STACK;
  memcpy(memory_ + PROBE_TSS + 4, &rsp0, sizeof rsp0);
  uint64_t *idt = words(PROBE_IDT);
  for (int vector = 0; vector < 256; vector++)
    set_gate(idt, vector, kvm_probe_unexpected, 0);
  set_gate(idt, 3, kvm_probe_bp, 0);
  set_gate(idt, 6, kvm_probe_ud, 0);
  set_gate(idt, 14, kvm_probe_pf, 0);
  set_gate(idt, 0x80, kvm_probe_int80, 3);
  memcpy(memory_ + PROBE_CODE, kvm_probe_guest, size_t(kvm_probe_guest_end - kvm_probe_guest));
}

std::string KvmProbeVm::open_vcpu() {
  vcpu_ = ioctl(vm_, KVM_CREATE_VCPU, 0);
  if (vcpu_ < 0) return failed("KVM_CREATE_VCPU");
  int bytes = ioctl(device_, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (bytes < int(sizeof(kvm_run))) return failed("KVM_GET_VCPU_MMAP_SIZE");
  run_bytes_ = size_t(bytes);
  void *run = mmap(nullptr, run_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_, 0);
  if (run == MAP_FAILED) return failed("mmap of the vCPU");
  run_ = static_cast<kvm_run *>(run);
  std::string failure = set_cpuid();
  return failure.empty() ? set_registers() : failure;
}

// Without it KVM refuses long mode, since the guest's CPU has none.
std::string KvmProbeVm::set_cpuid() {
  constexpr uint32_t entries = 256;
  size_t bytes = sizeof(kvm_cpuid2) + entries * sizeof(kvm_cpuid_entry2);
  std::unique_ptr<kvm_cpuid2, decltype(&free)> cpuid(static_cast<kvm_cpuid2 *>(calloc(1, bytes)), free);
  if (!cpuid) return "out of memory";
  cpuid->nent = entries;
  if (ioctl(device_, KVM_GET_SUPPORTED_CPUID, cpuid.get()) < 0) return failed("KVM_GET_SUPPORTED_CPUID");
  if (ioctl(vcpu_, KVM_SET_CPUID2, cpuid.get()) < 0) return failed("KVM_SET_CPUID2");
  return "";
}

std::string KvmProbeVm::set_registers() {
  kvm_sregs s;
  if (ioctl(vcpu_, KVM_GET_SREGS, &s) < 0) return failed("KVM_GET_SREGS");
  s.cs = segment(PROBE_KERNEL_CS, 11, true);
  s.ds = s.es = s.fs = s.gs = s.ss = segment(PROBE_KERNEL_DS, 3, false);
  s.tr = {};
  s.tr.base = PROBE_TSS;
  s.tr.limit = 0x67;
  s.tr.selector = PROBE_TR;
  s.tr.type = 11;
  s.tr.present = 1;
  s.gdt.base = PROBE_GDT;
  s.gdt.limit = PROBE_TR + 15;
  s.idt.base = PROBE_IDT;
  s.idt.limit = 256 * 16 - 1;
  s.cr0 = 0x80010033; // PG, WP, NE, ET, MP, PE
  s.cr3 = PROBE_PML4;
  s.cr4 = 0x20; // PAE
  s.efer = kEferSce | kEferLme | kEferLma;
  if (ioctl(vcpu_, KVM_SET_SREGS, &s) < 0) return failed("KVM_SET_SREGS");

  for (kvm_msr_entry msr : {kvm_msr_entry{kMsrStar, 0, uint64_t(PROBE_KERNEL_CS) << 32},
                            {kMsrLstar, 0, guest_address(kvm_probe_syscall)},
                            {kMsrFmask, 0, 0x200}}) {
    alignas(kvm_msrs) uint8_t request[sizeof(kvm_msrs) + sizeof(kvm_msr_entry)] = {};
    uint32_t count = 1;
    memcpy(request, &count, sizeof count);
    memcpy(request + sizeof(kvm_msrs), &msr, sizeof msr);
    if (ioctl(vcpu_, KVM_SET_MSRS, request) != 1) return failed("KVM_SET_MSRS");
  }
  return "";
}

std::string KvmProbeVm::start_loop(uint64_t count) {
  kvm_regs r = {};
  r.rip = PROBE_CODE;
  r.rsp = PROBE_KERNEL_STACK;
  r.rflags = 2;
  r.rdi = count;
  return ioctl(vcpu_, KVM_SET_REGS, &r) < 0 ? failed("KVM_SET_REGS") : "";
}

// Short first, so that an interpreter shows itself within 20 ms; the first of all is not timed, since it pays
// for page faults and the like. What is too fast to time runs again, longer.
double KvmProbeVm::host_mips() {
  constexpr uint64_t kCount = 1000000;
  uint64_t count = kCount, start = monotonic_ns();
  __asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(count)::"cc");
  return double(2 * kCount) * 1000 / double(monotonic_ns() - start + 1);
}

std::string KvmProbeVm::measure(const std::atomic<bool> &cancelled, double &mips) {
  constexpr uint64_t kWarmUp = 1000, kLongEnoughNs = 3000000;
  for (uint64_t count : {kWarmUp, uint64_t(5000), uint64_t(200000), uint64_t(10000000)}) {
    std::string failure = start_loop(count);
    if (!failure.empty()) return failure;
    uint64_t start = monotonic_ns();
    failure = run_to(PROBE_PORT_LOOP, "a loop in ring 0", cancelled);
    if (!failure.empty()) return failure;
    uint64_t ns = monotonic_ns() - start + 1;
    mips = double(2 * count) * 1000 / double(ns);
    if (count != kWarmUp && ns > kLongEnoughNs) break;
  }
  return "";
}

std::string KvmProbeVm::check_traps(const std::atomic<bool> &cancelled) {
  constexpr struct {
    uint16_t port;
    const char *what;
  } stages[] = {
      {PROBE_PORT_UD, "an exception through the IDT"},
      {PROBE_PORT_BP, "a software exception through the IDT"},
      {PROBE_PORT_RING3, "iretq to ring 3 and an interrupt gate back"},
      {PROBE_PORT_PF, "a page fault in ring 3"},
      {PROBE_PORT_DONE, "syscall"},
  };
  for (const auto &stage : stages) {
    std::string failure = run_to(stage.port, stage.what, cancelled);
    if (!failure.empty()) return failure;
  }
  return "";
}

std::string KvmProbeVm::run_to(uint16_t port, const char *what, const std::atomic<bool> &cancelled) {
  kvm_run *run = run_;
  for (;;) {
    if (cancelled) return std::string(what) + " does not end";
    if (ioctl(vcpu_, KVM_RUN, 0) < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return std::string(what) + " fails: " + failed("KVM_RUN");
    }
    if (run->exit_reason == KVM_EXIT_IO && run->io.port == port) return "";
    return std::string(what) + " fails (KVM exit reason " + std::to_string(run->exit_reason) + ")";
  }
}

void KvmProbeVm::ask_to_exit() {
  if (kvm_run *run = run_) __atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

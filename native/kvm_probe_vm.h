// The probe's virtual machine: one vCPU in 64-bit mode over 2 MiB, running kvm_probe_guest.S.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "linux_kvm.h"

// Methods return an empty string, or what is wrong as one clause for people.
class KvmProbeVm {
public:
  KvmProbeVm() = default;
  ~KvmProbeVm();
  KvmProbeVm(const KvmProbeVm &) = delete;
  KvmProbeVm &operator=(const KvmProbeVm &) = delete;

  // Opens the device, makes the machine and its vCPU, ready to run.
  std::string open();
  // The host's own speed in the same loop, in million instructions a second.
  static double host_mips();
  // Runs the ring-0 loop; sets mips to million instructions a second.
  std::string measure(const std::atomic<bool> &cancelled, double &mips);
  // Goes on behind the loop, through exceptions and rings.
  std::string check_traps(const std::atomic<bool> &cancelled);
  // Makes KVM_RUN return at once, from another thread; with a signal if it is inside already.
  void ask_to_exit();

private:
  std::string open_vm();
  std::string open_vcpu();
  void build_memory();
  std::string set_cpuid();
  std::string set_registers();
  std::string start_loop(uint64_t count);
  // Runs until the guest writes to `port`.
  std::string run_to(uint16_t port, const char *what, const std::atomic<bool> &cancelled);

  int device_ = -1, vm_ = -1, vcpu_ = -1;
  uint8_t *memory_ = nullptr;
  size_t run_bytes_ = 0;
  std::atomic<kvm_run *> run_{nullptr};
};

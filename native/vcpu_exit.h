// Why a vCPU's run came back. The same numbers as NATIVE_EXIT in src/kvm/addon.ts.
#pragma once

enum vcpu_exit {
  VCPU_EXIT_PORT = 1,     // a write to the exit port; the instruction has completed
  VCPU_EXIT_KICK = 2,     // another thread, or the vCPU's timer, asked for it
  VCPU_EXIT_HLT = 3,      // hlt with no interrupt to take
  VCPU_EXIT_SHUTDOWN = 4, // triple fault
  VCPU_EXIT_ERROR = 5,    // the engine cannot go on
  VCPU_EXIT_YIELD = 6,    // its slice is over, or it spins; in ring 1 to 3
};

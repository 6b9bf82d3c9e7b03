// The signal that pulls a thread out of KVM_RUN. It does nothing but interrupt the system call.
#pragma once

// SIGRTMAX - 1: neither Node.js nor the C library uses it.
int kvm_signal_number();

// Makes this thread receive it, and gives it its handler, once for the process.
void kvm_signal_prepare_thread();

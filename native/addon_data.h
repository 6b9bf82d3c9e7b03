// What one JavaScript environment (the main thread, or a worker) keeps of the addon.
#pragma once

#include <napi.h>

struct AddonData {
  Napi::FunctionReference guest_memory;
  Napi::FunctionReference kvm_vm;
  Napi::FunctionReference kvm_vcpu;
};

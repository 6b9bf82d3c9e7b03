// Whether /dev/kvm runs a guest like a CPU, and how fast: a device that opens and answers may still only
// interpret.
#pragma once

#include <napi.h>

void init_kvm_probe(Napi::Env env, Napi::Object exports);

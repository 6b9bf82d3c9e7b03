// Host clocks, for the guest's paravirtual clock.
#pragma once

#include <napi.h>

void init_clock(Napi::Env env, Napi::Object exports);

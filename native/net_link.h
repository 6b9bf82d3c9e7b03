// Network interfaces of the host, by rtnetlink.
#pragma once

#include <napi.h>

void init_net_link(Napi::Env env, Napi::Object exports);

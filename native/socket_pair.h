// Two ends of a stream, one of which another process is to have.
#pragma once

#include <napi.h>

void init_socket_pair(Napi::Env env, Napi::Object exports);

// One compressed stream, or one raw block, to a bounded buffer. Everything given to it is hostile.
#pragma once

#include <napi.h>

void init_decompress(Napi::Env env, Napi::Object exports);

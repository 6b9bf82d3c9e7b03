// Pieces of one buffer, each compressed by itself: clusters of a disk.
#pragma once

#include <napi.h>

void init_compress(Napi::Env env, Napi::Object exports);

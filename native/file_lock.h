// Locks of an open file's byte ranges.
#pragma once

#include <napi.h>

void init_file_lock(Napi::Env env, Napi::Object exports);

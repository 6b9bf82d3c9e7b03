// What Node.js has no call for: holes of a file, its real size, and memory that O_DIRECT takes.
#pragma once

#include <napi.h>

void init_file_range(Napi::Env env, Napi::Object exports);

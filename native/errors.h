// One way to report a failure to JavaScript: an Error whose `code` programs can test and whose message names
// the call.
#pragma once

#include <napi.h>
#include <string>

// An Error with a chosen code, for failures that no system call reported.
Napi::Error code_error(Napi::Env env, const char *code, const std::string &message);

// An Error with code = the errno's name and message "what: text of the errno".
Napi::Error errno_error(Napi::Env env, int error, const std::string &what);

[[noreturn]] void throw_errno(Napi::Env env, int error, const std::string &what);

[[noreturn]] void throw_code(Napi::Env env, const char *code, const std::string &message);

// Arguments that only a bug in our own TypeScript can give.
[[noreturn]] void throw_argument(Napi::Env env, const std::string &message);

// The argument as an exact integer 0..max; throws a TypeError naming it otherwise.
uint64_t integer_argument(const Napi::CallbackInfo &info, size_t index, const char *name, uint64_t max);

// The first argument as a deadline or a time-out in ns, capped at 292 years, so that sums cannot wrap.
// Infinity is one, NaN and less than 0 are a TypeError naming it.
uint64_t nanoseconds_argument(const Napi::CallbackInfo &info, const char *name);

#include "errors.h"

#include <cmath>
#include <cstring>

Napi::Error code_error(Napi::Env env, const char *code, const std::string &message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

Napi::Error errno_error(Napi::Env env, int error, const std::string &what) {
  const char *name = strerrorname_np(error);
  const char *text = strerrordesc_np(error);
  return code_error(env, name ? name : "EUNKNOWN", what + ": " + (text ? text : "unknown error"));
}

void throw_code(Napi::Env env, const char *code, const std::string &message) {
  throw code_error(env, code, message);
}

void throw_errno(Napi::Env env, int error, const std::string &what) {
  throw errno_error(env, error, what);
}

void throw_argument(Napi::Env env, const std::string &message) {
  Napi::TypeError error = Napi::TypeError::New(env, message);
  error.Set("code", Napi::String::New(env, "EINVAL"));
  throw error;
}

uint64_t integer_argument(const Napi::CallbackInfo &info, size_t index, const char *name, uint64_t max) {
  // 2^53: above it a double no longer holds every integer.
  constexpr double exact = 9007199254740992.0;
  double value = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
  if (!(value >= 0 && value < exact) || value != std::floor(value) || uint64_t(value) > max)
    throw_argument(info.Env(), std::string(name) + " must be an integer from 0 to " + std::to_string(max));
  return uint64_t(value);
}

uint64_t nanoseconds_argument(const Napi::CallbackInfo &info, const char *name) {
  double value = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : NAN;
  if (!(value >= 0))
    throw_argument(info.Env(), std::string(name) + " must be a number of nanoseconds, 0 or more");
  return uint64_t(std::fmin(value, 9.2e18));
}

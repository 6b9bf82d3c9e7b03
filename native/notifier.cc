#include "notifier.h"

#include <mutex>
#include <unordered_map>

#include "errors.h"

namespace {

struct Registry {
  // Held while signalling, so that a notifier cannot be closed under a signal from another thread.
  std::mutex lock;
  std::unordered_map<uint32_t, napi_threadsafe_function> notifiers;
  uint32_t next_id = 1;
};

// Never destroyed: other threads may still signal while the process exits.
Registry &registry() {
  static Registry *the = new Registry;
  return *the;
}

Napi::Value notify_function(const Napi::CallbackInfo &info) {
  Notifier::notify(uint32_t(integer_argument(info, 0, "id", UINT32_MAX)));
  return info.Env().Undefined();
}

void call(napi_env env, napi_value callback, void *, void *) {
  if (env == nullptr || callback == nullptr) return;
  napi_value undefined;
  napi_get_undefined(env, &undefined);
  if (napi_call_function(env, undefined, callback, 0, nullptr, nullptr) != napi_pending_exception) return;
  // Left alone, it would only be a warning.
  napi_value exception;
  napi_get_and_clear_last_exception(env, &exception);
  napi_fatal_exception(env, exception);
}

} // namespace

void Notifier::init(Napi::Env env, Napi::Object exports) {
  Napi::Function constructor = DefineClass(env, "Notifier",
                                           {
                                               InstanceAccessor<&Notifier::id>("id"),
                                               InstanceMethod<&Notifier::hold>("hold"),
                                               InstanceMethod<&Notifier::close>("close"),
                                           });
  exports.Set("Notifier", constructor);
  exports.Set("notify", Napi::Function::New<notify_function>(env, "notify"));
}

Notifier::Notifier(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Notifier>(info), env_(info.Env()) {
  Napi::Env env = info.Env();
  if (!info[0].IsFunction()) throw_argument(env, "callback must be a function");
  // A queue of one: signals that arrive before the callback ran become one call.
  napi_status status =
      napi_create_threadsafe_function(env, info[0], nullptr, Napi::String::New(env, "xenner"), 1, 1, nullptr,
                                      nullptr, nullptr, call, &function_);
  if (status != napi_ok) throw_code(env, "ENOMEM", "napi_create_threadsafe_function failed");
  // It keeps the process alive only where hold() says so.
  napi_unref_threadsafe_function(env, function_);
  // Runs before the environment frees the function: hooks run in reverse order.
  napi_add_env_cleanup_hook(env, on_environment_exit, this);
  Registry &r = registry();
  std::lock_guard guard(r.lock);
  id_ = r.next_id++;
  r.notifiers[id_] = function_;
}

Notifier::~Notifier() {
  release();
}

void Notifier::notify(uint32_t id) {
  Registry &r = registry();
  std::lock_guard guard(r.lock);
  auto found = r.notifiers.find(id);
  // A full queue is success: a call is on its way.
  if (found != r.notifiers.end())
    napi_call_threadsafe_function(found->second, nullptr, napi_tsfn_nonblocking);
}

Napi::Value Notifier::id(const Napi::CallbackInfo &info) {
  if (id_ == 0) throw_code(info.Env(), "EBADF", "notifier is closed");
  return Napi::Number::New(info.Env(), id_);
}

// Whether the process, or the worker, stays alive for it.
void Notifier::hold(const Napi::CallbackInfo &info) {
  if (id_ == 0) return;
  if (info[0].ToBoolean())
    napi_ref_threadsafe_function(env_, function_);
  else
    napi_unref_threadsafe_function(env_, function_);
}

void Notifier::close(const Napi::CallbackInfo &) {
  release();
}

void Notifier::on_environment_exit(void *self) {
  static_cast<Notifier *>(self)->release();
}

void Notifier::release() {
  if (id_ == 0) return;
  {
    Registry &r = registry();
    std::lock_guard guard(r.lock);
    r.notifiers.erase(id_);
  }
  id_ = 0;
  napi_remove_env_cleanup_hook(env_, on_environment_exit, this);
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
}

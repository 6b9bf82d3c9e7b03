#include "kvm_vcpu_async.h"

#include "errors.h"

bool kvm_run_failed(const KvmVcpuCore::Outcome &outcome) {
  return outcome.end == KvmVcpuCore::End::kClosed || outcome.end == KvmVcpuCore::End::kRunning ||
         outcome.end == KvmVcpuCore::End::kError;
}

Napi::Error kvm_run_error(Napi::Env env, const KvmVcpuCore::Outcome &outcome) {
  if (outcome.end == KvmVcpuCore::End::kClosed) return code_error(env, "EBADF", "KVM_RUN: vCPU is closed");
  if (outcome.end == KvmVcpuCore::End::kRunning) return code_error(env, "EBUSY", "KVM_RUN: vCPU is running");
  return errno_error(env, outcome.error, "KVM_RUN");
}

Napi::Number kvm_exit_reason(Napi::Env env, const KvmVcpuCore &vcpu) {
  return Napi::Number::New(env, reinterpret_cast<const kvm_run *>(vcpu.page->base)->exit_reason);
}

KvmVcpuAsync::KvmVcpuAsync(Napi::Env env, std::shared_ptr<KvmVcpuCore> vcpu)
    : env_(env), vcpu_(std::move(vcpu)) {
  napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "xenner KVM_RUN"), 0, 1,
                                      nullptr, nullptr, this, on_event_loop, &function_);
  if (status != napi_ok) throw_code(env, "ENOMEM", "napi_create_threadsafe_function failed");
  napi_unref_threadsafe_function(env, function_);
  // Runs before the environment frees the function: hooks run in reverse order.
  napi_add_env_cleanup_hook(env, on_environment_exit, this);
  runner_ = std::make_unique<KvmVcpuRunner>(vcpu_, [this](KvmVcpuCore::Outcome outcome) {
    // The queue has no bound, and there is one call at a time.
    auto *copy = new KvmVcpuCore::Outcome(outcome);
    if (napi_call_threadsafe_function(function_, copy, napi_tsfn_nonblocking) != napi_ok) delete copy;
  });
}

Napi::Promise KvmVcpuAsync::run(Napi::Object owner) {
  int error = runner_->resume();
  if (error) throw_errno(env_, error, "pthread_create");
  deferred_.emplace(Napi::Promise::Deferred::New(env_));
  owner_ = Napi::Persistent(owner);
  napi_ref_threadsafe_function(env_, function_);
  return deferred_->Promise();
}

void KvmVcpuAsync::on_event_loop(napi_env env, napi_value, void *self, void *outcome) {
  std::unique_ptr<KvmVcpuCore::Outcome> end(static_cast<KvmVcpuCore::Outcome *>(outcome));
  // No environment: it is being torn down, or the vCPU was closed and its promise is settled.
  if (env != nullptr) static_cast<KvmVcpuAsync *>(self)->settle(*end);
}

void KvmVcpuAsync::settle(KvmVcpuCore::Outcome outcome) {
  if (!deferred_) return;
  Napi::HandleScope scope(env_);
  Napi::Promise::Deferred deferred = *deferred_;
  deferred_.reset();
  owner_.Reset();
  napi_unref_threadsafe_function(env_, function_);
  if (kvm_run_failed(outcome))
    deferred.Reject(kvm_run_error(env_, outcome).Value());
  else
    deferred.Resolve(kvm_exit_reason(env_, *vcpu_));
}

void KvmVcpuAsync::on_environment_exit(void *self) {
  auto *async = static_cast<KvmVcpuAsync *>(self);
  // JavaScript is over: nobody can see the promise any more.
  async->deferred_.reset();
  async->owner_.Reset();
  async->close();
}

void KvmVcpuAsync::close() {
  if (!function_) return;
  runner_->stop();
  settle({KvmVcpuCore::End::kClosed});
  napi_remove_env_cleanup_hook(env_, on_environment_exit, this);
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
  function_ = nullptr;
}

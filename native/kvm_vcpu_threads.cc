#include "kvm_vcpu_threads.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "errors.h"
#include "kvm_vcpu.h"

namespace {

std::string text_of(const KvmVcpuCore::Outcome &outcome) {
  using End = KvmVcpuCore::End;
  if (outcome.end == End::kClosed) return "KVM_RUN: vCPU is closed";
  if (outcome.end == End::kRunning) return "KVM_RUN: vCPU is running elsewhere";
  return std::string("KVM_RUN: ") + strerrordesc_np(outcome.error);
}

} // namespace

void KvmVcpuThreads::init(Napi::Env env, Napi::Object exports) {
  // Called for every exit of the guest: without node-addon-api's wrapper.
  napi_property_descriptor run = {"run",  nullptr, run_raw, nullptr, nullptr, nullptr, napi_default_method,
                                  nullptr};
  napi_property_descriptor wait = {"wait", nullptr, wait_raw, nullptr, nullptr, nullptr, napi_default_method,
                                   nullptr};
  exports.Set("KvmVcpuThreads", DefineClass(env, "KvmVcpuThreads",
                                            {
                                                PropertyDescriptor(run),
                                                PropertyDescriptor(wait),
                                                InstanceAccessor<&KvmVcpuThreads::id>("id"),
                                                InstanceMethod<&KvmVcpuThreads::resume>("resume"),
                                                InstanceMethod<&KvmVcpuThreads::pause>("pause"),
                                                InstanceMethod<&KvmVcpuThreads::set_timer>("setTimer"),
                                                InstanceMethod<&KvmVcpuThreads::error>("error"),
                                                InstanceMethod<&KvmVcpuThreads::close>("close"),
                                            }));
}

KvmVcpuThreads::KvmVcpuThreads(const Napi::CallbackInfo &info)
    : Napi::ObjectWrap<KvmVcpuThreads>(info), env_(info.Env()) {
  Napi::Env env = info.Env();
  if (!info[0].IsArray()) throw_argument(env, "vcpus must be an array of KvmVcpu");
  auto array = info[0].As<Napi::Array>();
  if (array.Length() == 0 || array.Length() > kMaxVcpus)
    throw_argument(env, "vcpus must be 1 to " + std::to_string(kMaxVcpus));
  std::unordered_set<KvmVcpuCore *> seen;
  for (uint32_t i = 0; i < array.Length(); i++) {
    members_.push_back({KvmVcpu::core_of(env, array.Get(i)), nullptr, true, ""});
    if (!seen.insert(members_.back().vcpu.get()).second) throw_argument(env, "a vCPU is there twice");
  }
  if (members_.size() > 1)
    for (size_t i = 0; i < members_.size(); i++) {
      members_[i].runner = std::make_unique<KvmVcpuRunner>(
          members_[i].vcpu, [this, i](KvmVcpuCore::Outcome outcome) { exited(i, outcome); });
      // All before the guest begins: whoever starts it may want to say where they run.
      if (int error = members_[i].runner->start()) throw_errno(env, error, "pthread_create");
    }
  else
    time_out_ = std::make_unique<VcpuTimer>([this] { interrupt(); });
  kick_ = VcpuKick::create([this] { interrupt(); });
  timer_ = std::make_unique<VcpuTimer>([kick = kick_] { kick->kick(); });
  // The threads must be gone before the environment is.
  napi_add_env_cleanup_hook(env, on_environment_exit, this);
}

KvmVcpuThreads::~KvmVcpuThreads() {
  release();
}

void KvmVcpuThreads::on_environment_exit(void *self) {
  static_cast<KvmVcpuThreads *>(self)->release();
}

void KvmVcpuThreads::exited(size_t index, KvmVcpuCore::Outcome outcome) {
  std::lock_guard guard(lock_);
  exits_.push_back({index, outcome});
  changed_.notify_one();
}

// Makes wait() look again, on any thread.
void KvmVcpuThreads::interrupt() {
  if (time_out_) {
    leave_ = true;
    members_[0].vcpu->interrupt();
  }
  std::lock_guard guard(lock_);
  changed_.notify_one();
}

std::string KvmVcpuThreads::resume(size_t index) {
  if (index >= members_.size()) return "there is no vCPU " + std::to_string(index);
  Member &member = members_[index];
  if (!member.parked) return "vCPU " + std::to_string(index) + " is resumed already";
  member.parked = false;
  if (!member.runner) return "";
  int error = member.runner->resume();
  // The guest must not hang silently for want of a thread.
  if (error) exited(index, {KvmVcpuCore::End::kError, error});
  return "";
}

// False: it had come out by itself, and this is its report.
bool KvmVcpuThreads::pause(size_t index) {
  Member &member = members_[index];
  if (!member.runner) {
    // It is not in the guest, but the instruction of its last exit may not be complete.
    const std::atomic<bool> stop{true};
    KvmVcpuCore::Outcome outcome = member.vcpu->run(&stop);
    if (outcome.end != KvmVcpuCore::End::kStopped) {
      report(index, outcome);
      return false;
    }
  } else if (!member.runner->pause()) {
    std::unique_lock guard(lock_);
    auto exit = std::find_if(exits_.begin(), exits_.end(), [&](const Exit &e) { return e.index == index; });
    KvmVcpuCore::Outcome outcome = exit->outcome;
    exits_.erase(exit);
    guard.unlock();
    report(index, outcome);
    return false;
  }
  member.parked = true;
  return true;
}

int KvmVcpuThreads::report(size_t index, const KvmVcpuCore::Outcome &outcome) {
  Member &member = members_[index];
  member.parked = true;
  if (kvm_run_failed(outcome)) {
    member.error = text_of(outcome);
    reinterpret_cast<kvm_run *>(member.vcpu->page->base)->exit_reason = kExitError;
  }
  return int(index);
}

int KvmVcpuThreads::wait_until(uint64_t deadline_ns) {
  return time_out_ ? run_here(deadline_ns) : wait_for_threads(deadline_ns);
}

int KvmVcpuThreads::wait_for_threads(uint64_t deadline_ns) {
  std::chrono::steady_clock::time_point deadline{std::chrono::nanoseconds(deadline_ns)};
  std::unique_lock guard(lock_);
  for (;;) {
    if (kick_->take()) return kKicked;
    if (!exits_.empty()) {
      Exit exit = exits_.front();
      exits_.pop_front();
      guard.unlock();
      return report(exit.index, exit.outcome);
    }
    if (deadline_ns == UINT64_MAX)
      changed_.wait(guard);
    else if (changed_.wait_until(guard, deadline) == std::cv_status::timeout && exits_.empty())
      return kick_->take() ? kKicked : kTimedOut;
  }
}

// The thread that waits runs the only vCPU itself: an exit is then no more than a return from KVM_RUN.
int KvmVcpuThreads::run_here(uint64_t deadline_ns) {
  Member &member = members_[0];
  for (;;) {
    // Before the reasons are looked at: whoever has one later sets it again.
    leave_ = false;
    if (kick_->take()) return kKicked;
    if (monotonic_ns() >= deadline_ns) return kTimedOut;
    if (member.parked) {
      if (kick_->wait_until(deadline_ns)) return kKicked;
      continue;
    }
    const char *failed = nullptr;
    if (deadline_ns != UINT64_MAX)
      if (int error = time_out_->arm(deadline_ns, &failed))
        return report(0, {KvmVcpuCore::End::kError, error});
    KvmVcpuCore::Outcome outcome = member.vcpu->run(&leave_);
    if (deadline_ns != UINT64_MAX) time_out_->arm(0, &failed);
    if (outcome.end != KvmVcpuCore::End::kStopped) return report(0, outcome);
  }
}

KvmVcpuThreads *KvmVcpuThreads::self_of(napi_env env, napi_callback_info info, napi_value *argument) {
  napi_value self;
  void *unwrapped;
  size_t count = 1;
  if (napi_get_cb_info(env, info, &count, argument, &self, nullptr) != napi_ok ||
      napi_unwrap(env, self, &unwrapped) != napi_ok) {
    napi_throw_type_error(env, "EINVAL", "not a KvmVcpuThreads");
    return nullptr;
  }
  auto *threads = static_cast<KvmVcpuThreads *>(unwrapped);
  if (threads->kick_) return threads;
  napi_throw_error(env, "EBADF", "the vCPUs' threads are closed");
  return nullptr;
}

napi_value KvmVcpuThreads::run_raw(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  KvmVcpuThreads *threads = self_of(env, info, &argument);
  if (!threads) return nullptr;
  double index = -1;
  napi_get_value_double(env, argument, &index);
  std::string error = index >= 0 && index <= double(kMaxVcpus) && index == std::floor(index)
                          ? threads->resume(size_t(index))
                          : "index must be a vCPU's";
  if (!error.empty()) {
    napi_throw_type_error(env, "EINVAL", error.c_str());
    return nullptr;
  }
  napi_create_int32(env, threads->wait_until(UINT64_MAX), &result);
  return result;
}

napi_value KvmVcpuThreads::wait_raw(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  KvmVcpuThreads *threads = self_of(env, info, &argument);
  if (!threads) return nullptr;
  double timeout_ns = NAN;
  napi_get_value_double(env, argument, &timeout_ns);
  if (!(timeout_ns >= 0)) {
    napi_throw_type_error(env, "EINVAL", "timeoutNs must be a number of nanoseconds, 0 or more");
    return nullptr;
  }
  // 2^62 ns are 146 years.
  uint64_t deadline = timeout_ns < 4.6e18 ? monotonic_ns() + uint64_t(timeout_ns) : UINT64_MAX;
  napi_create_int32(env, threads->wait_until(deadline), &result);
  return result;
}

Napi::Value KvmVcpuThreads::id(const Napi::CallbackInfo &info) {
  if (!kick_) throw_code(info.Env(), "EBADF", "the vCPUs' threads are closed");
  return Napi::Number::New(info.Env(), kick_->id);
}

void KvmVcpuThreads::resume(const Napi::CallbackInfo &info) {
  if (!kick_) throw_code(info.Env(), "EBADF", "the vCPUs' threads are closed");
  std::string error = resume(size_t(integer_argument(info, 0, "index", kMaxVcpus)));
  if (!error.empty()) throw_argument(info.Env(), error);
}

Napi::Value KvmVcpuThreads::pause(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (!kick_) throw_code(env, "EBADF", "the vCPUs' threads are closed");
  auto index = size_t(integer_argument(info, 0, "index", members_.size() - 1));
  if (members_[index].parked) throw_argument(env, "vCPU " + std::to_string(index) + " is not resumed");
  return Napi::Boolean::New(env, pause(index));
}

void KvmVcpuThreads::set_timer(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (!kick_) throw_code(env, "EBADF", "the vCPUs' threads are closed");
  const char *failed = nullptr;
  int error = timer_->arm(nanoseconds_argument(info, "deadlineNs"), &failed);
  if (error) throw_errno(env, error, failed);
}

Napi::Value KvmVcpuThreads::error(const Napi::CallbackInfo &info) {
  size_t index = size_t(integer_argument(info, 0, "index", members_.size() - 1));
  return Napi::String::New(info.Env(), members_[index].error);
}

void KvmVcpuThreads::close(const Napi::CallbackInfo &) {
  release();
}

void KvmVcpuThreads::release() {
  if (!kick_) return;
  // First those who kick and interrupt, then the threads.
  timer_.reset();
  kick_->close();
  kick_.reset();
  time_out_.reset();
  for (Member &member : members_)
    member.runner.reset();
  napi_remove_env_cleanup_hook(env_, on_environment_exit, this);
}

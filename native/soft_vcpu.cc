#include "soft_vcpu.h"

#include <algorithm>

#include "cpu_state.h"
#include "errors.h"
#include "vcpu_exit.h"

namespace {

// How much longer a CPU may run whose slice ends in ring 0.
constexpr uint64_t kRing0GraceNs = 20000;

} // namespace

SoftGroup::SoftGroup()
    : kick(VcpuKick::create([this] {
        if (softcpu *cpu = running) softcpu_kick(cpu);
      })),
      timer([this] { kick->kick(); }), slice([this] {
        slice_over = true;
        kick->interrupt();
      }) {}

void SoftVcpu::init(Napi::Env env, Napi::Object exports) {
  // Called for every exit of the guest: without node-addon-api's wrapper.
  napi_property_descriptor run = {"run",  nullptr, run_raw, nullptr, nullptr, nullptr, napi_default_method,
                                  nullptr};
  Napi::Function constructor = DefineClass(env, "SoftVcpu",
                                           {
                                               PropertyDescriptor(run),
                                               InstanceAccessor<&SoftVcpu::id>("id"),
                                               InstanceAccessor<&SoftVcpu::last_error>("lastError"),
                                               InstanceMethod<&SoftVcpu::inject>("inject"),
                                               InstanceMethod<&SoftVcpu::wait>("wait"),
                                               InstanceMethod<&SoftVcpu::set_timer>("setTimer"),
                                               InstanceMethod<&SoftVcpu::set_slice>("setSlice"),
                                               InstanceMethod<&SoftVcpu::get_state>("getState"),
                                               InstanceMethod<&SoftVcpu::set_state>("setState"),
                                               InstanceMethod<&SoftVcpu::get_fpu>("getFpu"),
                                               InstanceMethod<&SoftVcpu::set_fpu>("setFpu"),
                                               InstanceMethod<&SoftVcpu::set_cpuid>("setCpuid"),
                                               InstanceMethod<&SoftVcpu::set_breakpoints>("setBreakpoints"),
                                               InstanceMethod<&SoftVcpu::invalidate>("invalidate"),
                                               InstanceMethod<&SoftVcpu::close>("close"),
                                           });
  exports.Set("SoftVcpu", constructor);
}

SoftVcpu::SoftVcpu(const Napi::CallbackInfo &info) : Napi::ObjectWrap<SoftVcpu>(info) {
  Napi::Env env = info.Env();
  memory_ = GuestMemory::mapping_of(env, info[0]);
  softcpu_config config = {};
  config.ram = memory_->base;
  config.ram_bytes = memory_->bytes;
  config.exit_port = uint32_t(integer_argument(info, 1, "exitPort", 0xffff));
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      info[2].As<Napi::TypedArray>().ElementLength() < memory_->bytes / GuestMapping::kPageBytes)
    throw_argument(env, "codeMarks must be a Uint8Array with a byte for each page");
  marks_ = Napi::Persistent(info[2].As<Napi::Uint8Array>());
  config.code_marks = info[2].As<Napi::Uint8Array>().Data();
  if (!info[3].IsUndefined()) {
    auto *sibling = info[3].IsObject() ? Unwrap(info[3].As<Napi::Object>()) : nullptr;
    if (!sibling || !sibling->cpu_) throw_code(env, "EBADF", "sibling is not an open vCPU");
    config.sibling = sibling->cpu_;
    group_ = sibling->group_;
  }
  const char *error = "unknown";
  cpu_ = softcpu_create(&config, &error);
  if (!cpu_) throw_code(env, "ENOMEM", std::string("soft CPU: ") + error);
  if (!group_) group_ = std::make_shared<SoftGroup>();
}

SoftVcpu::~SoftVcpu() {
  release();
}

napi_value SoftVcpu::run_raw(napi_env env, napi_callback_info info) {
  napi_value self, result;
  void *unwrapped;
  if (napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr) != napi_ok ||
      napi_unwrap(env, self, &unwrapped) != napi_ok) {
    napi_throw_type_error(env, "EINVAL", "not a SoftVcpu");
    return nullptr;
  }
  auto *vcpu = static_cast<SoftVcpu *>(unwrapped);
  if (!vcpu->cpu_) {
    napi_throw_error(env, "EBADF", "vCPU is closed");
    return nullptr;
  }
  napi_create_uint32(env, uint32_t(vcpu->run()), &result);
  return result;
}

int SoftVcpu::run() {
  group_->running = cpu_;
  int exit = run_until_exit();
  group_->running = nullptr;
  return exit;
}

// The monitor, in ring 0, is not interrupted: it holds what the next CPU may need.
bool SoftVcpu::take_turn_over() {
  if (!group_->sliced) return false;
  if (softcpu_cpl(cpu_) != 0) {
    group_->sliced = false;
    return true;
  }
  const char *failed;
  group_->slice_over = false;
  group_->slice.arm(monotonic_ns() + kRing0GraceNs, &failed);
  return false;
}

int SoftVcpu::run_until_exit() {
  for (;;) {
    if (group_->kick->take()) return VCPU_EXIT_KICK;
    if (group_->slice_over && take_turn_over()) return VCPU_EXIT_YIELD;
    switch (softcpu_run(cpu_)) {
    case SOFTCPU_EXIT_PORT:
      return VCPU_EXIT_PORT;
    case SOFTCPU_EXIT_KICK:
      // The CPU keeps a kick of its own, which may belong to one that an earlier run() or wait() has
      // answered.
      break;
    case SOFTCPU_EXIT_PAUSE:
      if (group_->sliced && softcpu_cpl(cpu_) != 0) {
        group_->sliced = false;
        return VCPU_EXIT_YIELD;
      }
      break;
    case SOFTCPU_EXIT_HLT:
      return VCPU_EXIT_HLT;
    case SOFTCPU_EXIT_SHUTDOWN:
      return VCPU_EXIT_SHUTDOWN;
    default:
      last_error_ = softcpu_error(cpu_);
      return VCPU_EXIT_ERROR;
    }
  }
}

void SoftVcpu::require_open(Napi::Env env) const {
  if (!cpu_) throw_code(env, "EBADF", "vCPU is closed");
}

Napi::Value SoftVcpu::id(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  return Napi::Number::New(info.Env(), group_->kick->id);
}

Napi::Value SoftVcpu::last_error(const Napi::CallbackInfo &info) {
  return Napi::String::New(info.Env(), last_error_);
}

void SoftVcpu::inject(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  softcpu_raise_irq(cpu_, uint8_t(integer_argument(info, 0, "vector", 255)));
}

// The timer's deadline is looked at here too: sleeping until it is one wake-up less than being kicked by its
// thread.
Napi::Value SoftVcpu::wait(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  uint64_t timeout = nanoseconds_argument(info, "timeoutNs");
  uint64_t end = monotonic_ns() + timeout;
  bool kicked = false;
  for (;;) {
    uint64_t until = std::min(end, group_->timer.deadline());
    kicked = group_->kick->wait_until(until);
    if (kicked) break;
    uint64_t now = monotonic_ns();
    kicked = group_->timer.take_due(now);
    if (kicked || now >= end) break;
  }
  return Napi::Boolean::New(info.Env(), kicked);
}

void SoftVcpu::set_timer(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  const char *failed = nullptr;
  int error = group_->timer.arm(nanoseconds_argument(info, "deadlineNs"), &failed);
  if (error) throw_errno(info.Env(), error, failed);
}

// From now on, ns long; 0: for ever. The runs of all siblings together.
void SoftVcpu::set_slice(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  uint64_t ns = nanoseconds_argument(info, "ns");
  const char *failed = nullptr;
  group_->sliced = ns != 0;
  group_->slice_over = false;
  int error = group_->slice.arm(ns ? monotonic_ns() + ns : 0, &failed);
  if (error) throw_errno(info.Env(), error, failed);
}

Napi::Value SoftVcpu::get_state(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  require_open(env);
  softcpu_state state{};
  softcpu_get_state(cpu_, &state);
  auto words = Napi::TypedArrayOf<uint64_t>::New(env, kCpuStateWords, napi_biguint64_array);
  cpu_state_to_words(state, words.Data());
  return words;
}

void SoftVcpu::set_state(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  require_open(env);
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array ||
      info[0].As<Napi::TypedArray>().ElementLength() != kCpuStateWords)
    throw_argument(env, "state must be a BigUint64Array of " + std::to_string(kCpuStateWords) + " words");
  softcpu_state state{};
  softcpu_get_state(cpu_, &state);
  cpu_state_from_words(state, info[0].As<Napi::BigUint64Array>().Data());
  if (!softcpu_set_state(cpu_, &state)) throw_code(env, "EINVAL", "no CPU accepts this state");
}

Napi::Value SoftVcpu::get_fpu(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  auto bytes = Napi::Uint8Array::New(info.Env(), SOFTCPU_FPU_BYTES);
  softcpu_get_fpu(cpu_, bytes.Data());
  return bytes;
}

void SoftVcpu::set_fpu(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  require_open(env);
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      info[0].As<Napi::TypedArray>().ElementLength() != SOFTCPU_FPU_BYTES)
    throw_argument(env, "state must be a Uint8Array of " + std::to_string(SOFTCPU_FPU_BYTES) + " bytes");
  softcpu_set_fpu(cpu_, info[0].As<Napi::Uint8Array>().Data());
}

void SoftVcpu::set_cpuid(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  require_open(env);
  constexpr size_t words = sizeof(softcpu_cpuid) / sizeof(uint32_t);
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
    throw_argument(env, "entries must be a Uint32Array");
  auto array = info[0].As<Napi::Uint32Array>();
  size_t count = array.ElementLength() / words;
  const auto *entries = reinterpret_cast<const softcpu_cpuid *>(array.Data());
  if (array.ElementLength() % words != 0 || !softcpu_set_cpuid(cpu_, entries, count))
    throw_argument(env, "entries must be at most " + std::to_string(SOFTCPU_MAX_CPUID) + " times 6 words");
}

void SoftVcpu::set_breakpoints(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  require_open(env);
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array)
    throw_argument(env, "addresses must be a BigUint64Array");
  auto array = info[0].As<Napi::BigUint64Array>();
  if (!softcpu_set_breakpoints(cpu_, array.Data(), array.ElementLength()))
    throw_argument(env, "addresses must be at most " + std::to_string(SOFTCPU_MAX_BREAKPOINTS));
}

void SoftVcpu::invalidate(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  require_open(env);
  uint64_t gpa = integer_argument(info, 0, "gpa", memory_->bytes);
  uint64_t length = integer_argument(info, 1, "length", memory_->bytes - gpa);
  if (length) softcpu_invalidate(cpu_, gpa, length);
}

void SoftVcpu::close(const Napi::CallbackInfo &) {
  release();
}

void SoftVcpu::release() {
  if (group_) group_->kick->settle();
  group_.reset();
  softcpu_destroy(cpu_);
  cpu_ = nullptr;
  marks_.Reset();
  memory_.reset();
}

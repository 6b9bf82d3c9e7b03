#include "soft_vcpu.h"

#include <algorithm>
#include <cmath>

#include "cpu_state.h"
#include "errors.h"
#include "vcpu_exit.h"

namespace {

// The richest model whose instructions the engine has all of, AVX apart; the CPUID table decides what the
// guest sees.
constexpr int kCpuModel = UC_CPU_X86_HASWELL;

// A deadline or a time-out in ns; at most 2^63, so that sums cannot wrap. Infinity and NaN are the caller's
// matter.
uint64_t nanoseconds_argument(const Napi::CallbackInfo &info, const char *name) {
  double value = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : NAN;
  if (!(value >= 0))
    throw_argument(info.Env(), std::string(name) + " must be a number of nanoseconds, 0 or more");
  return value >= 9.2e18 ? uint64_t(9.2e18) : uint64_t(value);
}

} // namespace

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
                                               InstanceMethod<&SoftVcpu::get_state>("getState"),
                                               InstanceMethod<&SoftVcpu::set_state>("setState"),
                                               InstanceMethod<&SoftVcpu::set_cpuid>("setCpuid"),
                                               InstanceMethod<&SoftVcpu::invalidate>("invalidate"),
                                               InstanceMethod<&SoftVcpu::close>("close"),
                                           });
  exports.Set("SoftVcpu", constructor);
}

SoftVcpu::SoftVcpu(const Napi::CallbackInfo &info) : Napi::ObjectWrap<SoftVcpu>(info) {
  Napi::Env env = info.Env();
  memory_ = GuestMemory::mapping_of(env, info[0]);
  exit_port_ = uint32_t(integer_argument(info, 1, "exitPort", 0xffff));
  try {
    open_engine(env);
  } catch (...) {
    release();
    throw;
  }
  uc_engine *engine = engine_;
  kick_ = VcpuKick::create([engine] { uc_x86_kick(engine); });
  timer_ = std::make_unique<VcpuTimer>([kick = kick_] { kick->kick(); });
}

SoftVcpu::~SoftVcpu() {
  release();
}

void SoftVcpu::check(Napi::Env env, uc_err error, const char *call) {
  if (error == UC_ERR_OK) return;
  throw_code(env, error == UC_ERR_NOMEM ? "ENOMEM" : "EINVAL", std::string(call) + ": " + uc_strerror(error));
}

void SoftVcpu::open_engine(Napi::Env env) {
  check(env, uc_open(UC_ARCH_X86, UC_MODE_64, &engine_), "uc_open");
  check(env, uc_ctl_set_cpu_model(engine_, kCpuModel), "uc_ctl_set_cpu_model");
  check(env, uc_x86_set_native(engine_, true), "uc_x86_set_native");
  check(env, uc_mem_map_ptr(engine_, 0, memory_->bytes, UC_PROT_ALL, memory_->base), "uc_mem_map_ptr");
  // An empty range (1..0) means everywhere.
  struct {
    void *callback;
    int instruction;
  } hooks[] = {{reinterpret_cast<void *>(on_in), UC_X86_INS_IN},
               {reinterpret_cast<void *>(on_out), UC_X86_INS_OUT},
               {reinterpret_cast<void *>(on_cpuid), UC_X86_INS_CPUID}};
  for (const auto &hook : hooks) {
    uc_hook handle;
    check(env, uc_hook_add(engine_, &handle, UC_HOOK_INSN, hook.callback, this, 1, 0, hook.instruction),
          "uc_hook_add");
  }
}

// No device is there: an unconnected bus reads as ones.
uint32_t SoftVcpu::on_in(uc_engine *, uint32_t, int size, void *) {
  return size >= 4 ? 0xffffffffu : (1u << (size * 8)) - 1;
}

void SoftVcpu::on_out(uc_engine *engine, uint32_t port, int, uint32_t, void *self) {
  auto *vcpu = static_cast<SoftVcpu *>(self);
  if (port != vcpu->exit_port_) return;
  vcpu->port_written_ = true;
  uc_emu_stop(engine);
}

int SoftVcpu::on_cpuid(uc_engine *engine, void *self) {
  auto *vcpu = static_cast<SoftVcpu *>(self);
  enum { rax, rcx, rdx, rbx };
  uint64_t *gpr = uc_x86_gpr(engine);
  uint32_t function = uint32_t(gpr[rax]), index = uint32_t(gpr[rcx]);
  CpuidEntry answer{};
  for (const CpuidEntry &entry : vcpu->cpuid_) {
    if (entry.function != function || (entry.index != kAnyIndex && entry.index != index)) continue;
    answer = entry;
    break;
  }
  gpr[rax] = answer.eax;
  gpr[rbx] = answer.ebx;
  gpr[rcx] = answer.ecx;
  gpr[rdx] = answer.edx;
  return 1; // answered: the engine's own CPUID is not asked
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
  if (!vcpu->engine_) {
    napi_throw_error(env, "EBADF", "vCPU is closed");
    return nullptr;
  }
  napi_create_uint32(env, uint32_t(vcpu->run()), &result);
  return result;
}

int SoftVcpu::run() {
  for (;;) {
    if (kick_->take()) return VCPU_EXIT_KICK;
    port_written_ = false;
    switch (uc_x86_run(engine_)) {
    case UC_X86_EXIT_STOP:
      if (port_written_) return VCPU_EXIT_PORT;
      break;
    case UC_X86_EXIT_KICK:
      // The engine keeps a kick of its own, which may belong to one that an earlier run() or wait() has
      // answered.
      break;
    case UC_X86_EXIT_HLT:
      return VCPU_EXIT_HLT;
    case UC_X86_EXIT_SHUTDOWN:
      return VCPU_EXIT_SHUTDOWN;
    default:
      last_error_ = uc_strerror(uc_errno(engine_));
      return VCPU_EXIT_ERROR;
    }
  }
}

void SoftVcpu::require_open(Napi::Env env) const {
  if (!engine_) throw_code(env, "EBADF", "vCPU is closed");
}

Napi::Value SoftVcpu::id(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  return Napi::Number::New(info.Env(), kick_->id);
}

Napi::Value SoftVcpu::last_error(const Napi::CallbackInfo &info) {
  return Napi::String::New(info.Env(), last_error_);
}

void SoftVcpu::inject(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  uc_x86_raise_irq(engine_, int(integer_argument(info, 0, "vector", 255)));
}

// The timer's deadline is looked at here too: sleeping until it is one wake-up less than being kicked by its
// thread.
Napi::Value SoftVcpu::wait(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  uint64_t timeout = nanoseconds_argument(info, "timeoutNs");
  uint64_t end = monotonic_ns() + timeout;
  bool kicked = false;
  for (;;) {
    uint64_t until = std::min(end, timer_->deadline());
    kicked = kick_->wait_until(until);
    if (kicked) break;
    uint64_t now = monotonic_ns();
    kicked = timer_->take_due(now);
    if (kicked || now >= end) break;
  }
  return Napi::Boolean::New(info.Env(), kicked);
}

void SoftVcpu::set_timer(const Napi::CallbackInfo &info) {
  require_open(info.Env());
  const char *failed = nullptr;
  int error = timer_->arm(nanoseconds_argument(info, "deadlineNs"), &failed);
  if (error) throw_errno(info.Env(), error, failed);
}

Napi::Value SoftVcpu::get_state(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  require_open(env);
  uc_x86_state state{};
  check(env, uc_x86_get_state(engine_, &state), "uc_x86_get_state");
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
  uc_x86_state state{};
  check(env, uc_x86_get_state(engine_, &state), "uc_x86_get_state");
  cpu_state_from_words(state, info[0].As<Napi::BigUint64Array>().Data());
  check(env, uc_x86_set_state(engine_, &state), "uc_x86_set_state");
}

void SoftVcpu::set_cpuid(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  require_open(env);
  constexpr size_t words = sizeof(CpuidEntry) / sizeof(uint32_t);
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
    throw_argument(env, "entries must be a Uint32Array");
  auto array = info[0].As<Napi::Uint32Array>();
  size_t count = array.ElementLength() / words;
  if (array.ElementLength() % words != 0 || count > kMaxCpuidEntries)
    throw_argument(env, "entries must be at most 256 times 6 words");
  cpuid_.clear();
  for (const uint32_t *w = array.Data(), *end = w + count * words; w != end; w += words)
    cpuid_.push_back({w[0], w[1], w[2], w[3], w[4], w[5]});
}

void SoftVcpu::invalidate(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  require_open(env);
  uint64_t gpa = integer_argument(info, 0, "gpa", memory_->bytes);
  uint64_t length = integer_argument(info, 1, "length", memory_->bytes - gpa);
  if (length) uc_x86_invalidate(engine_, gpa, length);
}

void SoftVcpu::close(const Napi::CallbackInfo &) {
  release();
}

void SoftVcpu::release() {
  timer_.reset();
  if (kick_) kick_->close();
  kick_.reset();
  if (engine_) uc_close(engine_);
  engine_ = nullptr;
  memory_.reset();
}

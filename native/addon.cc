// The addon's entry: once per JavaScript environment, so in the main thread and in every worker.
#include <napi.h>

#include "addon_data.h"
#include "clock.h"
#include "compress.h"
#include "decompress.h"
#include "event_fd.h"
#include "file_io.h"
#include "file_lock.h"
#include "file_range.h"
#include "guest_memory.h"
#include "kvm_probe.h"
#include "kvm_system.h"
#include "kvm_vcpu.h"
#include "kvm_vcpu_threads.h"
#include "kvm_vm.h"
#include "net_tap.h"
#include "netlink.h"
#include "notifier.h"
#include "socket_pair.h"
#include "vcpu_kick.h"
#ifdef XENNER_SOFT_CPU
#include "soft_vcpu.h"
#endif

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new AddonData);
  GuestMemory::init(env, exports);
  Notifier::init(env, exports);
  VcpuKick::init(env, exports);
  EventFd::init(env, exports);
  FileIo::init(env, exports);
  NetTap::init(env, exports);
  KvmSystem::init(env, exports);
  KvmVm::init(env, exports);
  KvmVcpu::init(env, exports);
  KvmVcpuThreads::init(env, exports);
#ifdef XENNER_SOFT_CPU
  SoftVcpu::init(env, exports);
#endif
  init_clock(env, exports);
  init_compress(env, exports);
  init_decompress(env, exports);
  init_file_lock(env, exports);
  init_file_range(env, exports);
  init_kvm_probe(env, exports);
  init_netlink(env, exports);
  init_socket_pair(env, exports);
  return exports;
}

NODE_API_MODULE(xenner, init)

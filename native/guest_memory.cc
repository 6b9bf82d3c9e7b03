#include "guest_memory.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unordered_map>

#include "addon_data.h"
#include "errors.h"

namespace {

// Tells a GuestMemory from any other object that is passed in its place.
constexpr napi_type_tag kTypeTag = {0x9d2f6a1c4b8e4f07, 0xa5c31e7790d2486b};

struct Registry {
  std::mutex lock;
  std::unordered_map<uint32_t, std::weak_ptr<GuestMapping>> mappings;
  uint32_t next_id = 1;
};

// Never destroyed: threads may still close handles while the process exits.
Registry &registry() {
  static Registry *the = new Registry;
  return *the;
}

} // namespace

namespace {

// A transparent huge page.
constexpr uint64_t kHugeBytes = 2 << 20;

// memfd or hugetlbfs. MAP_NORESERVE only for small pages: huge ones are reserved here and now, so that a
// guest never dies of SIGBUS because they have run out.
void *map_file(uint64_t bytes, uint8_t page_shift, int *fd, const char **failed) {
  bool huge = page_shift != 12;
  *failed = "memfd_create";
  *fd = memfd_create("xenner-guest",
                     MFD_CLOEXEC | (huge ? MFD_HUGETLB | unsigned(page_shift) << MAP_HUGE_SHIFT : 0));
  if (*fd < 0) return MAP_FAILED;
  *failed = "ftruncate";
  if (ftruncate(*fd, off_t(bytes)) != 0) return MAP_FAILED;
  *failed = "mmap";
  return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (huge ? 0 : MAP_NORESERVE), *fd, 0);
}

// Aligned to 2 MiB, without which neither the host nor KVM can use a huge page.
void *map_private(uint64_t bytes, const char **failed) {
  *failed = "mmap";
  void *base = mmap(nullptr, bytes + kHugeBytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return base;
  auto *start = static_cast<uint8_t *>(base);
  uint64_t before = (kHugeBytes - uint64_t(start) % kHugeBytes) % kHugeBytes;
  if (before) munmap(start, before);
  munmap(start + before + bytes, kHugeBytes - before);
  return start + before;
}

// From <linux/mempolicy.h>; libnuma would be a library for one call.
constexpr int kMpolBind = 2;

int bind_to_node(void *base, uint64_t bytes, int node) {
  unsigned long nodes[16] = {};
  nodes[unsigned(node) / 64] = 1ul << unsigned(node) % 64;
  return int(syscall(SYS_mbind, base, bytes, kMpolBind, nodes, sizeof nodes * 8, 0));
}

bool apply(void *base, uint64_t bytes, const GuestMemoryBacking &backing, const char **failed) {
  // A core dump of the launcher is not to contain guests.
  madvise(base, bytes, MADV_DONTDUMP);
  *failed = "MADV_HUGEPAGE";
  if (backing.transparent && madvise(base, bytes, MADV_HUGEPAGE) != 0) return false;
  *failed = "MADV_MERGEABLE";
  if (backing.mergeable && madvise(base, bytes, MADV_MERGEABLE) != 0) return false;
  if (backing.numa_node < 0) return true;
  *failed = "mbind";
  if (bind_to_node(base, bytes, backing.numa_node) != 0) return false;
  // Huge pages are reserved of whatever node: the node may have fewer, and a guest that met the end of them
  // would die of SIGBUS. So they are taken now.
  *failed = "MADV_POPULATE_WRITE";
  return backing.page_shift == 12 || madvise(base, bytes, MADV_POPULATE_WRITE) == 0;
}

} // namespace

// Small pages: touching 120 MiB costs 70 ms here with them, 40 ms if the memory were private, and 300 ms with
// huge ones, which a guest of that size never pays back. shmem gives huge pages only where the host's
// settings ask for them, and KSM merges only private anonymous pages: for either the memory is private.
std::shared_ptr<GuestMapping> GuestMapping::create(uint64_t bytes, const GuestMemoryBacking &backing,
                                                   const char **failed) {
  int fd = -1;
  uint64_t page = 1ull << backing.page_shift;
  uint64_t mapped = (bytes + page - 1) / page * page;
  void *base = backing.transparent || backing.mergeable ? map_private(mapped, failed)
                                                        : map_file(mapped, backing.page_shift, &fd, failed);
  if (base == MAP_FAILED || !apply(base, mapped, backing, failed)) {
    int error = errno;
    if (base != MAP_FAILED) munmap(base, mapped);
    if (fd >= 0) ::close(fd);
    errno = error;
    return nullptr;
  }
  return add(fd, nullptr, static_cast<uint8_t *>(base), bytes, mapped, backing);
}

std::shared_ptr<GuestMapping> GuestMapping::from_file(int fd, uint64_t offset, uint64_t bytes,
                                                      const char **failed) {
  std::unique_ptr<FilePages> file(FilePages::map(fd, offset, bytes, failed));
  if (!file) return nullptr;
  uint8_t *base = file->base();
  madvise(base, bytes, MADV_DONTDUMP);
  return add(-1, std::move(file), base, bytes, bytes, {});
}

std::shared_ptr<GuestMapping> GuestMapping::add(int fd, std::unique_ptr<FilePages> file, uint8_t *base,
                                                uint64_t bytes, uint64_t mapped,
                                                const GuestMemoryBacking &backing) {
  Registry &r = registry();
  std::lock_guard guard(r.lock);
  std::shared_ptr<GuestMapping> mapping(
      new GuestMapping(r.next_id++, fd, std::move(file), base, bytes, mapped, backing));
  r.mappings[mapping->id] = mapping;
  return mapping;
}

std::shared_ptr<GuestMapping> GuestMapping::find(uint32_t id) {
  Registry &r = registry();
  std::lock_guard guard(r.lock);
  auto found = r.mappings.find(id);
  return found == r.mappings.end() ? nullptr : found->second.lock();
}

std::shared_ptr<GuestMapping> GuestMapping::around(const uint8_t *address) {
  Registry &r = registry();
  std::lock_guard guard(r.lock);
  for (const auto &[id, weak] : r.mappings) {
    auto mapping = weak.lock();
    if (mapping && address >= mapping->base && address < mapping->base + mapping->bytes) return mapping;
  }
  return nullptr;
}

// Reading a hole of a memfd would fill it, so it is not read; of other memory nobody tells what is in it.
template <typename Visit>
bool GuestMapping::visit_pages(uint64_t offset, uint64_t length, Visit visit) const {
  uint64_t end = offset + length;
  if (fd_ < 0) return visit(PageRun{base + offset, length, 0});
  for (uint64_t at = offset; at < end;) {
    off_t data = lseek(fd_, off_t(at), SEEK_DATA);
    if (data < 0 || uint64_t(data) >= end) return data >= 0 || errno == ENXIO;
    off_t hole = lseek(fd_, data, SEEK_HOLE);
    if (hole < 0) return false;
    at = std::min(uint64_t(hole), end);
    if (!visit(PageRun{base + data, at - uint64_t(data), uint64_t(data) - offset})) return false;
  }
  return true;
}

void GuestMapping::discard(uint64_t offset, uint64_t length) {
  if (!give_back(offset, length)) memset(base + offset, 0, length);
}

// Pages of a pool stay the guest's: others could take them meanwhile, and it would die of SIGBUS when it
// wants them back. In private memory khugepaged would fill up what is missing of a huge page: not there any
// more.
bool GuestMapping::give_back(uint64_t offset, uint64_t length) {
  if (file_) return file_->discard(offset, length);
  if (backing_.page_shift != 12) return false;
  if (fd_ >= 0)
    return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(offset), off_t(length)) == 0;
  if (backing_.transparent) {
    uint64_t first = offset / kHugeBytes * kHugeBytes;
    uint64_t end = std::min((offset + length + kHugeBytes - 1) / kHugeBytes * kHugeBytes, mapped_);
    madvise(base + first, end - first, MADV_NOHUGEPAGE);
  }
  return madvise(base + offset, length, MADV_DONTNEED) == 0;
}

GuestMapping::GuestMapping(uint32_t id, int fd, std::unique_ptr<FilePages> file, uint8_t *base,
                           uint64_t bytes, uint64_t mapped, const GuestMemoryBacking &backing)
    : id(id), base(base), bytes(bytes), fd_(fd), backing_(backing), file_(std::move(file)), mapped_(mapped) {}

GuestMapping::~GuestMapping() {
  if (!file_) munmap(base, mapped_);
  if (fd_ >= 0) ::close(fd_);
}

void GuestMapping::add_handle() {
  std::lock_guard guard(registry().lock);
  handles_++;
}

void GuestMapping::drop_handle() {
  Registry &r = registry();
  std::lock_guard guard(r.lock);
  if (--handles_ == 0) r.mappings.erase(id);
}

namespace {

struct Piece {
  uint64_t offset, length;
};

// Arguments `index` and the next one.
Piece whole_pages_argument(const Napi::CallbackInfo &info, size_t index, const GuestMapping &mapping) {
  uint64_t offset = integer_argument(info, index, "offset", mapping.bytes);
  uint64_t length = integer_argument(info, index + 1, "length", mapping.bytes - offset);
  if ((offset | length) % GuestMapping::kPageBytes != 0)
    throw_argument(info.Env(), "offset and length must be multiples of 4096");
  return {offset, length};
}

} // namespace

void GuestMemory::init(Napi::Env env, Napi::Object exports) {
  Napi::Function constructor = DefineClass(env, "GuestMemory",
                                           {
                                               StaticMethod<&GuestMemory::attach>("attach"),
                                               StaticMethod<&GuestMemory::from_file>("fromFile"),
                                               StaticMethod<&GuestMemory::sum>("sum"),
                                               InstanceAccessor<&GuestMemory::id>("id"),
                                               InstanceAccessor<&GuestMemory::is_damaged>("isDamaged"),
                                               InstanceMethod<&GuestMemory::write_pages_to>("writePagesTo"),
                                               InstanceMethod<&GuestMemory::read_pages_from>("readPagesFrom"),
                                               InstanceMethod<&GuestMemory::copy_pages_from>("copyPagesFrom"),
                                               InstanceMethod<&GuestMemory::fill_entries>("fillEntries"),
                                               InstanceAccessor<&GuestMemory::bytes>("bytes"),
                                               InstanceMethod<&GuestMemory::discard>("discard"),
                                               InstanceMethod<&GuestMemory::view>("view"),
                                               InstanceMethod<&GuestMemory::close>("close"),
                                           });
  env.GetInstanceData<AddonData>()->guest_memory = Napi::Persistent(constructor);
  exports.Set("GuestMemory", constructor);
}

// Behind `bytes`: page shift, transparent, mergeable, NUMA node + 1 (0: any).
GuestMemoryBacking GuestMemory::backing_argument(const Napi::CallbackInfo &info) {
  GuestMemoryBacking backing;
  if (info.Length() < 2) return backing;
  backing.page_shift = uint8_t(integer_argument(info, 1, "pageShift", 30));
  backing.transparent = integer_argument(info, 2, "transparent", 1) != 0;
  backing.mergeable = integer_argument(info, 3, "mergeable", 1) != 0;
  backing.numa_node = int(integer_argument(info, 4, "numaNode + 1", 1024)) - 1;
  if (backing.page_shift != 12 && backing.page_shift != 21 && backing.page_shift != 30)
    throw_argument(info.Env(), "pageShift must be 12, 21 or 30");
  if (backing.page_shift != 12 && (backing.transparent || backing.mergeable))
    throw_argument(info.Env(), "hugetlb pages are neither transparent nor mergeable");
  return backing;
}

// new GuestMemory(bytes, ...); wrap() passes the mapping itself as an external value, which JavaScript
// cannot make.
GuestMemory::GuestMemory(const Napi::CallbackInfo &info) : Napi::ObjectWrap<GuestMemory>(info) {
  Napi::Env env = info.Env();
  if (info[0].IsExternal()) {
    mapping_ = *info[0].As<Napi::External<std::shared_ptr<GuestMapping>>>().Data();
  } else {
    uint64_t bytes = integer_argument(info, 0, "bytes", GuestMapping::kMaxBytes);
    GuestMemoryBacking backing = backing_argument(info);
    if (bytes == 0 || bytes % GuestMapping::kPageBytes != 0)
      throw_argument(env, "bytes must be a multiple of " + std::to_string(GuestMapping::kPageBytes) +
                              ", and not 0");
    const char *failed = nullptr;
    mapping_ = GuestMapping::create(bytes, backing, &failed);
    if (!mapping_) throw_errno(env, errno, failed);
  }
  mapping_->add_handle();
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
}

GuestMemory::~GuestMemory() {
  release();
}

Napi::Value GuestMemory::attach(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  uint32_t id = uint32_t(integer_argument(info, 0, "id", UINT32_MAX));
  std::shared_ptr<GuestMapping> mapping = GuestMapping::find(id);
  if (!mapping) throw_code(env, "ENOENT", "guest memory " + std::to_string(id) + " is not open");
  return wrap(env, mapping);
}

Napi::Value GuestMemory::wrap(Napi::Env env, std::shared_ptr<GuestMapping> mapping) {
  auto external = Napi::External<std::shared_ptr<GuestMapping>>::New(env, &mapping);
  return env.GetInstanceData<AddonData>()->guest_memory.New({external});
}

Napi::Value GuestMemory::from_file(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  int fd = int(integer_argument(info, 0, "fd", INT32_MAX));
  uint64_t offset = integer_argument(info, 1, "offset", INT64_MAX);
  uint64_t bytes = integer_argument(info, 2, "bytes", GuestMapping::kMaxBytes);
  if (bytes == 0 || (bytes | offset) % GuestMapping::kPageBytes != 0)
    throw_argument(env, "offset and bytes must be multiples of 4096, and bytes not 0");
  const char *failed = nullptr;
  auto mapping = GuestMapping::from_file(fd, offset, bytes, &failed);
  if (!mapping) throw_errno(env, errno, failed);
  return wrap(env, mapping);
}

std::shared_ptr<GuestMapping> GuestMemory::mapping_of(Napi::Env env, Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTypeTag))
    throw_argument(env, "not a GuestMemory");
  GuestMemory *self = Unwrap(value.As<Napi::Object>());
  self->open(env);
  return self->mapping_;
}

GuestMapping &GuestMemory::open(Napi::Env env) {
  if (!mapping_) throw_code(env, "EBADF", "guest memory is closed");
  return *mapping_;
}

Napi::Value GuestMemory::id(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), open(info.Env()).id);
}

Napi::Value GuestMemory::bytes(const Napi::CallbackInfo &info) {
  return Napi::Number::New(info.Env(), double(open(info.Env()).bytes));
}

Napi::Value GuestMemory::view(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  GuestMapping &mapping = open(env);
  uint64_t offset = integer_argument(info, 0, "offset", mapping.bytes);
  uint64_t length = integer_argument(info, 1, "length", kMaxViewBytes);
  if (length > mapping.bytes - offset) throw_code(env, "ERANGE", "the view ends beyond the guest's memory");
  // The buffer's own reference: the mapping outlives every handle while JavaScript can reach the view.
  auto *reference = new std::shared_ptr<GuestMapping>(mapping_);
  auto view = Napi::ArrayBuffer::New(
      env, mapping.base + offset, length,
      [](Napi::BasicEnv, void *, std::shared_ptr<GuestMapping> *hint) { delete hint; }, reference);
  views_.push_back(Napi::Weak(view));
  return view;
}

Napi::Value GuestMemory::is_damaged(const Napi::CallbackInfo &info) {
  return Napi::Boolean::New(info.Env(), open(info.Env()).is_damaged());
}

void GuestMemory::discard(const Napi::CallbackInfo &info) {
  GuestMapping &mapping = open(info.Env());
  auto [offset, length] = whole_pages_argument(info, 0, mapping);
  if (length > 0) mapping.discard(offset, length);
}

Napi::Value GuestMemory::write_pages_to(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  GuestMapping &mapping = open(env);
  int fd = int(integer_argument(info, 0, "fd", INT32_MAX));
  uint64_t position = integer_argument(info, 1, "position", INT64_MAX);
  auto [offset, length] = whole_pages_argument(info, 2, mapping);
  uint32_t sum = 0;
  bool done = mapping.visit_pages(offset, length, [&](const PageRun &run) {
    sum = sum_pages(sum, run);
    return write_pages(run, fd, position);
  });
  if (!done) throw_errno(env, errno, "pwrite");
  return Napi::Number::New(env, sum);
}

Napi::Value GuestMemory::sum(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      info[0].As<Napi::TypedArray>().ByteLength() % GuestMapping::kPageBytes != 0)
    throw_argument(env, "bytes must be a Uint8Array of whole pages");
  auto bytes = info[0].As<Napi::Uint8Array>();
  return Napi::Number::New(env, sum_pages(0, PageRun{bytes.Data(), bytes.ByteLength(), 0}));
}

// Views become empty: a guest's memory is the host's again at once, and not when the collector next looks.
void GuestMemory::close(const Napi::CallbackInfo &) {
  for (auto &weak : views_)
    if (Napi::ArrayBuffer view = weak.Value(); !view.IsEmpty()) view.Detach();
  views_.clear();
  release();
}

void GuestMemory::release() {
  if (!mapping_) return;
  mapping_->drop_handle();
  mapping_.reset();
}

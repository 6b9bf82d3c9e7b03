// RAM of one guest: mapped once per process, shared by handles in any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <napi.h>
#include <vector>

#include "file_pages.h"
#include "memory_pages.h"

// How the host provides it. All of it is of one kind.
struct GuestMemoryBacking {
  uint8_t page_shift = 12;  // 21 or 30: pages of that size that the host has set aside, or none at all
  bool transparent = false; // pages of 2 MiB where the host can find them
  bool mergeable = false;   // equal pages of several guests become one (KSM)
  int numa_node = -1;       // pages of that node only; -1: wherever
};

// The mapping itself. Lives as long as a handle, a vCPU or an open handle's ArrayBuffer refers to it.
class GuestMapping {
public:
  static constexpr uint64_t kMaxBytes = 17ull << 30;
  static constexpr uint64_t kPageBytes = 4096;

  // Returns nullptr with errno set, and the failed call's name in *failed.
  static std::shared_ptr<GuestMapping> create(uint64_t bytes, const GuestMemoryBacking &backing,
                                              const char **failed);
  // A saved guest's: each page comes from the file when it is first touched.
  static std::shared_ptr<GuestMapping> from_file(int fd, uint64_t offset, uint64_t bytes,
                                                 const char **failed);
  // The mapping of an open handle, or nullptr.
  static std::shared_ptr<GuestMapping> find(uint32_t id);
  // The mapping of an open handle that an address lies in, or nullptr.
  static std::shared_ptr<GuestMapping> around(const uint8_t *address);

  ~GuestMapping();
  GuestMapping(const GuestMapping &) = delete;
  GuestMapping &operator=(const GuestMapping &) = delete;

  // Handles are counted apart from the memory's other users: without a handle the id is unknown to find().
  void add_handle();
  void drop_handle();

  // Calls visit(PageRun) for the parts of [offset, offset + length) that may hold something else than zeros,
  // as long as it returns true. One thread at a time.
  template <typename Visit> bool visit_pages(uint64_t offset, uint64_t length, Visit visit) const;
  // Makes zeros of a piece, and gives its pages back to the host where the host takes them. Whole pages.
  void discard(uint64_t offset, uint64_t length);
  // The file behind it broke: the guest has lost memory.
  bool is_damaged() const { return file_ && file_->is_damaged(); }

  const uint32_t id;
  uint8_t *const base;
  const uint64_t bytes;

private:
  GuestMapping(uint32_t id, int fd, std::unique_ptr<FilePages> file, uint8_t *base, uint64_t bytes,
               uint64_t mapped, const GuestMemoryBacking &backing);
  static std::shared_ptr<GuestMapping> add(int fd, std::unique_ptr<FilePages> file, uint8_t *base,
                                           uint64_t bytes, uint64_t mapped,
                                           const GuestMemoryBacking &backing);
  bool give_back(uint64_t offset, uint64_t length);

  const int fd_; // -1: private memory
  const GuestMemoryBacking backing_;
  const std::unique_ptr<FilePages> file_;
  const uint64_t mapped_; // whole pages of whatever size; nobody sees what is beyond `bytes`
  uint32_t handles_ = 0;  // under the registry's lock
};

class GuestMemory : public Napi::ObjectWrap<GuestMemory> {
public:
  static void init(Napi::Env env, Napi::Object exports);
  // The mapping behind a JavaScript object; throws unless it is an open GuestMemory.
  static std::shared_ptr<GuestMapping> mapping_of(Napi::Env env, Napi::Value value);

  explicit GuestMemory(const Napi::CallbackInfo &info);
  ~GuestMemory() override;

private:
  static constexpr uint64_t kMaxViewBytes = 1ull << 30;

  static Napi::Value attach(const Napi::CallbackInfo &info);
  static Napi::Value from_file(const Napi::CallbackInfo &info);
  static Napi::Value wrap(Napi::Env env, std::shared_ptr<GuestMapping> mapping);
  static GuestMemoryBacking backing_argument(const Napi::CallbackInfo &info);
  Napi::Value id(const Napi::CallbackInfo &info);
  Napi::Value bytes(const Napi::CallbackInfo &info);
  Napi::Value is_damaged(const Napi::CallbackInfo &info);
  Napi::Value write_pages_to(const Napi::CallbackInfo &info);
  static Napi::Value sum(const Napi::CallbackInfo &info);
  void discard(const Napi::CallbackInfo &info);
  Napi::Value read_pages_from(const Napi::CallbackInfo &info);
  void copy_pages_from(const Napi::CallbackInfo &info);
  void fill_entries(const Napi::CallbackInfo &info);
  Napi::Value view(const Napi::CallbackInfo &info);
  void close(const Napi::CallbackInfo &info);

  GuestMapping &open(Napi::Env env);
  void release();

  std::shared_ptr<GuestMapping> mapping_;
  std::vector<Napi::Reference<Napi::ArrayBuffer>> views_; // weak
};

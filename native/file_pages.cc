#include "file_pages.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr uintptr_t kPage = 4096;
constexpr int kSlots = 256;
// A quarter of the mappings that Linux gives a process by default; each piece splits one in three.
constexpr int kMaxPieces = 8192;

// What the signal handler knows: no locks, no memory of its own.
struct Slot {
  std::atomic<uintptr_t> begin, end; // 0, 0: free
  std::atomic<bool> damaged;
};
Slot slots[kSlots];
std::mutex slots_lock; // for whoever takes a slot or gives it back
struct sigaction before;

Slot *slot_of(uintptr_t address) {
  for (Slot &slot : slots)
    if (address >= slot.begin && address < slot.end) return &slot;
  return nullptr;
}

// Somebody else's fault goes where it would have gone.
void pass_on(int signal, siginfo_t *info, void *context) {
  if (before.sa_flags & SA_SIGINFO)
    before.sa_sigaction(signal, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
    before.sa_handler(signal);
  else
    sigaction(signal, &before, nullptr); // the instruction faults again
}

void on_bus_error(int signal, siginfo_t *info, void *context) {
  int error = errno;
  auto address = uintptr_t(info->si_addr);
  Slot *slot = slot_of(address);
  if (slot) {
    auto *page = reinterpret_cast<void *>(address & ~(kPage - 1));
    void *zeros = mmap(page, slot->end - uintptr_t(page), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    slot->damaged = true;
    if (zeros == MAP_FAILED) slot = nullptr;
  }
  if (!slot) pass_on(signal, info, context);
  errno = error;
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before);
  });
}

int take_slot(uint8_t *base, uint64_t bytes) {
  std::lock_guard guard(slots_lock);
  for (int i = 0; i < kSlots; i++) {
    if (slots[i].end != 0) continue;
    slots[i].damaged = false;
    slots[i].begin = uintptr_t(base);
    slots[i].end = uintptr_t(base) + bytes;
    return i;
  }
  errno = ENOSPC;
  return -1;
}

} // namespace

FilePages *FilePages::map(int fd, uint64_t offset, uint64_t bytes, const char **failed) {
  *failed = "fcntl";
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return nullptr;
  *failed = "mmap";
  void *base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, own, off_t(offset));
  int slot = -1;
  if (base != MAP_FAILED) {
    install_handler();
    *failed = "mappings of files";
    slot = take_slot(static_cast<uint8_t *>(base), bytes);
  }
  if (slot >= 0) return new FilePages(own, offset + bytes, slot, static_cast<uint8_t *>(base), bytes);
  int error = errno;
  if (base != MAP_FAILED) munmap(base, bytes);
  ::close(own);
  errno = error;
  return nullptr;
}

FilePages::FilePages(int fd, uint64_t end, int slot, uint8_t *base, uint64_t bytes)
    : fd_(fd), end_(end), slot_(slot), base_(base), bytes_(bytes) {}

FilePages::~FilePages() {
  {
    std::lock_guard guard(slots_lock);
    slots[slot_].end = 0;
    slots[slot_].begin = 0;
  }
  munmap(base_, bytes_);
  ::close(fd_);
}

// What is dropped of a private mapping comes again from the file: so zeros are mapped in its place. Mappings
// of a process are counted (vm.max_map_count): a guest that gives back every other page must not use them up.
bool FilePages::discard(uint64_t offset, uint64_t length) {
  std::lock_guard guard(discard_lock_);
  discarded_.resize(bytes_ / kPage);
  auto first = discarded_.begin() + ptrdiff_t(offset / kPage);
  auto end = first + ptrdiff_t(length / kPage);
  if (std::find(first, end, false) == end) return madvise(base_ + offset, length, MADV_DONTNEED) == 0;
  if (pieces_ == kMaxPieces) return false;
  void *zeros = mmap(base_ + offset, length, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (zeros == MAP_FAILED) return false;
  madvise(zeros, length, MADV_DONTDUMP);
  std::fill(first, end, true);
  pieces_++;
  return true;
}

bool FilePages::is_damaged() const {
  struct stat stat;
  return slots[slot_].damaged || fstat(fd_, &stat) != 0 || uint64_t(stat.st_size) < end_;
}

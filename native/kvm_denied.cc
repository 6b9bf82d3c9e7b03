#include "kvm_denied.h"

#include <array>
#include <grp.h>
#include <sys/stat.h>

namespace {

std::string name_of_group(gid_t id) {
  // Of a group with a great many members, its number has to do.
  std::array<char, 16384> buffer;
  group entry, *found = nullptr;
  getgrgid_r(id, &entry, buffer.data(), buffer.size(), &found);
  return found ? found->gr_name : std::to_string(id);
}

} // namespace

std::string kvm_denied() {
  const std::string denied = "/dev/kvm: permission denied";
  constexpr mode_t kGroup = S_IRGRP | S_IWGRP;
  struct stat device;
  if (stat("/dev/kvm", &device) != 0) return denied;
  if ((device.st_mode & kGroup) != kGroup) return denied + " to all but its owner";
  return denied + ": add the user to the group " + name_of_group(device.st_gid);
}

/* Says what this machine's KVM can do, a line each: NAME VALUE. Creates both kinds of interrupt controllers.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static int kvm;

static int new_vm(void) {
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) perror("KVM_CREATE_VM");
  return vm;
}

static void show(const char *name, int result) {
  if (result < 0)
    printf("%s %s\n", name, strerror(errno));
  else
    printf("%s %d\n", name, result);
}

#define CAPABILITY(name) show(#name, ioctl(kvm, KVM_CHECK_EXTENSION, name))

int main(void) {
  kvm = open("/dev/kvm", O_RDWR);
  if (kvm < 0) {
    perror("/dev/kvm");
    return 1;
  }
  show("KVM_GET_API_VERSION", ioctl(kvm, KVM_GET_API_VERSION, 0));
  CAPABILITY(KVM_CAP_IRQCHIP);
  CAPABILITY(KVM_CAP_SPLIT_IRQCHIP);
  CAPABILITY(KVM_CAP_IRQFD);
  CAPABILITY(KVM_CAP_IOEVENTFD);
  CAPABILITY(KVM_CAP_SIGNAL_MSI);
  CAPABILITY(KVM_CAP_TSC_DEADLINE_TIMER);
  CAPABILITY(KVM_CAP_IMMEDIATE_EXIT);
  CAPABILITY(KVM_CAP_READONLY_MEM);
  CAPABILITY(KVM_CAP_XEN_HVM);
  show("KVM_CREATE_IRQCHIP", ioctl(new_vm(), KVM_CREATE_IRQCHIP, 0));
  struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
  show("KVM_ENABLE_CAP split", ioctl(new_vm(), KVM_ENABLE_CAP, &split));
  return 0;
}

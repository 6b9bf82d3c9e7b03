/* What QEMU's configure would have found out: the host is x86-64 Linux with gcc or clang. */
#define CONFIG_POSIX 1
#define CONFIG_LINUX 1
#define CONFIG_TCG 1
#define CONFIG_INT128 1
#define CONFIG_CMPXCHG128 1
#define CONFIG_ATOMIC64 1
#define CONFIG_CPUID_H 1
#define CONFIG_MADVISE 1
#define CONFIG_BYTESWAP_H 1
#define CONFIG_IOVEC 1
#define HOST_X86_64 1
#define QEMU_VERSION "7.2"

/* What QEMU's build would have written for the target x86_64-softmmu. */
#define CONFIG_SOFTMMU 1
#define TARGET_I386 1
#define TARGET_X86_64 1
#define TARGET_NAME "x86_64"
#define TARGET_BIG_ENDIAN 0
#define TARGET_SUPPORTS_MTTCG 1

#include "qemu/log.h"
#define log_cpu_state_mask(mask, cpu, flags) ((void)0)
#define log_cpu_state(cpu, flags) ((void)0)

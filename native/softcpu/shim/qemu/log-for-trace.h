#include "qemu/log.h"

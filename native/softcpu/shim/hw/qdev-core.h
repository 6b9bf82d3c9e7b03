/* Devices: a CPU is one for QEMU; here there is none. */
#ifndef QDEV_CORE_H
#define QDEV_CORE_H

#include "qom/object.h"

struct DeviceState {
  int unused;
};
typedef struct DeviceClass {
  int unused;
} DeviceClass;
typedef void (*DeviceRealize)(DeviceState *dev, Error **errp);
typedef void (*DeviceUnrealize)(DeviceState *dev);
typedef void (*DeviceReset)(DeviceState *dev);

#endif

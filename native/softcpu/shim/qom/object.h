/* QEMU's object model, reduced to casts: there is one class of CPU, and nothing is looked up by name. */
#ifndef QEMU_OBJECT_H
#define QEMU_OBJECT_H

struct ObjectClass {
  int unused;
};
struct Object {
  int unused;
};
typedef struct InterfaceClass {
  int unused;
} InterfaceClass;

#define OBJECT_DECLARE_TYPE(Instance, Class, NAME)                                                           \
  typedef struct Instance Instance;                                                                          \
  typedef struct Class Class;                                                                                \
  static inline Instance *NAME(const void *object) {                                                         \
    return (Instance *)object;                                                                               \
  }

#define DECLARE_OBJ_CHECKERS(Instance, Class, NAME, TYPENAME)                                                \
  static inline Instance *NAME(const void *object) {                                                         \
    return (Instance *)object;                                                                               \
  }
#define DECLARE_CLASS_CHECKERS(Class, NAME, TYPENAME)
#define DECLARE_INSTANCE_CHECKER(Instance, NAME, TYPENAME)
#define OBJECT(object) ((Object *)(object))

#endif

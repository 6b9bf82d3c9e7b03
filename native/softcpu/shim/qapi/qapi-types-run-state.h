/* Generated from QEMU's QAPI schema there; here only what its headers name. */
typedef struct GuestPanicInformation GuestPanicInformation;

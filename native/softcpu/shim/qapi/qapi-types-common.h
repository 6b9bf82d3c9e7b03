/* Generated from QEMU's QAPI schema there; here only what its headers name. */
#ifndef QAPI_TYPES_COMMON_H
#define QAPI_TYPES_COMMON_H
typedef enum OnOffAuto { ON_OFF_AUTO_AUTO } OnOffAuto;
#endif

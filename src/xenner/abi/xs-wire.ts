/** xen/include/public/io/xs_wire.h: the xenstore protocol and its ring page. */
import { bytes, cstruct, u32 } from '../../base/layout.js';

const HEADER = 'io/xs_wire.h';

/* enum xsd_sockmsg_type */
export const XS_CONTROL = 0;
export const XS_DIRECTORY = 1;
export const XS_READ = 2;
export const XS_GET_PERMS = 3;
export const XS_WATCH = 4;
export const XS_UNWATCH = 5;
export const XS_TRANSACTION_START = 6;
export const XS_TRANSACTION_END = 7;
export const XS_INTRODUCE = 8;
export const XS_RELEASE = 9;
export const XS_GET_DOMAIN_PATH = 10;
export const XS_WRITE = 11;
export const XS_MKDIR = 12;
export const XS_RM = 13;
export const XS_SET_PERMS = 14;
export const XS_WATCH_EVENT = 15;
export const XS_ERROR = 16;
export const XS_IS_DOMAIN_INTRODUCED = 17;
export const XS_RESUME = 18;
export const XS_SET_TARGET = 19;
export const XS_RESET_WATCHES = 21;
export const XS_DIRECTORY_PART = 22;

export const xsd_sockmsg = cstruct('struct xsd_sockmsg', HEADER, 16, {
  type: u32,
  req_id: u32,
  tx_id: u32,
  len: u32,
});

export const XENSTORE_RING_SIZE = 1024;

/** The indices are free-running. Read and write them with single accesses at offsetof(), never by decode(). */
export const xenstore_domain_interface = cstruct('struct xenstore_domain_interface', HEADER, 2076, {
  req: bytes(XENSTORE_RING_SIZE),
  rsp: bytes(XENSTORE_RING_SIZE),
  req_cons: u32,
  req_prod: u32,
  rsp_cons: u32,
  rsp_prod: u32,
  server_features: u32,
  connection: u32,
  error: u32,
});

export const XENSTORE_PAYLOAD_MAX = 4096;
export const XENSTORE_ABS_PATH_MAX = 3072;
export const XENSTORE_REL_PATH_MAX = 2048;

export const XENSTORE_SERVER_FEATURE_RECONNECTION = 1;
export const XENSTORE_SERVER_FEATURE_ERROR = 2;

/* The connection field */
export const XENSTORE_CONNECTED = 0;
export const XENSTORE_RECONNECT = 1;

/* The error field */
export const XENSTORE_ERROR_NONE = 0;
export const XENSTORE_ERROR_COMM = 1;
export const XENSTORE_ERROR_RINGIDX = 2;
export const XENSTORE_ERROR_PROTO = 3;

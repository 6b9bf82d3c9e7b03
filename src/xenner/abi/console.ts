/** xen/include/public/io/console.h: the console ring page. */
import { bytes, cstruct, u32 } from '../../base/layout.js';

/** The indices are free-running. Read and write them with single accesses at offsetof(), never by decode(). */
export const xencons_interface = cstruct('struct xencons_interface', 'io/console.h', 3088, {
  in: bytes(1024),
  out: bytes(2048),
  in_cons: u32,
  in_prod: u32,
  out_cons: u32,
  out_prod: u32,
});

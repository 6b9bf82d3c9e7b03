/** xen/include/public/io/ring.h: DEFINE_RING_TYPES. */
import { array, type CStruct, cstruct, cunion, group, pad, u8, u32, union } from '../../base/layout.js';

/**
 * `struct TAG_sring`, with one element of its ring; `union TAG_sring_entry` is its element's type. Indices run freely: read and
 * write them with single accesses at offsetof(), never by decode().
 */
export function sring<Request extends object, Response extends object>(
  tag: string,
  header: string,
  req: CStruct<Request>,
  rsp: CStruct<Response>,
) {
  const entryBytes = Math.max(req.size, rsp.size);
  const entry = cunion(`union ${tag}_sring_entry`, header, entryBytes, { req, rsp });
  return cstruct(`struct ${tag}_sring`, header, 64 + entryBytes, {
    req_prod: u32,
    req_event: u32,
    rsp_prod: u32,
    rsp_event: u32,
    pvt: union({
      netif: group({ smartpoll_active: u8 }),
      tapif_user: group({ msg: u8 }),
      pvt_pad: array(u8, 4),
    }),
    pad0: pad(44),
    ring: array(entry, 1),
  });
}

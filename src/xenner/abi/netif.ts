/** xen/include/public/io/netif.h: a network device's rings. */
import { array, bytes, cstruct, group, s16, u8, u16, u32, union } from '../../base/layout.js';
import { sring } from './ring.js';

const HEADER = 'io/netif.h';

/** Slots of a packet that every back end takes. */
export const XEN_NETIF_NR_SLOTS_MIN = 18;
export const XEN_NETIF_MAX_TX_SIZE = 0xffff;

/* netif_tx_request.flags */
export const NETTXF_csum_blank = 1 << 0;
export const NETTXF_data_validated = 1 << 1;
export const NETTXF_more_data = 1 << 2;
export const NETTXF_extra_info = 1 << 3;

/** `gref` is a grant_ref_t. `size` of a packet's first request is that of the whole packet. */
export const netif_tx_request = cstruct('struct netif_tx_request', HEADER, 12, {
  gref: u32,
  offset: u16,
  flags: u16,
  id: u16,
  size: u16,
});
export const netif_tx_response = cstruct('struct netif_tx_response', HEADER, 4, { id: u16, status: s16 });

/* netif_rx_response.flags */
export const NETRXF_data_validated = 1 << 0;
export const NETRXF_csum_blank = 1 << 1;
export const NETRXF_more_data = 1 << 2;
export const NETRXF_extra_info = 1 << 3;
export const NETRXF_gso_prefix = 1 << 4;

/** `gref` is a grant_ref_t. */
export const netif_rx_request = cstruct('struct netif_rx_request', HEADER, 8, {
  id: u16,
  pad: u16,
  gref: u32,
});
/** `status`: bytes in this slot, or NETIF_RSP_*. */
export const netif_rx_response = cstruct('struct netif_rx_response', HEADER, 8, {
  id: u16,
  offset: u16,
  flags: u16,
  status: s16,
});

export const XEN_NETIF_EXTRA_TYPE_NONE = 0;
export const XEN_NETIF_EXTRA_TYPE_GSO = 1;
export const XEN_NETIF_EXTRA_TYPE_MCAST_ADD = 2;
export const XEN_NETIF_EXTRA_TYPE_MCAST_DEL = 3;
export const XEN_NETIF_EXTRA_TYPE_HASH = 4;
export const XEN_NETIF_EXTRA_TYPE_MAX = 5;
export const XEN_NETIF_EXTRA_FLAG_MORE = 1 << 0;
export const XEN_NETIF_GSO_TYPE_NONE = 0;
export const XEN_NETIF_GSO_TYPE_TCPV4 = 1;
export const XEN_NETIF_GSO_TYPE_TCPV6 = 2;

/** In place of a request or a response. */
export const netif_extra_info = cstruct('struct netif_extra_info', HEADER, 8, {
  type: u8,
  flags: u8,
  u: union({
    gso: group({ size: u16, type: u8, pad: u8, features: u16 }),
    mcast: group({ addr: bytes(6) }),
    hash: group({ type: u8, algorithm: u8, value: bytes(4) }),
    pad: array(u16, 3),
  }),
});

export const NETIF_RSP_DROPPED = -2;
export const NETIF_RSP_ERROR = -1;
export const NETIF_RSP_OKAY = 0;
export const NETIF_RSP_NULL = 1;

export const netif_tx_sring = sring('netif_tx', HEADER, netif_tx_request, netif_tx_response);
export const netif_rx_sring = sring('netif_rx', HEADER, netif_rx_request, netif_rx_response);

/** xen/include/public/io/xenbus.h: what the two ends of a device say of themselves in their `state` nodes. */

export const XenbusStateUnknown = 0;
export const XenbusStateInitialising = 1;
/** Finished early initialisation, waiting for the peer or for hotplug. */
export const XenbusStateInitWait = 2;
/** Waiting for a connection from the peer. */
export const XenbusStateInitialised = 3;
export const XenbusStateConnected = 4;
/** Being closed because of an error or an unplug event. */
export const XenbusStateClosing = 5;
export const XenbusStateClosed = 6;
export const XenbusStateReconfiguring = 7;
export const XenbusStateReconfigured = 8;

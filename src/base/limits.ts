/** Bounds on everything that a user, an image or a guest can ask for. Sizes in the unit that ends the name. */

const MIB = 1024 * 1024;

/* Guests */
export const MIN_GUEST_MEMORY_MIB = 64;
export const MAX_GUEST_MEMORY_MIB = 16 * 1024;
/** At most 32: shared_info has vcpu_info slots for so many (XEN_LEGACY_MAX_VCPUS). */
export const MAX_VCPUS = 16;

/* What the host says of itself */
/** One file of sysfs; the longest that we read has 2 KiB. */
export const MAX_SYSFS_BYTES = 64 * 1024;
/** MAX_NUMNODES of Linux on x86-64. */
export const MAX_NUMA_NODES = 1024;
/** CONFIG_NR_CPUS of Linux on x86-64 is at most that. */
export const MAX_HOST_CPUS = 8192;
/** One file of procfs: /proc/cpuinfo has 1.5 KiB a CPU, /proc/PID/numa_maps a line a mapping, of 65,530 at most. */
export const MAX_PROCFS_BYTES = 16 * MIB;

/* Kernel and initrd files */
export const MAX_KERNEL_IMAGE_BYTES = 256 * MIB;
/** After decompression; also the bound on what a decompressor may write. */
export const MAX_KERNEL_ELF_BYTES = 512 * MIB;
export const MAX_ELF_PROGRAM_HEADERS = 64;
export const MAX_ELF_SECTION_HEADERS = 16_384;
export const MAX_ELF_STRING_TABLE_BYTES = 1 * MIB;
/** All note segments or sections of one kernel together. */
export const MAX_ELF_NOTE_BYTES = 1 * MIB;
export const MAX_ELF_NOTES = 1024;
/** One string in a note, or the whole of a __xen_guest section. */
export const MAX_ELF_NOTE_STRING_BYTES = 4096;
/** start_info.cmd_line without its NUL (MAX_GUEST_CMDLINE - 1). */
export const MAX_CMDLINE_BYTES = 1023;

/* Cache of decompressed kernels */
export const MAX_CACHED_KERNELS = 16;
export const MAX_KERNEL_CACHE_BYTES = 1024 * MIB;

/* Console */
/** What has been typed and the guest has not taken: ConsoleBackend takes no more than a part of this and one write. */
export const MAX_CONSOLE_INPUT_BYTES = 256 * 1024;

/* Cores of guests */
/** Page tables that are looked at for what is mapped where: 16 GiB are 8,192 of them, and Linux maps all once or twice. */
export const MAX_CORE_TABLES = 65_536;
/** e_phnum has 16 bits, and PN_XNUM is none of its values. */
export const MAX_CORE_SEGMENTS = 60_000;

/* Hypercalls */
/** Requests in one mmu_update or mmuext_op; Linux sends at most a few hundred. */
export const MAX_MMU_REQUESTS = 65_536;
/** Calls in one multicall; Linux batches at most 32. */
export const MAX_MULTICALL_ENTRIES = 4096;
/** Entries of one list for set_trap_table: there are 256 vectors. */
export const MAX_TRAP_TABLE_ENTRIES = 1024;
/** Frames that one memory_op moves before it answers how far it got. */
export const MAX_MEMORY_OP_FRAMES = 65_536;
export const MAX_CONSOLE_IO_BYTES = 1 * MIB;
/** Operations in one grant_table_op. */
export const MAX_GRANT_OPERATIONS = 65_536;

/* Debugging */
/** What the soft CPU takes (softcpu.h). */
export const MAX_BREAKPOINTS = 1024;
/** As it goes over the wire; a client is told. */
export const MAX_GDB_PACKET_BYTES = 16_384;
/** That a client sends without waiting for answers; GDB sends one. */
export const MAX_GDB_QUEUED_PACKETS = 64;

/* Grant tables */
/** Handles of mappings that a guest holds at once (max_maptrack_frames times 256 in Xen). */
export const MAX_GRANT_MAPPINGS = 65_536;

/* Xenstore: what one guest may have, as xenstored's defaults (tools/xenstored/core.c) */
export const MAX_XENSTORE_NODES = 1000;
/** Value, permissions and children's names of one node. */
export const MAX_XENSTORE_NODE_BYTES = 2048;
export const MAX_XENSTORE_WATCHES = 128;
export const MAX_XENSTORE_TRANSACTIONS = 10;
/** Nodes that one transaction looks at or changes. */
export const MAX_XENSTORE_TRANSACTION_NODES = 1024;
export const MAX_XENSTORE_PERMISSIONS = 5;
/** Answers that wait for the guest to take them; it is not listened to meanwhile. */
export const MAX_XENSTORE_OUTSTANDING = 20;
/** Nodes, watches, transactions, answers and events of a guest together. */
export const MAX_XENSTORE_BYTES = 2.5 * MIB;

/* Xenstore: what one client of the host may have; xenstored sets it no bounds */
export const MAX_XENSTORE_HOST_NODES = 65_536;
export const MAX_XENSTORE_HOST_NODE_BYTES = 1 * MIB;
export const MAX_XENSTORE_HOST_WATCHES = 4096;
export const MAX_XENSTORE_HOST_TRANSACTIONS = 64;
export const MAX_XENSTORE_HOST_PERMISSIONS = 64;
export const MAX_XENSTORE_HOST_BYTES = 64 * MIB;
/** Of the Unix socket, at once. */
export const MAX_XENSTORE_CLIENTS = 64;

/* Block devices */
export const MAX_BLOCK_QUEUES = 16;
/** Pages of one ring, as a power of 2. */
export const MAX_BLOCK_RING_PAGE_ORDER = 4;
/** Segments of one indirect request: as many as Linux's back end offers, one page of them is enough. */
export const MAX_BLOCK_INDIRECT_SEGMENTS = 256;
/** Per queue, as Linux's back end. */
export const MAX_BLOCK_PERSISTENT_GRANTS = 1056;
/**
 * Requests and segments that a queue takes before others have their turn, and before the guest hears of what is done: it works on
 * 1 MiB while the next one is copied.
 */
export const MAX_BLOCK_WORK_PER_TURN = 256;

/* Network devices */
/** Each is two rings and two ports of the guest's; Linux's front end takes as many as it has vCPUs. */
export const MAX_NET_QUEUES = 8;
/** Slots of a packet: more are no mistake but an attack (fatal_skb_slots of Linux's netback). */
export const MAX_NET_PACKET_SLOTS = 20;
/** Packets that one is cut into in software: 64 bytes of payload each, if it is the largest. */
export const MAX_NET_SEGMENTS = 1024;
/** Requests that are served before other work of the event loop gets its turn. */
export const MAX_NET_BATCH_REQUESTS = 256;
/** Multicast addresses of a device's filter (XEN_NETBK_MCAST_MAX of Linux's netback). */
export const MAX_NET_MULTICAST = 64;

/* Images */
/** Looked at to name who holds an image's lock. */
export const MAX_LOCK_SEARCH_DESCRIPTORS = 100_000;
/** As QEMU's (block/qcow2.h): a disk of 2 EiB with clusters of 2 MiB. */
export const MAX_QCOW2_L1_BYTES = 32 * MIB;
export const MAX_QCOW2_REFCOUNT_TABLE_BYTES = 8 * MIB;
export const MAX_QCOW2_SNAPSHOTS = 65_536;
export const MAX_QCOW2_SNAPSHOT_TABLE_BYTES = 16 * MIB;
export const MAX_QCOW2_BITMAPS = 65_535;
export const MAX_QCOW2_BITMAP_DIRECTORY_BYTES = 16 * MIB;
/** There are 64 bits. */
export const MAX_FEATURE_NAMES = 64;
/** Tables of one open image that are kept in memory, L2 and refcounts each. */
export const MAX_QCOW2_TABLE_CACHE_BYTES = 32 * MIB;
/** Images below one another, each the backing file of the one above. */
export const MAX_BACKING_CHAIN = 64;
/** Host I/O of one request to an image at once. */
export const MAX_IMAGE_PARALLEL_IO = 16;
/** Of PBKDF2 for one key slot of LUKS; cryptsetup measures 2 s, some millions. */
export const MAX_LUKS_ITERATIONS = 50_000_000;
/** Of an encrypted image. */
export const MAX_PASSWORD_BYTES = 64 * 1024;
/** Of the LUKS header inside an image, with eight keys. */
export const MAX_LUKS_AREA_BYTES = 64 * MIB;
export const MAX_QCOW2_BITMAP_CLUSTERS = 1024 * 1024;
/** Of an image whose refcounts are counted anew: 4 TiB in clusters of 64 KiB, and its tables with those of its snapshots. */
export const MAX_QCOW2_REBUILD_CLUSTERS = 64 * 1024 * 1024;
export const MAX_QCOW2_REBUILD_TABLES = 1024 * 1024;
/** Of all L1 tables together: those of 4096 snapshots of such an image. */
export const MAX_QCOW2_REBUILD_L1_ENTRIES = 32 * 1024 * 1024;

/** Bitmaps of a VHD's blocks that are kept; 512 bytes each, mostly. */
export const MAX_VHD_BITMAPS = 16_384;

/* Guest disks, as read for their kernel */
/** Requests to one disk over its whole inspection: what bounds every walk that an image can lead us on. */
export const MAX_GUEST_DISK_READS = 2_000_000;
/** Pages of a disk that are kept; 64 KiB each. */
export const MAX_GUEST_DISK_PAGES = 256;
/** One piece of a disk or file that is looked at as a whole. */
export const MAX_GUEST_DISK_READ_BYTES = 16 * MIB;
/** Linux makes no more of one disk. */
export const MAX_PARTITIONS = 256;
export const MAX_GPT_ENTRIES_BYTES = 1 * MIB;
export const MAX_LVM_METADATA_BYTES = 4 * MIB;
export const MAX_LVM_SEGMENTS = 65_536;
export const MAX_LOGICAL_VOLUMES = 256;
export const MAX_GUEST_DIRECTORY_ENTRIES = 1_000_000;
export const MAX_GUEST_DIRECTORY_BYTES = 1024 * MIB;
/** PATH_MAX of Linux, and its MAXSYMLINKS. */
export const MAX_GUEST_PATH_BYTES = 4096;
export const MAX_GUEST_SYMLINKS = 40;
/** Blocks that a journal may put in the place of others. */
export const MAX_JOURNAL_BLOCKS = 1_048_576;
/** A boot loader's configuration file; pygrub reads no more either. */
export const MAX_BOOT_CONFIG_BYTES = 1 * MIB;
/** Configurations that include one another. */
export const MAX_BOOT_CONFIG_DEPTH = 8;
export const MAX_BOOT_ENTRIES = 512;
/** Of GRUB's scripts: statements in one another and calls, commands that are run, and a word after its variables were put in. */
export const MAX_BOOT_SCRIPT_DEPTH = 32;
export const MAX_BOOT_SCRIPT_STEPS = 100_000;
export const MAX_BOOT_SCRIPT_WORD_CHARS = 65_536;
export const MAX_BOOT_SCRIPT_VARIABLES = 4096;
/** All ramdisks of one entry together. */
export const MAX_GUEST_RAMDISK_BYTES = 1024 * MIB;

/* Domain configurations */
/** The largest are XenServer's: some 100 KiB. */
export const MAX_CONFIG_BYTES = 4 * MIB;
/** Brackets, blocks, calls and elements inside each other. */
export const MAX_CONFIG_NESTING = 64;
/** Statements and expressions that an xm file's program may take. */
export const MAX_CONFIG_STEPS = 100_000;
/** Members of one list, and characters of one string, that it may make. */
export const MAX_CONFIG_LIST = 4096;
export const MAX_CONFIG_TEXT = 65_536;
export const MAX_XML_ELEMENTS = 200_000;
/** Told about one file; further ones are counted. */
export const MAX_CONFIG_NOTES = 200;
export const MAX_DOMAIN_DISKS = 64;
export const MAX_DOMAIN_NICS = 32;

/* Storage pools, and definitions of what is managed */
/** Hosts and devices of one pool. */
export const MAX_POOL_SOURCES = 256;
/** What a program of the host may say: some hundred bytes of each of a group's volumes. */
export const MAX_PROGRAM_OUTPUT_BYTES = 16 * MIB;
/** Files of one folder that is a pool. */
export const MAX_POOL_VOLUMES = 1_000_000;
export const MAX_DEFINITIONS = 16_384;
/** Of a file's name there are 255; some are for what is put behind. */
export const MAX_DEFINITION_NAME_BYTES = 200;

/* The host's network interfaces */
/** All links with all that they say of themselves: some thousands. */
export const MAX_NETLINK_ANSWER_BYTES = 64 * MIB;
/** Of a bridge or bond, as its document has them; and addresses of one protocol. */
export const MAX_INTERFACE_PORTS = 1024;
export const MAX_INTERFACE_ADDRESSES = 256;
/** Of one system's configuration; each no larger than MAX_NETWORK_FILE_BYTES. */
export const MAX_NETWORK_FILES = 4096;
export const MAX_NETWORK_FILE_BYTES = 1 * MIB;

/* No tracing. */
#define trace_memory_notdirty_write_access(address, ram_address, size) ((void)0)
#define trace_memory_notdirty_set_dirty(address) ((void)0)

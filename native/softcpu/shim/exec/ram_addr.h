/* What a page of RAM is to the TLB: clean while blocks were translated from it, so that stores to it are
 * noticed. */
#ifndef RAM_ADDR_H
#define RAM_ADDR_H

enum { DIRTY_MEMORY_CODE, DIRTY_CLIENTS_NOCODE };

bool softcpu_page_has_code(ram_addr_t address);
void softcpu_watch_page(ram_addr_t address);

#define cpu_physical_memory_is_clean(address) softcpu_page_has_code(address)
#define cpu_physical_memory_get_dirty_flag(address, client) (!softcpu_page_has_code(address))
#define cpu_physical_memory_test_and_clear_dirty(address, length, client) softcpu_watch_page(address)
/* A page is dirty again as soon as its list of blocks is empty. */
#define cpu_physical_memory_set_dirty_flag(address, client) ((void)(address))
#define cpu_physical_memory_set_dirty_range(address, length, clients) ((void)0)

#endif

/* The memory that calls work on: arguments, frames to play with, the grant table; and what must stay whole.
 */
#include "fuzz.h"

#define ARGUMENT_PAGES 8
#define ANSWER_PAGES 4
/* Frames above are not this kernel's own: it is started with 64 MiB, and MFN is PFN. */
#define MAX_FRAMES 16384
#define NR_CANARIES 512
#define GRANT_ENTRIES (PAGE_SIZE / sizeof(grant_entry_v1_t))

extern char _start[];

/* Like arguments and room for answers, with a page behind it that is not mapped. */
uint8_t arena[NR_ARENA + 1][PAGE_SIZE] __attribute__((aligned(4096)));
ulong own_domid, alternate_l4;
/* No answer overwrites an argument. */
static uint8_t arguments[ARGUMENT_PAGES + 1][PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t answers[ANSWER_PAGES + 1][PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t grant_page[PAGE_SIZE] __attribute__((aligned(4096)));
static uint64_t critical[MAX_FRAMES / 64];
static uint64_t canaries[NR_CANARIES];
static uint64_t *scratch, *arena_entries[NR_ARENA];
/* By the structures of this call; one of them may lie at the very end. */
static size_t used, end_used;

bool is_critical(ulong mfn) {
  return mfn < MAX_FRAMES && critical[mfn / 64] >> (mfn % 64) & 1;
}

uint64_t *scratch_entries(void) {
  return scratch;
}

ulong answer_room(void) {
  return (ulong)answers;
}

ulong answer_room_end(void) {
  return (ulong)answers[ANSWER_PAGES];
}

void begin_call(void) {
  used = below(64);
  end_used = 0;
}

/* 64, 32 and 16 bits wide, as fields are. */
static void fill(uint8_t *at, size_t size) {
  for (size_t i = 0; i + 8 <= size; i += 8) {
    uint64_t v = value();
    if (one_in(2)) v = (uint32_t)value() | (uint64_t)(uint32_t)value() << 32;
    if (one_in(4)) v = (uint16_t)domid() | (v & ~0xfffful);
    v = safe(v);
    memcpy(at + i, &v, 8);
  }
}

void *structure(size_t size) {
  size = (size + 7) & ~7ul;
  size_t room = ARGUMENT_PAGES * PAGE_SIZE;
  uint8_t *at = (uint8_t *)arguments + used;
  if (used + size > room - end_used) error("the arguments of one call do not fit");
  if (end_used == 0 && one_in(32)) {
    end_used = size;
    at = (uint8_t *)arguments + room - size;
  } else {
    used += size;
  }
  fill(at, size);
  return at;
}

/* The kernel's image, and what the domain builder put behind it; not the arena. */
static void mark_critical(void) {
  ulong end = start_info->pt_base + start_info->nr_pt_frames * PAGE_SIZE;
  for (ulong va = (ulong)_start; va < end; va += PAGE_SIZE) {
    ulong mfn = mfn_of((void *)va);
    if (mfn >= MAX_FRAMES) error("frame %lx: more memory than this kernel is made for", mfn);
    if (va < (ulong)arena || va >= (ulong)arena + sizeof(arena)) critical[mfn / 64] |= 1ul << (mfn % 64);
  }
}

static ulong find_own_domid(void) {
  evtchn_alloc_unbound_t alloc = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
  must("alloc_unbound", HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &alloc));
  evtchn_status_t status = {.dom = DOMID_SELF, .port = alloc.port};
  must("status", HYPERVISOR_event_channel_op(EVTCHNOP_status, &status));
  return status.u.unbound.dom;
}

static void map_grant_table(void) {
  xen_pfn_t frames[4] = {0};
  gnttab_setup_table_t op = {.dom = DOMID_SELF, .nr_frames = 1};
  set_xen_guest_handle(op.frame_list, frames);
  must("setup_table", HYPERVISOR_grant_table_op(GNTTABOP_setup_table, &op, 1));
  must("map the grant table", set_l1e((ulong)grant_page, (frames[0] << PAGE_SHIFT) | PTE_KERNEL));
}

/* A second L4 with the same kernel in it, to change to. */
static void make_alternate_l4(void) {
  uint64_t *l4 = page_alloc();
  memcpy(l4, kernel_l4(), PAGE_SIZE);
  must("read-only L4", make_readonly(l4));
  must("pin the second L4", mmuext(MMUEXT_PIN_L4_TABLE, mfn_of(l4), 0));
  alternate_l4 = mfn_of(l4);
}

void arena_init(void) {
  own_domid = find_own_domid();
  scratch = pte_of(USER_SCRATCH, 1);
  for (unsigned i = 0; i < NR_ARENA; i++)
    arena_entries[i] = pte_of((ulong)arena[i], 1);
  mark_critical();
  map_grant_table();
  make_alternate_l4();
  must("end of the arena", set_l1e((ulong)arena[NR_ARENA], 0));
  must("end of the arguments", set_l1e((ulong)arguments[ARGUMENT_PAGES], 0));
  must("end of the answers", set_l1e(answer_room_end(), 0));
  /* Pages of nothing but text and read-only data end before the title's. A wild kernel may write its own. */
  for (ulong va = (ulong)_start & PAGE_MASK; !wild && va < ((ulong)test_title & PAGE_MASK); va += PAGE_SIZE)
    must("read-only text", make_readonly((void *)va));
  if (!wild) must("read-only start_info", make_readonly((void *)((ulong)start_info & PAGE_MASK)));
  for (uint64_t i = 0; i < NR_CANARIES; i++)
    canaries[i] = i * 0x0101010101010101;
}

void check_kernel(void) {
  for (uint64_t i = 0; i < NR_CANARIES; i++)
    if (canaries[i] != i * 0x0101010101010101 && !wild)
      error("canary %lu is %lx: a hypercall wrote where it must not", i, canaries[i]);
}

static uint64_t digest_words(uint64_t digest, const void *at, size_t size) {
  const uint64_t *words = at;
  for (size_t i = 0; i < size / 8; i++)
    digest = digest_word(digest, words[i] & ~(PTE_A | PTE_D));
  return digest;
}

uint64_t digest_arguments(uint64_t digest) {
  digest = digest_words(digest, arguments, used & ~7ul);
  return digest_words(digest, arguments[ARGUMENT_PAGES] - end_used, end_used);
}

/*
 * The CPU marks entries as accessed whenever it likes, and the hypervisor may read without marking: what
 * looks like these bits is left out. Of the arena, pages that show one of its own frames: shared_info holds
 * times.
 */
uint64_t digest_memory(uint64_t digest) {
  digest = digest_words(digest, answers, ANSWER_PAGES * PAGE_SIZE);
  digest = digest_words(digest, scratch, PAGE_SIZE);
  for (unsigned i = 0; i < NR_ARENA; i++) {
    uint64_t entry = *arena_entries[i];
    digest = digest_word(digest, entry & ~(PTE_A | PTE_D));
    if ((entry & PTE_P) && (entry & PTE_FRAME) >> PAGE_SHIFT < start_info->nr_pages)
      digest = digest_words(digest, arena[i], PAGE_SIZE);
  }
  return digest;
}

static void fill_page(ulong page) {
  uint64_t *entries = (uint64_t *)page;
  ulong kind = below(4), step = 1 + below(32);
  if (kind == 3) return fill((uint8_t *)page, PAGE_SIZE);
  memset(entries, 0, PAGE_SIZE);
  for (ulong i = 0; i < 512; i += 1 + below(step * 2))
    entries[i] = kind == 0 ? table_value() : l1_value();
}

static void write_grant(ulong unused) {
  (void)unused;
  static const uint16_t types[] = {GTF_permit_access, GTF_permit_access | GTF_readonly, GTF_accept_transfer,
                                   GTF_invalid, GTF_transitive};
  grant_entry_v1_t *entry = (grant_entry_v1_t *)grant_page + below(one_in(2) ? 16 : GRANT_ENTRIES);
  entry->frame = (uint32_t)frame();
  entry->domid = (domid_t)domid();
  entry->flags = one_in(8) ? (uint16_t)draw() : PICK(types);
}

/* Whether a page of the arena can be written now depends on what the calls before have made of it. */
void refill(void) {
  void *page = arena[below(NR_ARENA)];
  /* Elsewhere it may show a table of the kernel's own, which may be written through a read-only mapping too.
   */
  if (make_writable(page) == 0) attempt(fill_page, (ulong)page);
  if (!one_in(4)) make_readonly(page);
  attempt(write_grant, 0);
}

/* What is made once per process: the translator's tables, the model context
 * that every CPU's is a copy of, and the prologue by which C enters translated
 * code. */
#include "engine.h"

#include <pthread.h>
#include <sys/mman.h>

#include "exec/helper-proto.h"
#include "hw/core/tcg-cpu-ops.h"
#include "tcg/tcg-internal.h"

static const char *failure;

/* The prologue's page stays mapped as long as the process. */
enum { PROLOGUE_BYTES = 4096 };

void tcg_region_init(size_t tb_size, int splitwx, unsigned max_cpus) {
  void *page =
      mmap(NULL, PROLOGUE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    failure = "no memory may be made executable here";
    return;
  }
  tcg_init_ctx.code_gen_ptr = page;
}

void tcg_region_prologue_set(TCGContext *tcg) {}
void tcg_region_initial_alloc(TCGContext *tcg) {}

static void start(void) {
  tcg_init(0, 0, 1);
  if (failure) return;
  tcg_x86_init();
  tcg_prologue_init(&tcg_init_ctx);
  jump_miss = tcg_init_ctx.code_ptr;
  jump_make_stub((uint8_t *)tcg_init_ctx.code_ptr, helper_lookup_tb_ptr);
  mprotect((void *)tcg_qemu_tb_exec, PROLOGUE_BYTES, PROT_READ | PROT_EXEC);
}

bool softcpu_start_translator(const char **error) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start);
  *error = failure;
  return !failure;
}

TCGContext *softcpu_new_context(void) {
  TCGContext *tcg = malloc(sizeof(*tcg));
  if (!tcg) return NULL;
  *tcg = tcg_init_ctx;
  for (int i = 0; i < tcg->nb_globals; i++) {
    TCGTemp *base = tcg_init_ctx.temps[i].mem_base;
    if (base) tcg->temps[i].mem_base = &tcg->temps[base - tcg_init_ctx.temps];
  }
  return tcg;
}

void softcpu_free_context(TCGContext *tcg) {
  if (!tcg) return;
  for (TCGPool *pool = tcg->pool_first, *next; pool; pool = next) {
    next = pool->next;
    free(pool);
  }
  for (TCGPool *pool = tcg->pool_first_large, *next; pool; pool = next) {
    next = pool->next;
    free(pool);
  }
  for (int i = 0; i < TCG_TYPE_COUNT; i++)
    g_hash_table_destroy(tcg->const_table[i]);
  free(tcg);
}

/* What a guest finds in the translator ends that guest, not the process. */
void softcpu_bug(const char *what, const char *file, int line) {
  struct softcpu *cpu = current_cpu ? softcpu_of(current_cpu) : NULL;
  if (cpu && cpu->running) {
    const char *name = strrchr(file, '/');
    snprintf(cpu->bug, sizeof(cpu->bug), "the soft CPU is at fault: %s (%s:%d)", what, name ? name + 1 : file,
             line);
    cpu->error = cpu->bug;
    cpu_loop_exit(current_cpu);
  }
  fprintf(stderr, "soft CPU: %s (%s:%d)\n", what, file, line);
  (abort)();
}

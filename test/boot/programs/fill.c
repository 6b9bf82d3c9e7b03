/* Writes its own address into every page of N MiB, then reads them all back. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
  const size_t bytes = (size_t)atol(argc > 1 ? argv[1] : "1") << 20, step = 4096 / sizeof(uint64_t);
  uint64_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return perror("mmap"), 1;
  const size_t words = bytes / sizeof(uint64_t);
  for (size_t i = 0; i < words; i += step)
    memory[i] = (uintptr_t)&memory[i];
  for (size_t i = 0; i < words; i += step) {
    if (memory[i] == (uintptr_t)&memory[i]) continue;
    printf("page %zu holds %lx\n", i / step, memory[i]);
    return 1;
  }
  printf("%zu pages kept what was written\n", bytes / 4096);
  return 0;
}

/* disk-code DISK: runs code that it reads from a disk, each time other code at the same address. Reads go
 * past the page cache (O_DIRECT), so that it is the disk's back end that writes the page which was run.
 * Prints what the functions in its two halves returned. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 8, ROUNDS = 4 };

int main(int argc, char **argv) {
  int disk = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECT) : -1;
  unsigned char *page =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (disk < 0 || page == MAP_FAILED) {
    perror("disk-code");
    return 1;
  }
  for (int i = 0; i < ROUNDS * PAGES; i++) {
    if (pread(disk, page, PAGE, (off_t)(i % PAGES) * PAGE) != PAGE) {
      perror("read");
      return 1;
    }
    int first = ((int (*)(void))page)(), second = ((int (*)(void))(page + PAGE / 2))();
    printf("%d %d\n", first, second);
  }
  return 0;
}

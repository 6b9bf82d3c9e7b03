/*
 * Init of a disk: appends numbered records of 4 KiB to a file, each one brought to the disk before it is told
 * on the console, while other files are written and removed; goes on with the number behind the last record
 * that is there.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD = 4096, LOAD_BYTES = 1 << 20, LOAD_FILES = 8 };

static void fail(const char *what) {
  perror(what);
  printf("FAILED %s\n", what);
  fflush(stdout);
  for (;;)
    pause();
}

/* Without fsync: what the journal and the host's caches are full of. */
static void load(void) {
  static char bytes[LOAD_BYTES];
  for (unsigned round = 0;; round++) {
    char name[32];
    snprintf(name, sizeof name, "/load%u", round % LOAD_FILES);
    memset(bytes, (int)round, sizeof bytes);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes, sizeof bytes) != sizeof bytes) fail(name);
    close(fd);
    if (round % 3 == 0) unlink(name);
  }
}

int main(void) {
  static uint64_t record[RECORD / sizeof(uint64_t)];
  if (mount(NULL, "/", NULL, MS_REMOUNT, NULL) != 0) fail("remount");
  int fd = open("/sequence", O_RDWR | O_CREAT | O_APPEND, 0600);
  struct stat stat;
  if (fd < 0 || fstat(fd, &stat) != 0) fail("/sequence");
  uint64_t number = (uint64_t)stat.st_size / RECORD;
  /* A crash may have left part of a record. */
  if (ftruncate(fd, (off_t)(number * RECORD)) != 0) fail("ftruncate");
  printf("sequence from %lu\n", number);
  fflush(stdout);
  if (fork() == 0) load();
  for (;; number++) {
    for (unsigned i = 0; i < RECORD / sizeof(uint64_t); i++)
      record[i] = number;
    if (write(fd, record, RECORD) != RECORD || fsync(fd) != 0) fail("record");
    printf("synced %lu\n", number);
    fflush(stdout);
  }
}

/* Input and output of a guest, timed by the guest's own clock: prints "BYTES NANOSECONDS".
 *   io-work disk DEVICE read|write random|sequential BLOCK_BYTES DEPTH MS
 *     past the page cache, DEPTH requests under way
 *   io-work net ADDRESS PORT send|receive MS
 *     one TCP connection to what the host runs:
 *   io-work net-server
 *     prints its port, and serves one connection after the other for ever
 * One static program for every guest. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DEPTH = 256, NET_BYTES = 1 << 17 };

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void report(uint64_t bytes, uint64_t start) {
  printf("%llu %llu\n", (unsigned long long)bytes, (unsigned long long)(now() - start));
}

/* The next place, below `places`: in order, or by xorshift. */
static uint64_t next_place(int random, uint64_t places) {
  static uint64_t state = 88172645463325252u, last = ~(uint64_t)0;
  if (!random) return ++last % places;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state % places;
}

static void work_disk(char **args) {
  int writes = !strcmp(args[1], "write"), random = !strcmp(args[2], "random");
  size_t block = strtoul(args[3], NULL, 10);
  long depth = atol(args[4]), under_way = 0;
  int disk = open(args[0], (writes ? O_RDWR : O_RDONLY) | O_DIRECT);
  uint64_t size = 0, bytes = 0;
  if (disk < 0 || ioctl(disk, BLKGETSIZE64, &size) < 0) fail(args[0]);
  if (depth < 1 || depth > MAX_DEPTH || !block || size < block) fail("arguments");
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, depth, &context) < 0) fail("io_setup");
  static struct iocb requests[MAX_DEPTH];
  struct iocb *ready[MAX_DEPTH];
  for (long i = 0; i < depth; i++) {
    void *buffer = aligned_alloc(4096, block);
    if (!buffer) fail("memory");
    memset(buffer, 0xa5, block);
    requests[i] = (struct iocb){.aio_fildes = (uint32_t)disk,
                                .aio_lio_opcode = writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                                .aio_buf = (uint64_t)(uintptr_t)buffer,
                                .aio_nbytes = block};
    ready[i] = &requests[i];
  }
  uint64_t start = now(), end = start + strtoull(args[5], NULL, 10) * 1000000;
  for (long count = depth; count > 0 || under_way > 0;) {
    for (long i = 0; i < count; i++)
      ready[i]->aio_offset = (int64_t)(next_place(random, size / block) * block);
    if (count > 0 && syscall(SYS_io_submit, context, count, ready) != count) fail("io_submit");
    under_way += count;
    struct io_event events[MAX_DEPTH];
    long done = syscall(SYS_io_getevents, context, 1L, depth, events, NULL);
    if (done < 0) fail("io_getevents");
    int goes_on = now() < end;
    under_way -= done;
    count = 0;
    for (long i = 0; i < done; i++) {
      if (events[i].res != (int64_t)block) fail("a request");
      bytes += block;
      if (goes_on) ready[count++] = (struct iocb *)(uintptr_t)events[i].obj;
    }
  }
  report(bytes, start);
}

static void work_net(char **args) {
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(args[1]))};
  static char buffer[NET_BYTES];
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  uint64_t bytes = 0;
  if (inet_pton(AF_INET, args[0], &peer.sin_addr) != 1 ||
      connect(connection, (struct sockaddr *)&peer, sizeof peer) < 0)
    fail("connect");
  int sends = !strcmp(args[2], "send");
  if (write(connection, args[2], 1) != 1) fail("the connection");
  uint64_t start = now(), end = start + strtoull(args[3], NULL, 10) * 1000000;
  while (now() < end) {
    ssize_t done = sends ? write(connection, buffer, sizeof buffer) : read(connection, buffer, sizeof buffer);
    if (done <= 0) fail("the connection");
    bytes += (uint64_t)done;
  }
  /* What the host has not got yet does not count, and is thrown away. */
  int left = 0;
  struct linger none = {.l_onoff = 1};
  if (sends && ioctl(connection, SIOCOUTQ, &left) < 0) fail("SIOCOUTQ");
  report(bytes - (uint64_t)left, start);
  setsockopt(connection, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

/* Takes everything from who says 's', and sends to any other for as long as it takes. */
static void serve_net(void) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof here;
  static char buffer[NET_BYTES];
  int server = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&here, size) < 0 || listen(server, 8) < 0 ||
      getsockname(server, (struct sockaddr *)&here, &size) < 0)
    fail("a server");
  printf("%d\n", ntohs(here.sin_port));
  fflush(stdout);
  signal(SIGPIPE, SIG_IGN);
  for (int connection; (connection = accept(server, NULL, NULL)) >= 0; close(connection)) {
    char direction = 's';
    if (read(connection, &direction, 1) != 1) continue;
    if (direction == 's')
      while (read(connection, buffer, sizeof buffer) > 0)
        continue;
    else
      while (write(connection, buffer, sizeof buffer) > 0)
        continue;
  }
  fail("accept");
}

int main(int argc, char **argv) {
  if (argc == 8 && !strcmp(argv[1], "disk"))
    work_disk(argv + 2);
  else if (argc == 6 && !strcmp(argv[1], "net"))
    work_net(argv + 2);
  else if (argc == 2 && !strcmp(argv[1], "net-server"))
    serve_net();
  else
    return 2;
  return 0;
}

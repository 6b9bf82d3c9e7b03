/*
 * The lab's process 1: runs commands for test/lab/session.mjs, which sits outside at the other end of
 * virtio-serial ports. One command at a time a port, each in a control group of its own, so that nothing of
 * it outlives it.
 *
 * Both sides send frames: a type, a length (32 bits, little endian), and that many bytes.
 *
 * To the agent:
 * - 'h' hello, with 16 bytes of the sender's choice: ends whatever a predecessor has left unfinished
 * - 'd' the working directory
 * - 'a' one argument
 * - 'e' one NAME=VALUE
 * - 'w' rows and columns, 16 bits each: the command gets a terminal, or the terminal another size
 * - 'r' run
 * - 'i' standard input; empty: its end
 *
 * From the agent:
 * - 'h' the answer to hello, with the same bytes; what came before was for somebody else
 * - 'o' standard output
 * - 'e' standard error
 * - 'x' exit status, 32 bits: the last frame
 *
 * Whoever disconnects ends the command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELLO_BYTES 16
#define PORTS 4
#define MAX_FRAME (1 << 20) /* above Linux's limit for one argument, 128 KiB */
#define MAX_STRINGS 65536
#define MAX_OUTPUT 16384

enum { STDIN, STDOUT, STDERR, STREAMS };

struct session {
  int port;
  bool gone;  /* nobody is connected any more, or somebody else */
  bool hello; /* somebody said hello, and has no answer yet */
  char hello_bytes[HELLO_BYTES];
  char *directory;
  char *arguments[MAX_STRINGS], *environment[MAX_STRINGS];
  size_t argument_count, environment_count;
  struct winsize window; /* ws_row 0: no terminal */
  pid_t pid;
  int pidfd;
  int streams[STREAMS]; /* our ends, -1 when closed; a terminal has only STDIN and STDOUT, each a descriptor
                           of its own */
  char *input;          /* not yet taken by the command */
  size_t input_at, input_end;
};

struct frame {
  char type;
  uint32_t length;
  char *data; /* followed by a 0 */
};

static char frame_buffer[MAX_FRAME + 1];

static void die(const char *what) {
  fprintf(stderr, "lab agent: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* Waits until the port can do `events`; false when the other side is gone, which poll always tells. */
static bool port_ready(struct session *s, short events) {
  struct pollfd p = {.fd = s->port, .events = events};
  while (!s->gone) {
    if (poll(&p, 1, -1) < 0 && errno != EINTR) die("poll");
    if (p.revents & POLLHUP)
      s->gone = true;
    else if (p.revents & events)
      return true;
  }
  return false;
}

static bool port_write(struct session *s, const void *data, size_t length) {
  const char *from = data;
  while (length > 0) {
    if (!port_ready(s, POLLOUT)) return false;
    ssize_t done = write(s->port, from, length);
    if (done < 0 && errno != EAGAIN && errno != EINTR) s->gone = true;
    if (done > 0) from += done, length -= (size_t)done;
  }
  return true;
}

static bool port_read(struct session *s, void *data, size_t length) {
  char *to = data;
  while (length > 0) {
    if (!port_ready(s, POLLIN)) return false;
    ssize_t done = read(s->port, to, length);
    if (done == 0 || (done < 0 && errno != EAGAIN && errno != EINTR)) s->gone = true;
    if (done > 0) to += done, length -= (size_t)done;
  }
  return true;
}

static void send_frame(struct session *s, char type, const void *data, uint32_t length) {
  char head[5] = {type};
  memcpy(head + 1, &length, sizeof length);
  if (port_write(s, head, sizeof head)) port_write(s, data, length);
}

static bool receive_frame(struct session *s, struct frame *frame) {
  char head[5];
  if (!port_read(s, head, sizeof head)) return false;
  frame->type = head[0];
  memcpy(&frame->length, head + 1, sizeof frame->length);
  frame->data = frame_buffer;
  if (frame->length > MAX_FRAME) s->gone = true;
  if (s->gone || !port_read(s, frame_buffer, frame->length)) return false;
  frame_buffer[frame->length] = 0;
  return true;
}

/* True for a hello: it ends what is going on. A change of who is connected may be too quick to be seen
 * otherwise. */
static bool take_hello(struct session *s, const struct frame *frame) {
  if (frame->type != 'h' || frame->length != HELLO_BYTES) return false;
  memcpy(s->hello_bytes, frame->data, HELLO_BYTES);
  return s->hello = s->gone = true;
}

static void set_window(struct session *s, const struct frame *frame) {
  uint16_t size[2];
  if (frame->length != sizeof size) return;
  memcpy(size, frame->data, sizeof size);
  s->window = (struct winsize){.ws_row = size[0] ? size[0] : 24, .ws_col = size[1] ? size[1] : 80};
}

/* Everything up to 'r'. */
static bool receive_command(struct session *s) {
  struct frame frame;
  while (receive_frame(s, &frame)) {
    if (take_hello(s, &frame)) return false;
    switch (frame.type) {
    case 'd':
      s->directory = strdup(frame.data);
      break;
    case 'a':
      if (s->argument_count < MAX_STRINGS - 1) s->arguments[s->argument_count++] = strdup(frame.data);
      break;
    case 'e':
      if (s->environment_count < MAX_STRINGS - 1) s->environment[s->environment_count++] = strdup(frame.data);
      break;
    case 'w':
      set_window(s, &frame);
      break;
    case 'r':
      return s->argument_count > 0 && s->directory;
    default:
      return false;
    }
  }
  return false;
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) die(path);
  close(fd);
}

static _Noreturn void run_child(struct session *s, const char *group, const int ends[STREAMS]) {
  char path[128];
  snprintf(path, sizeof path, "%s/cgroup.procs", group);
  write_file(path, "0");
  setsid();
  for (int i = 0; i < STREAMS; i++)
    dup2(ends[i], i);
  if (s->window.ws_row) ioctl(STDIN, TIOCSCTTY, 0);
  signal(SIGPIPE, SIG_DFL);
  environ = s->environment;
  if (chdir(s->directory) < 0) {
    fprintf(stderr, "lab: %s: %s\n", s->directory, strerror(errno));
    _exit(126);
  }
  execvp(s->arguments[0], s->arguments);
  int error = errno;
  fprintf(stderr, "lab: %s: %s\n", s->arguments[0], strerror(error));
  _exit(error == ENOENT ? 127 : 126);
}

static void open_terminal(struct session *s, int ends[STREAMS]) {
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) die("posix_openpt");
  ioctl(master, TIOCSWINSZ, &s->window);
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) die("ptsname");
  for (int i = 0; i < STREAMS; i++)
    ends[i] = fcntl(slave, F_DUPFD_CLOEXEC, STREAMS);
  close(slave);
  s->streams[STDIN] = master;
  s->streams[STDOUT] = fcntl(master, F_DUPFD_CLOEXEC, STREAMS);
  s->streams[STDERR] = -1;
}

static void open_pipes(struct session *s, int ends[STREAMS]) {
  for (int i = 0; i < STREAMS; i++) {
    int ours = i == STDIN ? 1 : 0, fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) die("pipe2");
    s->streams[i] = fds[ours];
    ends[i] = fds[1 - ours];
  }
}

static void start(struct session *s, const char *group) {
  int ends[STREAMS];
  if (s->window.ws_row)
    open_terminal(s, ends);
  else
    open_pipes(s, ends);
  for (int i = 0; i < STREAMS; i++)
    if (s->streams[i] >= 0) fcntl(s->streams[i], F_SETFL, O_NONBLOCK);
  s->pid = fork();
  if (s->pid < 0) die("fork");
  if (s->pid == 0) run_child(s, group, ends);
  for (int i = 0; i < STREAMS; i++)
    close(ends[i]);
  s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
  if (s->pidfd < 0) die("pidfd_open");
}

static void close_stream(struct session *s, int which) {
  if (s->streams[which] >= 0) close(s->streams[which]);
  s->streams[which] = -1;
}

static void pass_output(struct session *s, int which) {
  char data[MAX_OUTPUT];
  ssize_t length = read(s->streams[which], data, sizeof data);
  if (length > 0)
    send_frame(s, which == STDOUT ? 'o' : 'e', data, (uint32_t)length);
  else if (length == 0 || (errno != EAGAIN && errno != EINTR))
    close_stream(s, which);
}

static void pass_input(struct session *s) {
  ssize_t length = write(s->streams[STDIN], s->input + s->input_at, s->input_end - s->input_at);
  if (length > 0)
    s->input_at += (size_t)length;
  else if (errno != EAGAIN && errno != EINTR)
    close_stream(s, STDIN);
}

static void take_frame(struct session *s) {
  struct frame frame;
  if (!receive_frame(s, &frame) || take_hello(s, &frame)) return;
  switch (frame.type) {
  case 'i':
    if (frame.length == 0 && !s->window.ws_row) close_stream(s, STDIN);
    free(s->input);
    s->input = memcpy(malloc(frame.length + 1), frame.data, frame.length);
    s->input_at = 0;
    s->input_end = frame.length;
    break;
  case 'w':
    set_window(s, &frame);
    ioctl(s->streams[STDIN], TIOCSWINSZ, &s->window);
    break;
  default:
    s->gone = true;
  }
}

/* Until the command ends or the other side goes. While the command is slow to read, nothing more is taken for
 * it. */
static void pump(struct session *s) {
  for (;;) {
    bool input = s->streams[STDIN] >= 0 && s->input_at < s->input_end;
    struct pollfd p[] = {{.fd = s->port, .events = input ? 0 : POLLIN},
                         {.fd = s->streams[STDOUT], .events = POLLIN},
                         {.fd = s->streams[STDERR], .events = POLLIN},
                         {.fd = input ? s->streams[STDIN] : -1, .events = POLLOUT},
                         {.fd = s->pidfd, .events = POLLIN}};
    if (poll(p, 5, -1) < 0 && errno != EINTR) die("poll");
    if (p[0].revents & POLLHUP)
      s->gone = true;
    else if (p[0].revents & POLLIN)
      take_frame(s);
    if (p[1].revents) pass_output(s, STDOUT);
    if (p[2].revents) pass_output(s, STDERR);
    if (p[3].revents) pass_input(s);
    if (s->gone || p[4].revents) return;
  }
}

/* What the command left in its pipes: to its end, or until nothing has come for a second. */
static void drain(struct session *s) {
  while (!s->gone && (s->streams[STDOUT] >= 0 || s->streams[STDERR] >= 0)) {
    struct pollfd p[] = {{.fd = s->streams[STDOUT], .events = POLLIN},
                         {.fd = s->streams[STDERR], .events = POLLIN}};
    if (poll(p, 2, 1000) <= 0) return;
    if (p[0].revents) pass_output(s, STDOUT);
    if (p[1].revents) pass_output(s, STDERR);
  }
}

static void run_session(struct session *s, int number) {
  char group[64], path[128];
  int status;
  snprintf(group, sizeof group, "/sys/fs/cgroup/lab-%d", number);
  if (mkdir(group, 0755) < 0 && errno != EEXIST) die(group);
  /* Files may have changed outside: dropping names and inodes makes 9p ask again. A file of another time or
     size is then another inode, and the pages of unchanged files stay (v9fs_test_inode_dotl). */
  write_file("/proc/sys/vm/drop_caches", "2");
  start(s, group);
  pump(s);
  snprintf(path, sizeof path, "%s/cgroup.kill", group);
  write_file(path, "1");
  if (waitpid(s->pid, &status, 0) < 0) die("waitpid");
  drain(s);
  uint32_t code = (uint32_t)(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  send_frame(s, 'x', &code, sizeof code);
  while (port_ready(s, POLLIN))
    take_frame(s);
}

/* Until nobody is connected: one process, of which nothing is left to clean up. */
static void serve(int number) {
  char name[64];
  snprintf(name, sizeof name, "/dev/virtio-ports/xenner.lab.%d", number);
  int port = open(name, O_RDWR | O_CLOEXEC);
  if (port < 0) die(name);
  /* The driver keeps a writer waiting until somebody is connected. Opening and closing discard what is
   * unread. */
  if (write(port, "\n", 1) < 0) die(name);
  fcntl(port, F_SETFL, O_NONBLOCK);
  static struct session s;
  do {
    bool hello = s.hello;
    char bytes[HELLO_BYTES];
    memcpy(bytes, s.hello_bytes, sizeof bytes);
    memset(&s, 0, sizeof s);
    s.port = port;
    if (hello) send_frame(&s, 'h', bytes, sizeof bytes);
    if (receive_command(&s)) run_session(&s, number);
  } while (s.hello);
}

/*
 * The kernel rewrites its own code whenever the first machine of KVM comes or the last one goes (static keys
 * of preempt notifiers, of vCPUs without a LAPIC). QEMU's emulation of two processors is not safe against
 * that: one of them meets the int3 of the rewriting too late, and the kernel dies. So one machine stays.
 */
static void keep_a_machine(void) {
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  int machine = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
  if (machine >= 0) fcntl(machine, F_SETFD, FD_CLOEXEC);
  int vcpu = machine < 0 ? -1 : ioctl(machine, KVM_CREATE_VCPU, 0);
  if (vcpu >= 0) fcntl(vcpu, F_SETFD, FD_CLOEXEC);
}

int main(void) {
  pid_t servers[PORTS] = {0};
  signal(SIGPIPE, SIG_IGN);
  keep_a_machine();
  for (;;) {
    for (int i = 0; i < PORTS; i++) {
      if (servers[i] > 0) continue;
      servers[i] = fork();
      if (servers[i] == 0) {
        serve(i);
        exit(0);
      }
    }
    pid_t ended = wait(NULL);
    for (int i = 0; i < PORTS; i++)
      if (servers[i] == ended) servers[i] = 0;
  }
}

/* Threads that share, wait for each other, and have storage of their own (through the FS base that Xen sets
 * for Linux). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#define THREADS 8
#define ROUNDS 2000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static int turn;
static long guarded;
static atomic_long counted;
static _Thread_local uint64_t own;

static void *work(void *argument) {
  const int me = (int)(intptr_t)argument;
  own = me + 1;
  for (int round = 0; round < ROUNDS; round++) {
    own = own * 6364136223846793005u + 1442695040888963407u;
    pthread_mutex_lock(&lock);
    guarded++;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&counted, me);
  }
  pthread_barrier_wait(&barrier);
  for (int round = 0; round < 50; round++) {
    pthread_mutex_lock(&lock);
    while (turn % THREADS != me)
      pthread_cond_wait(&turned, &lock);
    turn++;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&lock);
  }
  return (void *)own;
}

int main(void) {
  pthread_t threads[THREADS];
  pthread_barrier_init(&barrier, NULL, THREADS);
  for (int i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i)) return 1;
  for (int i = 0; i < THREADS; i++) {
    void *result;
    pthread_join(threads[i], &result);
    printf("thread %d: %016lx\n", i, (unsigned long)result);
  }
  printf("guarded %ld counted %ld turns %d\n", guarded, atomic_load(&counted), turn);
  return 0;
}

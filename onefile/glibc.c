/* What Debian's archives call and glibc 2.28 does not have yet. */

#define _GNU_SOURCE
#include <errno.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NANOSECONDS 1000000000LL

/* glibc 2.34; CPython closes one by one where the kernel does not know the call (5.9). */
int close_range(unsigned int first, unsigned int last, int flags) {
  return (int)syscall(436, first, last, flags);
}

/* glibc 2.32: whether there is but one thread. libstdc++ counts references without locks then, and here never does. */
char __libc_single_threaded = 0;

/* glibc 2.36; expat takes its hash's salt from it. */
void arc4random_buf(void *buffer, size_t size) {
  unsigned char *next = buffer;
  while (size > 0) {
    ssize_t got = getrandom(next, size, 0);
    if (got < 0 && errno != EINTR) abort();
    if (got > 0) {
      next += got;
      size -= (size_t)got;
    }
  }
}

/* glibc 2.36; libstdc++'s std::random_device. */
uint32_t arc4random(void) {
  uint32_t value;
  arc4random_buf(&value, sizeof value);
  return value;
}

/* glibc 2.30. A clock that is set meanwhile moves the end of the wait, as it did in every CPython before 3.11. */
int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until) {
  struct timespec now, end;
  clock_gettime(clock, &now);
  clock_gettime(CLOCK_REALTIME, &end);
  long long left = (until->tv_sec - now.tv_sec) * NANOSECONDS + until->tv_nsec - now.tv_nsec;
  if (left < 0) left = 0;
  left += end.tv_nsec;
  end.tv_sec += (time_t)(left / NANOSECONDS);
  end.tv_nsec = (long)(left % NANOSECONDS);
  return sem_timedwait(semaphore, &end);
}

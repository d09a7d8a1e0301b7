/*
 * Put in front of the C library's own calls with LD_PRELOAD: counts how often a process syncs a file to the disk,
 * and makes each sync take longer, as it does on slower disks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t *count;
static useconds_t delay_microseconds;

__attribute__((constructor)) static void prepare(void)
{
    const char *delay = getenv("BENCH_SYNC_DELAY_MICROSECONDS");
    const char *file = getenv("BENCH_SYNC_COUNT");
    int descriptor = file ? open(file, O_RDWR) : -1;
    void *page = descriptor < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (page != MAP_FAILED) count = page;
    if (descriptor >= 0) close(descriptor);
    delay_microseconds = delay ? (useconds_t)atoi(delay) : 0;
}

static int count_and_wait(const char *name, int descriptor)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (count) __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
    if (delay_microseconds) usleep(delay_microseconds);
    return real(descriptor);
}

int fsync(int descriptor) { return count_and_wait("fsync", descriptor); }
int fdatasync(int descriptor) { return count_and_wait("fdatasync", descriptor); }

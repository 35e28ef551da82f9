// Reading a file ahead: threads that bring it into the page cache, whatever the interpreter is busy with.
//
// What they read they look at, in a buffer that stays in the CPU's caches. A young virtual machine has no memory
// behind most of its pages until a CPU touches them, which takes microseconds a page: seconds for 4 GB, and here they
// pass beside the reading. (Linux's sendfile reads without a touch, and the first token waited for it.)
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "curtain.h"

namespace {

constexpr int64_t kSlice = 4 << 20;   // bytes that a thread reads in a row
// Of one call, and of the disk's work for a thread: the more, the longer the imports beside it wait for their files.
// With the system's own read-ahead, of megabytes, they waited ten times as long, and the reading was no faster.
constexpr int64_t kStep = 512 << 10;
constexpr int32_t kMostThreads = 16;

struct Reading {
    const char *path;
    int64_t size, next, *loaded;
    int32_t error;
};

int32_t read_slices(Reading &r, int file, char *buffer) {
    while (!__atomic_load_n(&r.error, __ATOMIC_RELAXED)) {
        int64_t at = __atomic_fetch_add(&r.next, kSlice, __ATOMIC_RELAXED);
        if (at >= r.size) break;
        const int64_t end = at + kSlice < r.size ? at + kSlice : r.size;
        while (at < end) {
            const int64_t wanted = end - at < kStep ? end - at : kStep;
            const int64_t count = pread(file, buffer, static_cast<size_t>(wanted), at);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) return count ? errno : EIO;  // the file has become shorter
            at += count;
            __atomic_fetch_add(r.loaded, count, __ATOMIC_RELAXED);
        }
    }
    return 0;
}

void *enter(void *reading) {
    Reading &r = *static_cast<Reading *>(reading);
    const int file = open(r.path, O_RDONLY | O_CLOEXEC);
#if defined(__linux__)
    if (file >= 0) posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);  // no read-ahead by the system
#endif
    char *buffer = static_cast<char *>(malloc(kStep));
    const int32_t error = file < 0 ? errno : buffer ? read_slices(r, file, buffer) : ENOMEM;
    if (error) __atomic_store_n(&r.error, error, __ATOMIC_RELAXED);
    free(buffer);
    if (file >= 0) close(file);
    return nullptr;
}

}  // namespace

int32_t curtain_read_ahead(const char *path, int32_t threads, int64_t *loaded) {
    struct stat found;
    if (stat(path, &found)) return errno;
    Reading r = {path, found.st_size, 0, loaded, 0};
    pthread_t others[kMostThreads];
    int32_t started = 0;
    sigset_t all, before;  // signals are for the threads of the host
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < threads - 1 && started < kMostThreads) {
        if (pthread_create(&others[started], nullptr, enter, &r)) break;
        started++;
    }
    enter(&r);
    for (int32_t i = 0; i < started; i++) pthread_join(others[i], nullptr);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return r.error;
}

#include "pool.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

namespace curtain {
namespace {

constexpr int kCountShift = 32;

int64_t now_ns() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool left(uint64_t ticket) { return (ticket & 0xffffffff) < ticket >> kCountShift; }

}  // namespace

template <class Condition>
void Pool::wait(const Condition &condition) {
    for (int64_t start = 0; spin_ns_;) {
        for (int i = 0; i < 64; i++) {
            if (condition()) return;
            pause();
        }
        const int64_t now = now_ns();
        if (!start) start = now;
        if (now - start >= spin_ns_) break;
    }
    pthread_mutex_lock(&mutex_);
    __atomic_add_fetch(&sleepers_, 1, __ATOMIC_SEQ_CST);
    while (!condition()) pthread_cond_wait(&changed_, &mutex_);
    __atomic_sub_fetch(&sleepers_, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&mutex_);
}

// After a change that somebody may wait for. A sleeper counts itself before it looks a last time, we look for
// sleepers after the change, all sequentially consistent: one sees the other.
void Pool::wake() {
    if (!__atomic_load_n(&sleepers_, __ATOMIC_SEQ_CST)) return;
    pthread_mutex_lock(&mutex_);
    pthread_cond_broadcast(&changed_);
    pthread_mutex_unlock(&mutex_);
}

bool Pool::begun() const { return left(__atomic_load_n(&ticket_, __ATOMIC_SEQ_CST)); }

bool Pool::take(int32_t thread) {
    if (!begun()) return false;  // keeps the index from growing without end
    const uint64_t ticket = __atomic_fetch_add(&ticket_, 1, __ATOMIC_SEQ_CST);
    if (!left(ticket)) return false;
    const int64_t count = count_;
    task_(data_, static_cast<int64_t>(ticket & 0xffffffff), thread);
    if (__atomic_add_fetch(&done_, 1, __ATOMIC_SEQ_CST) == count) wake();
    return true;
}

void Pool::serve(int32_t thread) {
    while (true) {
        wait([this] { return begun() || __atomic_load_n(&closing_, __ATOMIC_SEQ_CST); });
        if (__atomic_load_n(&closing_, __ATOMIC_SEQ_CST)) return;
        while (take(thread)) {
        }
    }
}

void *Pool::enter(void *worker) {
    const Worker *self = static_cast<const Worker *>(worker);
    self->pool->serve(self->thread);
    return nullptr;
}

bool Pool::open(int32_t threads, int32_t spin_us) {
    ticket_ = 0;
    sleepers_ = closing_ = 0;
    spin_ns_ = spin_us * INT64_C(1000);
    threads_ = 1;
    process_ = getpid();
    pthread_mutex_init(&mutex_, nullptr);
    pthread_cond_init(&changed_, nullptr);
    sigset_t all, before;  // signals are for the threads of the host
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; threads_ < threads; threads_++) {
        Worker *worker = &workers_[threads_];
        *worker = {this, {}, threads_};
        if (pthread_create(&worker->id, nullptr, enter, worker)) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (threads_ == threads) return true;
    close();
    return false;
}

void Pool::close() {
    if (getpid() != process_) return;  // a fork has none of the threads
    __atomic_store_n(&closing_, 1, __ATOMIC_SEQ_CST);
    wake();
    for (int32_t i = 1; i < threads_; i++) pthread_join(workers_[i].id, nullptr);
    pthread_cond_destroy(&changed_);
    pthread_mutex_destroy(&mutex_);
}

void Pool::run(int64_t count, Task task, const void *data) {
    if (count == 1 || threads_ == 1) {
        for (int64_t i = 0; i < count; i++) task(data, i, 0);
        return;
    }
    task_ = task;
    data_ = data;
    count_ = count;
    __atomic_store_n(&done_, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&ticket_, static_cast<uint64_t>(count) << kCountShift, __ATOMIC_SEQ_CST);
    wake();
    while (take(0)) {
    }
    wait([this, count] { return __atomic_load_n(&done_, __ATOMIC_SEQ_CST) == count; });
}

}  // namespace curtain

// Threads that share out the items of one task at a time.
#pragma once
#include <pthread.h>
#include <stdint.h>

namespace curtain {

// An idle thread spins for a while, then sleeps. No item is waited for but those that somebody has begun, so a
// thread that the system has set aside holds nobody up.
class Pool {
  public:
    // `threads` includes the caller. False if the system gives no more threads.
    bool open(int32_t threads, int32_t spin_us);
    void close();

    // work(index, thread) for every index under count, which is at most kMostItems; returns when all are done.
    template <class Work>
    void run(int64_t count, const Work &work) {
        run(count, [](const void *data, int64_t index, int32_t thread) {
            (*static_cast<const Work *>(data))(index, thread);
        }, &work);
    }

    int32_t threads() const { return threads_; }

    static constexpr int64_t kMostItems = 1 << 20;
    static constexpr int32_t kMostThreads = 256;

  private:
    using Task = void (*)(const void *data, int64_t index, int32_t thread);

    void run(int64_t count, Task task, const void *data);
    bool take(int32_t thread);
    bool begun() const;
    void serve(int32_t thread);
    void wake();
    template <class Condition>
    void wait(const Condition &condition);
    static void *enter(void *worker);

    struct Worker {
        Pool *pool;
        pthread_t id;
        int32_t thread;
    };

    // Count and next index in one word: whoever takes an index knows whether it is one of this task's, and the task
    // can't change before that item is done.
    alignas(64) uint64_t ticket_;
    alignas(64) int64_t done_;
    alignas(64) int64_t count_;
    Task task_;
    const void *data_;
    int32_t sleepers_, closing_;
    pthread_mutex_t mutex_;
    pthread_cond_t changed_;
    int64_t spin_ns_;
    int32_t threads_, process_;
    Worker workers_[kMostThreads];
};

}  // namespace curtain

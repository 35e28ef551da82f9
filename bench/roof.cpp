// The roof of decoding: how fast several threads can read the mapped weights when they do nothing else.
// Every thread reads its own contiguous share, 64 bytes at a time, and asks for what it needs `ahead` bytes
// later. One pass over everything; returns its seconds.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace {

typedef uint64_t Lanes __attribute__((vector_size(16)));  // a register on every architecture

uint64_t sum(const uint8_t *from, const uint8_t *to, int64_t ahead) {
    Lanes a = {}, b = {}, c = {}, d = {};
    for (; from < to; from += 64) {
        if (ahead) __builtin_prefetch(from + ahead);
        const Lanes *line = reinterpret_cast<const Lanes *>(from);
        a += line[0];
        b += line[1];
        c += line[2];
        d += line[3];
    }
    a += b + c + d;
    return a[0] + a[1];
}

}  // namespace

// `bytes` from a page boundary on; the last ones, fewer than 64 per thread, are left out.
extern "C" double roof_seconds(const uint8_t *data, int64_t bytes, int32_t threads, int64_t ahead,
                               uint64_t *total) {
    using Clock = std::chrono::steady_clock;
    std::mutex lock;
    std::condition_variable all_there;
    int32_t waiting = 0;
    Clock::time_point began;
    std::vector<uint64_t> sums(threads);
    const int64_t share = bytes / threads / 64 * 64;
    auto read = [&](int32_t thread) {
        {
            std::unique_lock<std::mutex> hold(lock);
            if (++waiting == threads) {
                began = Clock::now();
                all_there.notify_all();
            } else {
                all_there.wait(hold, [&] { return waiting == threads; });
            }
        }
        sums[thread] = sum(data + thread * share, data + (thread + 1) * share, ahead);
    };
    std::vector<std::thread> others;
    for (int32_t thread = 1; thread < threads; ++thread) others.emplace_back(read, thread);
    read(0);
    for (std::thread &other : others) other.join();
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    for (uint64_t part : sums) *total += part;  // so that no compiler leaves the reading out
    return seconds;
}

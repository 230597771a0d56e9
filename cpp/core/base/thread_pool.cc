#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace stomp {

namespace {

constexpr uint64_t kOpen = uint64_t{1} << 31;
constexpr uint64_t kInside = kOpen - 1;
constexpr auto kSpin = std::chrono::microseconds(100);
constexpr int kPausesPerLook = 32;

uint32_t job_number(uint64_t gate) {
  return static_cast<uint32_t>(gate >> 32);
}

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

} // namespace

ThreadPool::ThreadPool(int threads) {
  for (int worker = 1; worker < threads; worker++) {
    threads_.emplace_back([this, worker] { serve(worker); });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  wake_.fetch_add(1);
  wake_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void ThreadPool::share(const Job& job) {
  job_ = job;
  next_.store(0, std::memory_order_relaxed);
  const uint64_t number = job_number(gate_.load(std::memory_order_relaxed));
  // Sequentially consistent with parked_ below: either this thread sees a
  // parked worker, or that worker sees the open gate before it sleeps.
  gate_.store((number + 1) << 32 | kOpen);
  if (parked_.load() > 0) {
    wake_.fetch_add(1);
    wake_.notify_all();
  }
  work(0);
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (int i = 0; gate_.load(std::memory_order_acquire) & kInside; i++) {
    // Past the spin the last worker has lost its core: give it this one.
    if (i < 4096) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

/// The next indices to work on; false when none are left.
bool ThreadPool::take(const Job& job, int& begin, int& end) {
  begin = next_.load(std::memory_order_relaxed);
  int n = 0;
  do {
    const int left = job.n - begin;
    if (left <= 0) {
      return false;
    }
    const int share = job.shrink ? left / (2 * size()) : 0;
    n = std::min(std::max(job.least, share), left);
  } while (!next_.compare_exchange_weak(
      begin, begin + n, std::memory_order_relaxed));
  end = begin + n;
  return true;
}

void ThreadPool::work(int worker) {
  const Job job = job_;
  int begin = 0;
  int end = 0;
  while (take(job, begin, end)) {
    job.call(job.body, begin, end, worker);
  }
}

void ThreadPool::serve(int worker) {
  uint32_t seen = 0; // number of the last job this worker joined
  while (await_job(seen)) {
    if (join(seen)) {
      work(worker);
      gate_.fetch_sub(1, std::memory_order_release);
    }
  }
}

bool ThreadPool::news(uint32_t seen) const {
  const uint64_t gate = gate_.load();
  return ((gate & kOpen) && job_number(gate) != seen) || stopping_.load();
}

/// Until a job opens that is not `seen`. False when the pool is closing.
bool ThreadPool::await_job(uint32_t seen) {
  auto give_up = std::chrono::steady_clock::now() + kSpin;
  while (!news(seen)) {
    for (int i = 0; i < kPausesPerLook && !news(seen); i++) {
      pause();
    }
    if (std::chrono::steady_clock::now() > give_up) {
      park(seen);
      give_up = std::chrono::steady_clock::now() + kSpin;
    }
  }
  return !stopping_.load();
}

/// False when the job closed first.
bool ThreadPool::join(uint32_t& seen) {
  uint64_t gate = gate_.load(std::memory_order_relaxed);
  while ((gate & kOpen) && job_number(gate) != seen) {
    if (gate_.compare_exchange_weak(
            gate, gate + 1, std::memory_order_acquire)) {
      seen = job_number(gate);
      return true;
    }
  }
  return false;
}

void ThreadPool::park(uint32_t seen) {
  const int wake = wake_.load();
  parked_.fetch_add(1);
  if (!news(seen)) {
    wake_.wait(wake);
  }
  parked_.fetch_sub(1);
}

} // namespace stomp

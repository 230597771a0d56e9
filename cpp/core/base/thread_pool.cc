#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/thread_name.h"

namespace stomp {

namespace {

constexpr auto kSpin = std::chrono::microseconds(100);
constexpr int kPausesPerLook = 32;

// Number and n of a job in one word.
uint64_t posting(uint32_t number, int n) {
  return uint64_t{number} << 32 | static_cast<uint32_t>(n);
}

uint32_t number_of(uint64_t posted) {
  return static_cast<uint32_t>(posted >> 32);
}

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

} // namespace

/// Indices [begin, end) of job `number`. Every job passes through every
/// worker's share, whether it comes or not, so that a share is of the job under
/// way or of the one before. `joined`: the worker is inside, and the job is
/// over only when it has left.
struct ThreadPool::Share {
  uint32_t number = 0;
  bool joined = false;
  int begin = 0;
  int end = 0;

  static Share of(uint64_t word) {
    return {
        static_cast<uint32_t>(word >> 32),
        (word >> 31 & 1) != 0,
        static_cast<int>(word >> kIndexBits & kMaxIndices),
        static_cast<int>(word & kMaxIndices)};
  }
  uint64_t word() const {
    return uint64_t{number} << 32 | uint64_t{joined} << 31 |
        static_cast<uint64_t>(begin) << kIndexBits | static_cast<uint64_t>(end);
  }
  int n() const { return end - begin; }
};

ThreadPool::ThreadPool(int threads)
    : workers_(std::make_unique<Worker[]>(threads)) {
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

ThreadPool::Share ThreadPool::first_share(uint32_t number, int n, int worker)
    const {
  const int64_t all = n;
  return {
      number,
      false,
      static_cast<int>(all * worker / size()),
      static_cast<int>(all * (worker + 1) / size())};
}

void ThreadPool::open(const Job& job) {
  const uint32_t number =
      number_of(posted_.load(std::memory_order_relaxed)) + 1;
  Share own = first_share(number, job.n, 0);
  own.joined = true;
  workers_[0].share.store(own.word(), std::memory_order_relaxed);
  job_ = job;
  // Sequentially consistent with parked_ below: either this thread sees a
  // parked worker, or that worker sees the job before it sleeps.
  posted_.store(posting(number, job.n));
  if (parked_.load() > 0) {
    wake_.fetch_add(1);
    wake_.notify_all();
  }
  work(job, number, 0);
  // Nothing is left to take, so nobody can join any more.
  for (int w = 1; w < size(); w++) {
    const Worker& worker = workers_[w];
    if (!Share::of(worker.share.load(std::memory_order_relaxed)).joined) {
      continue;
    }
    for (int i = 0; worker.left.load(std::memory_order_acquire) != number;
         i++) {
      // Past the spin the worker has lost its core: give it this one.
      if (i < 4096) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
  }
}

void ThreadPool::work(const Job& job, uint32_t number, int worker) {
  int begin = 0;
  int end = 0;
  do {
    while (take(job, worker, begin, end)) {
      job.call(job.body, job.first + begin, job.first + end, worker);
    }
  } while (steal(job, number, worker));
}

/// The next indices of the worker's own share; false when none are left.
bool ThreadPool::take(const Job& job, int worker, int& begin, int& end) {
  std::atomic<uint64_t>& share = workers_[worker].share;
  uint64_t word = share.load(std::memory_order_relaxed);
  Share left;
  do {
    left = Share::of(word);
    if (left.n() == 0) {
      return false;
    }
    const int some = std::max(job.least, job.shrink ? left.n() / 2 : 0);
    begin = left.begin;
    end = left.begin += std::min(some, left.n());
  } while (!share.compare_exchange_weak(
      word, left.word(), std::memory_order_relaxed));
  return true;
}

/// Makes half of what another worker has left this one's share. False when
/// nobody has any.
bool ThreadPool::steal(const Job& job, uint32_t number, int worker) {
  for (int i = 1; i < size(); i++) {
    const int other = (worker + i) % size();
    Share loot;
    if (rob(workers_[other], first_share(number, job.n, other), loot)) {
      loot.joined = true;
      // Nobody else changes a share that is empty.
      workers_[worker].share.store(loot.word(), std::memory_order_relaxed);
      return true;
    }
  }
  return false;
}

/// The back half of a share, which is `first` if its owner has yet to come.
bool ThreadPool::rob(Worker& victim, const Share& first, Share& loot) {
  uint64_t word = victim.share.load(std::memory_order_relaxed);
  Share left;
  do {
    left = Share::of(word);
    if (left.number != first.number) {
      left = first;
    } else if (left.n() == 0) {
      return false;
    }
    loot = left;
    loot.begin = left.end -= (left.n() + 1) / 2;
  } while (!victim.share.compare_exchange_weak(
      word, left.word(), std::memory_order_relaxed));
  return loot.n() > 0;
}

void ThreadPool::serve(int worker) {
  name_thread("stomp-compute");
  uint32_t seen = 0; // number of the last job this worker looked at
  while (await_job(seen)) {
    const uint64_t posted = posted_.load(std::memory_order_acquire);
    seen = number_of(posted);
    if (join(posted, worker)) {
      work(job_, seen, worker);
      workers_[worker].left.store(seen, std::memory_order_release);
    }
  }
}

bool ThreadPool::news(uint32_t seen) const {
  return number_of(posted_.load()) != seen || stopping_.load();
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

/// False when others have done this worker's share.
bool ThreadPool::join(uint64_t posted, int worker) {
  const uint32_t number = number_of(posted);
  const Share first =
      first_share(number, static_cast<int>(posted & kMaxIndices), worker);
  std::atomic<uint64_t>& share = workers_[worker].share;
  uint64_t word = share.load(std::memory_order_relaxed);
  Share own;
  do {
    own = Share::of(word);
    if (own.number == first.number - 1) {
      own = first;
    }
    // Of a later job when this thread was asleep since it looked.
    if (own.number != first.number || own.n() == 0) {
      return false;
    }
    own.joined = true;
  } while (!share.compare_exchange_weak(
      word, own.word(), std::memory_order_acquire, std::memory_order_relaxed));
  return true;
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

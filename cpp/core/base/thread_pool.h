// A fixed set of threads that share the work of short loops.
//
// One owner thread calls run(); it takes part in the work as worker 0, so that
// a pool of one has no threads at all. Every worker begins with a share of its
// own, and when that is done takes half of what another has left: threads
// touch each other's cache lines only when a loop begins and ends, and yet all
// end at once, be work of unequal cost or a core busy elsewhere. A worker that
// is late finds its share taken and is not waited for.
//
// Between loops the workers spin for a moment, because the next loop of a step
// is microseconds away, and then sleep: an idle pool costs no processor time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace stomp {

class ThreadPool {
 public:
  /// `threads` includes the caller. REQUIRES: threads >= 1.
  explicit ThreadPool(int threads);
  /// REQUIRES: no run() under way.
  ~ThreadPool();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  /// Calls f(index, worker) once for every index in [0, n), in any order, on
  /// up to size() threads at once; worker is in [0, size()) and names the
  /// thread. Returns when all calls have returned. What the caller wrote
  /// before is visible to f, what f wrote is visible after.
  /// REQUIRES: owner thread; not from within f. f must be noexcept.
  template <class F>
  void run(int n, F&& f) {
    const auto each = [&f](int begin, int end, int worker) noexcept {
      static_assert(
          std::is_nothrow_invocable_v<F&, int, int>,
          "a worker has nobody to throw to: make the body noexcept");
      for (int i = begin; i < end; i++) {
        f(i, worker);
      }
    };
    start(n, 1, false, each);
  }

  /// Calls f(begin, end, worker) for ranges that make up [0, n): long ones
  /// first, so that neighbours stay together, then ever shorter ones, down to
  /// about `least` indices, so that all threads end at once.
  template <class F>
  void run_ranges(int n, int least, F&& f) {
    start(n, least, true, f);
  }

 private:
  struct Job {
    void (*call)(void* body, int begin, int end, int worker) noexcept = nullptr;
    void* body = nullptr;
    int first = 0; // of its indices, which shares count from
    int n = 0;
    int least = 1;       // indices to take at once
    bool shrink = false; // take more while much is left
  };

  /// What a worker has left of one job, in one word that any thread may
  /// change. See thread_pool.cc.
  struct Share;

  struct alignas(64) Worker {
    std::atomic<uint64_t> share{0};
    std::atomic<uint32_t> left{0}; // number of the last job it has left
  };

  template <class F>
  void start(int n, int least, bool shrink, F& f) {
    static_assert(
        std::is_nothrow_invocable_v<F&, int, int, int>,
        "a worker has nobody to throw to: make the body noexcept");
    if (n <= least || threads_.empty()) {
      if (n > 0) {
        f(0, n, 0);
      }
      return;
    }
    const auto call = [](void* body, int begin, int end, int worker) noexcept {
      (*static_cast<F*>(body))(begin, end, worker);
    };
    void* body = const_cast<void*>(static_cast<const void*>(&f));
    for (int first = 0; first < n; first += kMaxIndices) {
      open(
          {call, body, first, std::min(n - first, kMaxIndices), least, shrink});
    }
  }

  void open(const Job& job);
  void work(const Job& job, uint32_t number, int worker);
  bool take(const Job& job, int worker, int& begin, int& end);
  bool steal(const Job& job, uint32_t number, int worker);
  bool rob(Worker& victim, const Share& first, Share& loot);
  Share first_share(uint32_t number, int n, int worker) const;
  void serve(int worker);
  bool await_job(uint32_t seen);
  bool join(uint64_t posted, int worker);
  void park(uint32_t seen);
  bool news(uint32_t seen) const;

  static constexpr int kIndexBits = 15;
  static constexpr int kMaxIndices = (1 << kIndexBits) - 1;

  // One line: all that a worker reads to begin a job. `posted_` is its number
  // and n; the rest changes only when every worker that joined has left.
  alignas(64) std::atomic<uint64_t> posted_{0};
  Job job_;
  std::atomic<bool> stopping_{false};

  alignas(64) std::atomic<int> parked_{0};
  std::atomic<int> wake_{0}; // changes to wake the parked
  std::unique_ptr<Worker[]> workers_;
  std::vector<std::thread> threads_;
};

} // namespace stomp

// A fixed set of threads that share the work of short loops.
//
// One owner thread calls run(); it takes part in the work as worker 0, so that
// a pool of one has no threads at all. Indices are handed out as threads
// become free, which balances work of unequal cost and a core that is busy
// elsewhere. A worker that is late finds the loop closed and is not waited for.
//
// Between loops the workers spin for a moment, because the next loop of a step
// is microseconds away, and then sleep: an idle pool costs no processor time.
#pragma once

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

  /// Calls f(begin, end, worker) for ranges that make up [0, n), of at least
  /// `least` indices but for the last: long ones first, so that neighbours
  /// stay together, then ever shorter ones, so that all threads end at once.
  template <class F>
  void run_ranges(int n, int least, F&& f) {
    start(n, least, true, f);
  }

 private:
  struct Job {
    void (*call)(void* body, int begin, int end, int worker) noexcept = nullptr;
    void* body = nullptr;
    int n = 0;
    int least = 1;       // indices to hand out at once
    bool shrink = false; // hand out more while much is left
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
    share(
        {[](void* body, int begin, int end, int worker) noexcept {
           (*static_cast<F*>(body))(begin, end, worker);
         },
         const_cast<void*>(static_cast<const void*>(&f)),
         n,
         least,
         shrink});
  }

  void share(const Job& job);
  void work(int worker);
  bool take(const Job& job, int& begin, int& end);
  void serve(int worker);
  bool await_job(uint32_t seen);
  bool join(uint32_t& seen);
  void park(uint32_t seen);
  bool news(uint32_t seen) const;

  // Bits 32..63: number of the job. Bit 31: it is open, workers may join.
  // Below: workers inside. A job's fields change only while nobody is inside.
  alignas(64) std::atomic<uint64_t> gate_{0};
  alignas(64) std::atomic<int> next_{0}; // next index to hand out
  alignas(64) Job job_;
  std::atomic<int> parked_{0};
  std::atomic<int> wake_{0}; // changes to wake the parked
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

} // namespace stomp

// The engine's clock: monotonic time, which a test may replace by its own. Any
// thread.
#pragma once

#include <atomic>
#include <chrono>

namespace stomp {

struct Clock {
  using duration = std::chrono::steady_clock::duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::steady_clock::time_point;
  static constexpr bool is_steady = true;

  static time_point now() {
    const Source source = source_.load(std::memory_order_relaxed);
    return source ? source() : std::chrono::steady_clock::now();
  }

  /// Whom now() asks; null: the machine. Tests only.
  using Source = time_point (*)();
  static void set_source(Source source) { source_ = source; }

 private:
  inline static std::atomic<Source> source_ = nullptr;
};

inline double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start)
      .count();
}

} // namespace stomp

// The engine's clock in the hands of a test: stands still until it is told, or
// goes on by a tick whenever somebody looks, so that all steps take as long.
// One at a time, for engines on the test's own thread.
#pragma once

#include "base/clock.h"

namespace stomp::test {

class VirtualClock {
 public:
  explicit VirtualClock(double tick_ms = 0) {
    now_ = Clock::time_point(std::chrono::hours(1));
    tick_ms_ = tick_ms;
    Clock::set_source([] {
      pass_ms(tick_ms_);
      return now_;
    });
  }
  ~VirtualClock() { Clock::set_source(nullptr); }
  VirtualClock(const VirtualClock&) = delete;
  VirtualClock& operator=(const VirtualClock&) = delete;

  static void pass_ms(double ms) {
    now_ += std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double, std::milli>(ms));
  }

 private:
  inline static Clock::time_point now_;
  inline static double tick_ms_ = 0;
};

} // namespace stomp::test

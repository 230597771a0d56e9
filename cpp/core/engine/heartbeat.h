// Whether the engine's thread gets on. Any thread may ask; the engine's own
// thread tells. A thread that hangs cannot be ended, only reported.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace stomp {

class Heartbeat {
 public:
  /// A turn of work begins. So does the next one, after each.
  void beat() { since_ = Clock::now().time_since_epoch().count(); }
  /// There is nothing to do.
  void rest() { since_ = kResting; }

  /// How long the turn under way has lasted; 0 while resting.
  double silent_ms() const {
    const Clock::rep since = since_;
    return since == kResting
        ? 0
        : ms_since(Clock::time_point(Clock::duration(since)));
  }

 private:
  static constexpr Clock::rep kResting = 0;
  std::atomic<Clock::rep> since_ = kResting;
};

} // namespace stomp

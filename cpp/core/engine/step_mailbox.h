// Between the engine thread, which must not wait, and a reader that may be
// busy: what several steps brought is handed over together, in order. Holds no
// more than what the requests under way may still produce, 12 bytes a token and
// 8 a log-probability.
// Any thread.
#pragma once

#include <mutex>

#include "engine/engine.h"

namespace stomp {

class StepMailbox {
 public:
  /// Takes the events. True when the reader must be told: it has been told
  /// nothing since it last looked. Allocates nothing once both sides' memory
  /// has grown to what a step brings.
  bool put(StepEvents& events);

  /// Replaces what `events` holds by all that has come since. Its memory
  /// serves the next steps.
  void take(StepEvents& events);

 private:
  std::mutex mutex_;
  StepEvents pending_;
};

} // namespace stomp

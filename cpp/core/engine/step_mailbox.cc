#include "engine/step_mailbox.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace stomp {

bool StepMailbox::put(StepEvents& events) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool first = pending_.empty();
  pending_.events.insert(
      pending_.events.end(), events.events.begin(), events.events.end());
  pending_.logprobs.insert(
      pending_.logprobs.end(), events.logprobs.begin(), events.logprobs.end());
  std::ranges::move(events.finished, std::back_inserter(pending_.finished));
  return first && !pending_.empty();
}

void StepMailbox::take(StepEvents& events) {
  events.clear();
  const std::lock_guard<std::mutex> lock(mutex_);
  std::swap(events, pending_);
}

} // namespace stomp

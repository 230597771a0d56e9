// Back from the batch into the queue: whose place another one gets. The victim
// is the least urgent, of those the youngest; active_ has it last.
#include <algorithm>

#include "engine/core.h"

namespace stomp {

/// Makes room for one that runs, at the cost of somebody behind it.
bool EngineCore::preempt_behind(const Sequence& seq) {
  for (auto it = std::prev(active_.end()); it->get() != &seq; --it) {
    if ((*it)->phase != Phase::kDone) {
      preempt(it);
      return true;
    }
  }
  return false;
}

/// Makes a place for one that waits and is more urgent. For that nobody has to
/// leave twice, so that all get on.
bool EngineCore::preempt_for(const Sequence& seq) {
  const auto may_leave = [&](const SequencePtr& other) {
    return other->request.priority > seq.request.priority &&
        !other->preempted && other->phase != Phase::kDone;
  };
  const auto victim = std::find_if(active_.rbegin(), active_.rend(), may_leave);
  if (victim == active_.rend()) {
    return false;
  }
  preempt(std::prev(victim.base()));
  return true;
}

/// What it had computed stays in the pool until somebody needs the blocks, and
/// goes to the disk then if there is one: what comes back is not computed anew.
void EngineCore::preempt(std::list<SequencePtr>::iterator victim) {
  Sequence& seq = **victim;
  CachedSequence& kv = seq.agent->kv;
  preemptions_++;
  cache_->truncate(kv, seq.phase == Phase::kRestoring ? 0 : seq.cached());
  cache_->publish_tail(kv);
  restores_.erase(&seq);
  seq.agent->running = nullptr;
  agents_->park(seq.agent);
  seq.phase = Phase::kWaiting;
  seq.preempted = true;
  seq.adopted = -1;
  seq.logprobs.clear(); // it is scored anew from the first token
  waiting_.push_front(std::move(*victim));
  active_.erase(victim);
}

} // namespace stomp

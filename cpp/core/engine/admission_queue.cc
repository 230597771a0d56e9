#include "engine/admission_queue.h"

#include <algorithm>

namespace stomp {

namespace {

int rank(const Sequence& seq) {
  return static_cast<int>(seq.request.priority);
}

/// What a turn has to pay: all that the request may add to the cache.
int64_t cost(const Sequence& seq) {
  return seq.preempted ? 0 : std::max(1, seq.target - seq.cached());
}

bool is_free(const Sequence& seq) {
  return !seq.agent->busy();
}

} // namespace

/// The flow that a request belongs to, in the class that it then has.
AdmissionQueue::Flow& AdmissionQueue::flow_of(const Sequence& seq, bool first) {
  const std::string& agent = seq.request.agent;
  Flows& own = classes_[rank(seq)];
  const auto place = [&] { return first ? own.begin() : own.end(); };
  for (int c = 0; c < kPriorities; c++) {
    if (agent.empty() && c != rank(seq)) {
      continue;
    }
    const auto flow = std::ranges::find(classes_[c], agent, &Flow::agent);
    if (flow == classes_[c].end()) {
      continue;
    }
    if (c > rank(seq) || (first && c == rank(seq))) {
      own.splice(place(), classes_[c], flow);
    }
    return *flow;
  }
  return *own.insert(place(), Flow{.agent = agent, .requests = {}});
}

void AdmissionQueue::push(SequencePtr seq) {
  Flow& flow = flow_of(*seq, false);
  flow.requests.push_back(std::move(seq));
  size_++;
}

void AdmissionQueue::push_front(SequencePtr seq) {
  Flow& flow = flow_of(*seq, true);
  flow.requests.push_front(std::move(seq));
  size_++;
}

/// Whether somebody of the class could go.
bool AdmissionQueue::has_free(int priority) const {
  return std::ranges::any_of(classes_[priority], [](const Flow& flow) {
    return is_free(*flow.requests.front());
  });
}

std::optional<int> AdmissionQueue::class_in_turn() const {
  std::optional<int> highest;
  for (int c = kPriorities - 1; c >= 0; c--) {
    if (!has_free(c)) {
      continue;
    }
    if (c > 0 && passed_[c] >= kPasses[c]) {
      return c;
    }
    highest = c;
  }
  return highest;
}

Sequence* AdmissionQueue::next() {
  const std::optional<int> c = class_in_turn();
  if (!c) {
    return nullptr;
  }
  Flows& flows = classes_[*c];
  for (auto flow = flows.begin();;) {
    if (flow == flows.end()) {
      flow = flows.begin();
    }
    Sequence& seq = *flow->requests.front();
    const auto current = flow++;
    if (!is_free(seq)) {
      continue; // behind its agent's earlier request; keeps its place
    }
    if (current->deficit < cost(seq)) {
      current->deficit += kQuantumTokens;
    }
    current->in_turn = current->deficit >= cost(seq);
    if (current->in_turn) {
      return &seq;
    }
    flows.splice(flows.end(), flows, current);
  }
}

/// A class had its turn; those below were passed.
void AdmissionQueue::charge(int priority) {
  passed_[priority] = 0;
  for (int c = priority + 1; c < kPriorities; c++) {
    passed_[c] = has_free(c) ? passed_[c] + 1 : 0;
  }
}

SequencePtr AdmissionQueue::take(Sequence& seq) {
  for (int c = 0; c < kPriorities; c++) {
    const auto flow =
        std::ranges::find_if(classes_[c], [&](const Flow& candidate) {
          return candidate.requests.front().get() == &seq;
        });
    if (flow == classes_[c].end()) {
      continue;
    }
    flow->deficit -= cost(seq);
    SequencePtr taken = std::move(flow->requests.front());
    flow->requests.pop_front();
    size_--;
    settle(c, flow);
    charge(c);
    return taken;
  }
  return nullptr;
}

/// A flow has lost requests: it may be at its end, or less urgent than it was,
/// or its turn is over. One that only waits for its turn keeps its place.
void AdmissionQueue::settle(int from, Flows::iterator flow) {
  Flows& flows = classes_[from];
  if (flow->requests.empty()) {
    flows.erase(flow);
    return;
  }
  int highest = kPriorities;
  for (const SequencePtr& seq : flow->requests) {
    highest = std::min(highest, rank(*seq));
  }
  const bool over =
      flow->in_turn && flow->deficit < cost(*flow->requests.front());
  if (highest != from || over) {
    flow->in_turn = false;
    Flows& to = classes_[highest];
    to.splice(to.end(), flows, flow);
  }
}

Clock::time_point AdmissionQueue::oldest() const {
  Clock::time_point first = Clock::time_point::max();
  for (const Flows& flows : classes_) {
    for (const Flow& flow : flows) {
      for (const SequencePtr& seq : flow.requests) {
        first = std::min(first, seq->submitted);
      }
    }
  }
  return first;
}

void AdmissionQueue::for_each(const std::function<void(Sequence&)>& f) {
  for (Flows& flows : classes_) {
    for (Flow& flow : flows) {
      for (const SequencePtr& seq : flow.requests) {
        f(*seq);
      }
    }
  }
}

void AdmissionQueue::erase_done() {
  for (int c = 0; c < kPriorities; c++) {
    for (auto flow = classes_[c].begin(); flow != classes_[c].end();) {
      const auto current = flow++;
      const size_t gone = std::erase_if(
          current->requests,
          [](const SequencePtr& seq) { return seq->phase == Phase::kDone; });
      if (gone > 0) {
        size_ -= static_cast<int>(gone);
        settle(c, current);
      }
    }
  }
}

} // namespace stomp

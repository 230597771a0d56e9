// Requests that wait for a place in the batch, and whose turn it is. Knows
// agents and priorities, not blocks; engine thread only.
//
// Within an agent first come, first served. Between agents of one class
// deficit round robin (Shreedhar and Varghese 1995): a turn is worth
// kQuantumTokens, and who asks for more saves turns up, so that long requests
// of one agent do not hold up short ones of another. Requests without an agent
// share one turn.
//
// A higher class goes first, but no more than so many times in a row while
// somebody of a lower one waits: nobody starves. An agent counts by the most
// urgent request that it has here, since the others stand in that one's way.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "engine/sequence.h"

namespace stomp {

using SequencePtr = std::unique_ptr<Sequence>;

class AdmissionQueue {
 public:
  static constexpr int kQuantumTokens = 2048;
  /// So often may a class be passed by higher ones before it is its turn.
  static constexpr std::array<int, kPriorities> kPasses = {0, 4, 16};

  void push(SequencePtr seq);
  /// A preempted request: its turn was paid for, so it is first of its class.
  void push_front(SequencePtr seq);

  /// Who is next of those whose agent has no request under way; null: nobody.
  /// The same one until it is taken or the queue changes.
  Sequence* next();
  /// REQUIRES: seq came from next() just now.
  SequencePtr take(Sequence& seq);

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// When the first of those that wait came. REQUIRES: !empty().
  Clock::time_point oldest() const;
  void for_each(const std::function<void(Sequence&)>& f);
  /// Drops requests that have ended.
  void erase_done();

 private:
  /// The requests of one agent, or of one class without agents.
  struct Flow {
    std::string agent;
    std::deque<SequencePtr> requests;
    int64_t deficit = 0; // tokens that its turns were worth and it did not take
    bool in_turn = false; // was first, and has not moved to the end since
  };
  using Flows = std::list<Flow>;

  Flow& flow_of(const Sequence& seq, bool first);
  void settle(int from, Flows::iterator flow);
  bool has_free(int priority) const;
  std::optional<int> class_in_turn() const;
  void charge(int priority);

  std::array<Flows, kPriorities> classes_;   // each in order of turns
  std::array<int, kPriorities> passed_ = {}; // since the class's last turn
  int size_ = 0;
};

} // namespace stomp

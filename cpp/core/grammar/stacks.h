// Stacks of frames that share their lower parts, each held once, and the step
// of a set of them over a byte or a token. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "grammar/automaton.h"

namespace stomp::grammar {

struct Frame {
  uint32_t state;
  uint32_t rounds; // 0 outside of counters

  bool operator==(const Frame&) const = default;
};

/// A stack is its top frame and the stack below, kNone below the bottom.
class Stacks {
 public:
  struct Node {
    Frame top;
    uint32_t below;
    uint32_t depth; // frames, at least 1
  };

  /// The same stack always has the same number, from 0 on.
  uint32_t push(Frame top, uint32_t below);

  const Node& operator[](uint32_t stack) const { return nodes_[stack]; }
  size_t size() const { return nodes_.size(); }
  size_t bytes() const;

 private:
  void grow();
  size_t slot_of(const Frame& top, uint32_t below) const;

  std::vector<Node> nodes_;
  std::vector<uint32_t> slots_; // open addressing; kNone: free
};

/// What a grammar can be in after some bytes: the stacks that have an edge on
/// top, ascending, none twice; and whether the grammar may end here.
struct Position {
  std::vector<uint32_t> stacks;
  bool complete = false;

  bool dead() const { return stacks.empty() && !complete; }
};

/// Steps positions. Throws Error(kInvalidRequest) when a position has more
/// than kMaxAlternatives stacks, or steps have taken more than kMaxWork since
/// rest().
class Stepper {
 public:
  static constexpr size_t kMaxAlternatives = 1024;
  static constexpr uint64_t kMaxWork = uint64_t{1} << 25;

  explicit Stepper(const Automaton& automaton, Stacks& stacks)
      : automaton_(automaton), stacks_(stacks) {}

  /// All that a frame on top of a stack can be without a byte.
  Position enter(Frame top, uint32_t below);
  Position over_class(std::span<const uint32_t> from, uint8_t byte_class);
  Position over_token(std::span<const uint32_t> from, uint32_t token);

  /// The deepest that stacks of the last step were, with what they still need,
  /// those included that were dropped for being deeper than kMaxStack.
  uint32_t reach() const { return reach_; }

  void work(uint64_t amount) {
    worked_ += amount;
    if (worked_ > kMaxWork) {
      fail_work();
    }
  }
  void rest() { worked_ = 0; }

 private:
  void begin();
  void add(Frame top, uint32_t below);
  void expand(uint32_t stack);
  void call(const Automaton::Call& call, const Stacks::Node& from);
  void end_round(const Automaton::Counter& counter, const Stacks::Node& from);
  bool fits(uint32_t state, uint32_t depth);
  Position close();
  [[noreturn]] static void fail_work();

  const Automaton& automaton_;
  Stacks& stacks_;
  std::vector<uint32_t> open_;
  std::vector<uint32_t> stamps_; // a stack: the step that saw it last
  uint32_t stamp_ = 0;
  uint32_t reach_ = 0;
  uint64_t worked_ = 0;
  Position out_;
};

} // namespace stomp::grammar

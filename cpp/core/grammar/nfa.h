// One rule as a nondeterministic automaton over bytes, before determinise.h
// makes an Automaton's states of it. One thread.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "grammar/rules.h"

namespace stomp::grammar {

/// Of all rules together, before and after determinising.
constexpr size_t kMaxStates = 300'000;

struct NfaState {
  struct Edge {
    uint8_t low, high; // bytes
    uint32_t to;
  };
  struct Labelled {
    uint32_t label; // a token, or a rule that is called
    uint32_t to;
  };
  std::vector<uint32_t> epsilons;
  std::vector<Edge> edges;
  std::vector<Labelled> tokens;
  std::vector<Labelled> calls;
  std::vector<uint32_t> enters; // counted repeats that may begin here
  uint32_t ends = kNone;        // the counted repeat of which a round ends here
  bool accepting = false;
};

/// A repeat whose rounds a frame counts.
struct NfaCounter {
  uint32_t min, max;    // max: kEndless
  uint32_t start, exit; // states
};

struct Nfa {
  std::vector<NfaState> states; // 0 is where it starts
  std::vector<NfaCounter> counters;
};

/// Makes automata of rules. Repeats that are short when written out are written
/// out; others become counters, one inside another a rule of its own.
class NfaBuilder {
 public:
  explicit NfaBuilder(const Rules& rules);

  /// Rules made so far, those of the grammar first.
  size_t rules() const { return roots_.size(); }
  const std::string& name(uint32_t rule) const;

  /// May make rules() grow. Throws Error(kInvalidRequest) past kMaxStates.
  Nfa build(uint32_t rule);

 private:
  uint32_t build(uint32_t node, uint32_t from);
  uint32_t build_text(const Node& node, uint32_t from);
  uint32_t build_chars(const Node& node, uint32_t from);
  uint32_t build_or(const Node& node, uint32_t from);
  uint32_t build_ref(const Node& node, uint32_t from);
  uint32_t build_repeat(uint32_t at, uint32_t from);
  uint32_t write_out(const Node& node, uint32_t from);
  uint32_t build_counter(const Node& node, uint32_t from);
  uint32_t call(uint32_t rule, uint32_t from);
  uint32_t add_state();
  bool is_written_out(const Node& node) const;
  bool is_inlined(uint32_t rule) const;
  bool is_loop(const Node& node) const;
  static uint64_t copies_of(const Node& node);
  uint64_t cost_of(const Node& node) const;
  void find_costs();

  const Rules& rules_;
  std::vector<uint32_t> roots_;  // the node of each rule
  std::vector<uint64_t> costs_;  // states that a node needs, about
  std::vector<bool> is_inlined_; // by rule; empty: not known yet
  std::unordered_map<uint32_t, uint32_t> outlined_; // node -> its rule
  Nfa nfa_;
  uint32_t rule_ = 0;
  bool counting_ = false; // inside a counter
  size_t total_ = 0;
};

} // namespace stomp::grammar

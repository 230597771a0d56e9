// A grammar as automata that call each other. A match is a stack of frames: a
// state of each automaton that has not ended yet, and how many rounds of a
// counted repeat it has been through. Immutable once compiled; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/rules.h"

namespace stomp::grammar {

/// Frames of the deepest stack.
constexpr uint32_t kMaxStack = 2048;
/// The need of a state from which its rule cannot end.
constexpr uint32_t kNever = 1 << 24;

struct Automaton {
  struct Edge {
    uint8_t low, high; // classes of bytes
    uint32_t to;
  };
  struct TokenEdge {
    uint32_t token;
    uint32_t to;
  };
  struct Call {
    uint32_t start; // state of the rule that is called
    uint32_t to;    // where its end leads
    bool tail;      // nothing is left to do there, no frame need wait
  };
  struct State {
    std::vector<Edge> edges; // by `low`; may overlap
    std::vector<TokenEdge> tokens;
    std::vector<Call> calls;
    std::vector<uint32_t> enters; // counters that begin here with 0 rounds
    uint32_t ends = kNone;        // the counter of which a round ends here
    uint32_t counter = kNone;     // the counter that it is inside of
    /// Frames above its own that it takes at least to end the rule.
    uint32_t need = kNever;
    bool accepting = false;

    bool consumes() const { return !edges.empty() || !tokens.empty(); }
  };
  struct Counter {
    uint32_t min, max;    // max: kEndless
    uint32_t start, exit; // states
  };

  std::vector<State> states;
  std::vector<Counter> counters;
  uint32_t start = 0;
  /// Bytes of one class are alike to every state.
  std::array<uint8_t, 256> class_of{};
  int classes = 0;
};

/// Throws Error(kInvalidRequest) where the grammar is no grammar, or too large.
Automaton compile_rules(std::string_view json, int vocabulary_size);

} // namespace stomp::grammar

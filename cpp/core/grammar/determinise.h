// The states of an Automaton for one rule: sets of states of its Nfa, so that
// one byte leads to one state, unless that makes too many of them.
#pragma once

#include "grammar/automaton.h"
#include "grammar/nfa.h"

namespace stomp::grammar {

/// FNV-1a over numbers.
struct HashNumbers {
  size_t operator()(const std::vector<uint32_t>& numbers) const {
    uint64_t hash = 0xcbf29ce484222325;
    for (const uint32_t n : numbers) {
      hash = (hash ^ n) * 0x100000001b3;
    }
    return hash ^ hash >> 29;
  }
};

/// Members of all sets of a grammar: a second, about.
constexpr size_t kMaxMembers = 20'000'000;

/// Appends the rule's states and counters; returns the state it starts in.
/// Edges have bytes yet, and calls the numbers of rules for their start. Adds
/// to `members` how many the sets have; gives up half-way past kMaxMembers.
uint32_t append_states(const Nfa& nfa, Automaton& out, size_t& members);

} // namespace stomp::grammar

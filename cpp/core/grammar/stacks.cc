#include "grammar/stacks.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace stomp::grammar {

size_t Stacks::bytes() const {
  return nodes_.capacity() * sizeof(Node) +
      slots_.capacity() * sizeof(uint32_t);
}

size_t Stacks::slot_of(const Frame& top, uint32_t below) const {
  uint64_t hash = (uint64_t{top.state} << 32 | top.rounds) * 0x9e3779b97f4a7c15;
  hash = (hash ^ hash >> 32 ^ below) * 0xbf58476d1ce4e5b9;
  const size_t mask = slots_.size() - 1;
  size_t slot = (hash ^ hash >> 29) & mask;
  while (slots_[slot] != kNone) {
    const Node& node = nodes_[slots_[slot]];
    if (node.top == top && node.below == below) {
      break;
    }
    slot = (slot + 1) & mask;
  }
  return slot;
}

void Stacks::grow() {
  slots_.assign(std::max<size_t>(64, slots_.size() * 2), kNone);
  for (uint32_t i = 0; i < nodes_.size(); i++) {
    slots_[slot_of(nodes_[i].top, nodes_[i].below)] = i;
  }
}

uint32_t Stacks::push(Frame top, uint32_t below) {
  if (nodes_.size() * 2 >= slots_.size()) {
    grow();
  }
  const size_t slot = slot_of(top, below);
  if (slots_[slot] == kNone) {
    slots_[slot] = static_cast<uint32_t>(nodes_.size());
    const uint32_t depth = below == kNone ? 1 : nodes_[below].depth + 1;
    nodes_.push_back({top, below, depth});
  }
  return slots_[slot];
}

void Stepper::fail_work() {
  throw Error(
      Code::kInvalidRequest,
      "the grammar is too ambiguous to follow; give its alternatives "
      "beginnings "
      "that tell them apart");
}

void Stepper::begin() {
  out_ = {};
  reach_ = 0;
  if (++stamp_ == 0) {
    stamps_.assign(stamps_.size(), 0);
    stamp_ = 1;
  }
}

bool Stepper::fits(uint32_t state, uint32_t depth) {
  const uint32_t reach = depth + automaton_.states[state].need;
  reach_ = std::max(reach_, reach);
  return reach <= kMaxStack;
}

void Stepper::add(Frame top, uint32_t below) {
  const uint32_t depth = below == kNone ? 1 : stacks_[below].depth + 1;
  if (!fits(top.state, depth)) {
    return;
  }
  const uint32_t stack = stacks_.push(top, below);
  if (stack >= stamps_.size()) {
    stamps_.resize(std::max<size_t>(stack + 1, stamps_.size() * 2), 0);
  }
  if (stamps_[stack] != stamp_) {
    stamps_[stack] = stamp_;
    open_.push_back(stack);
  }
}

void Stepper::call(const Automaton::Call& call, const Stacks::Node& from) {
  if (call.tail) {
    return add({call.start, 0}, from.below);
  }
  if (fits(call.to, from.depth)) {
    add({call.start, 0}, stacks_.push({call.to, from.top.rounds}, from.below));
  }
}

void Stepper::end_round(
    const Automaton::Counter& counter,
    const Stacks::Node& from) {
  uint32_t rounds = from.top.rounds + 1;
  if (rounds >= counter.min) {
    add({counter.exit, 0}, from.below);
  }
  if (counter.max == kEndless) {
    rounds = std::min(rounds, counter.min);
  }
  if (rounds < counter.max) {
    add({counter.start, rounds}, from.below);
  }
}

void Stepper::expand(uint32_t stack) {
  const Stacks::Node node = stacks_[stack];
  const Automaton::State& state = automaton_.states[node.top.state];
  if (state.consumes()) {
    out_.stacks.push_back(stack);
  }
  for (const Automaton::Call& c : state.calls) {
    call(c, node);
  }
  for (const uint32_t counter : state.enters) {
    add({automaton_.counters[counter].start, 0}, node.below);
  }
  if (state.ends != kNone) {
    end_round(automaton_.counters[state.ends], node);
  }
  if (state.accepting) {
    if (node.below == kNone) {
      out_.complete = true;
    } else {
      const Stacks::Node below = stacks_[node.below];
      add(below.top, below.below);
    }
  }
}

Position Stepper::close() {
  try {
    while (!open_.empty()) {
      const uint32_t stack = open_.back();
      open_.pop_back();
      work(16);
      expand(stack);
      if (out_.stacks.size() > kMaxAlternatives) {
        fail_work();
      }
    }
  } catch (const Error&) {
    open_.clear();
    throw;
  }
  std::sort(out_.stacks.begin(), out_.stacks.end());
  return std::move(out_);
}

Position Stepper::enter(Frame top, uint32_t below) {
  begin();
  add(top, below);
  return close();
}

Position Stepper::over_class(
    std::span<const uint32_t> from,
    uint8_t byte_class) {
  begin();
  for (const uint32_t stack : from) {
    const Stacks::Node node = stacks_[stack];
    for (const auto& edge : automaton_.states[node.top.state].edges) {
      if (edge.low > byte_class) {
        break;
      }
      if (edge.high >= byte_class) {
        add({edge.to, node.top.rounds}, node.below);
      }
    }
  }
  return close();
}

Position Stepper::over_token(std::span<const uint32_t> from, uint32_t token) {
  begin();
  for (const uint32_t stack : from) {
    const Stacks::Node node = stacks_[stack];
    for (const auto& edge : automaton_.states[node.top.state].tokens) {
      if (edge.token == token) {
        add({edge.to, node.top.rounds}, node.below);
      }
    }
  }
  return close();
}

} // namespace stomp::grammar

#include "grammar/masks.h"

#include <algorithm>
#include <utility>

namespace stomp::grammar {

Masks::Masks(const Automaton& automaton, const Vocabulary& vocabulary)
    : automaton_(automaton), trie_(vocabulary.trie()) {
  path_.resize(size_t{trie_.longest} + 1);
  forget();
}

void Masks::forget() {
  places_ = {};
  steps_ = {};
  numbers_ = {};
  insides_ = {};
  masks_ = {};
  bytes_ = 0;
  stacks_ = std::make_unique<Stacks>();
  stepper_ = std::make_unique<Stepper>(automaton_, *stacks_);
  epoch_++;
}

void Masks::forget_when_full() {
  const size_t bytes =
      bytes_ + stacks_->bytes() + steps_.capacity() * sizeof(int32_t);
  if (bytes > kMaxBytes) {
    forget();
  }
}

Frame Masks::canonical(Frame frame) const {
  const uint32_t id = automaton_.states[frame.state].counter;
  if (id == kNone) {
    return frame;
  }
  const Automaton::Counter& counter = automaton_.counters[id];
  // A token ends at most so many rounds: each takes a byte.
  const uint64_t furthest = uint64_t{frame.rounds} + trie_.longest;
  if (furthest < counter.min) {
    return {frame.state, 0};
  }
  const bool may_exit = frame.rounds + 1 >= counter.min;
  if (may_exit && (counter.max == kEndless || furthest < counter.max)) {
    return {frame.state, counter.min == 0 ? 0 : counter.min - 1};
  }
  return frame;
}

int32_t Masks::place_of(Position position, uint32_t reach) {
  if (position.dead()) {
    return kDead;
  }
  std::vector<uint32_t> key = position.stacks;
  key.push_back(position.complete ? 1 : 0);
  const auto next = static_cast<int32_t>(places_.size());
  const auto [found, added] = numbers_.try_emplace(std::move(key), next);
  if (added) {
    bytes_ += sizeof(Place) + 8 * position.stacks.size() + 96;
    steps_.resize(steps_.size() + automaton_.classes, kUnknown);
    places_.emplace_back();
    places_.back().position = std::move(position);
  }
  Place& place = places_[found->second];
  place.reach = std::max(place.reach, reach);
  return found->second;
}

int32_t Masks::find_step(int32_t place, uint8_t byte_class) {
  Position next =
      stepper_->over_class(places_[place].position.stacks, byte_class);
  const int32_t to = place_of(std::move(next), stepper_->reach());
  steps_[size_t(place) * automaton_.classes + byte_class] = to;
  return to;
}

void Masks::allow(uint32_t first, uint32_t last, Mask& mask) const {
  for (uint32_t i = first; i < last; i++) {
    const auto token = static_cast<uint32_t>(trie_.tokens[i]);
    mask[token / 64] |= uint64_t{1} << token % 64;
  }
}

/// Goes through the nodes below `from`, at which the position is `place`.
void Masks::walk(uint32_t from, int32_t place, Walk& out) {
  const uint32_t end = trie_.nodes[from].end;
  path_[trie_.nodes[from].depth] = place;
  uint64_t seen = 0;
  for (uint32_t i = from + 1; i < end;) {
    const Vocabulary::Trie::Node& node = trie_.nodes[i];
    seen++;
    const int32_t at =
        step(path_[node.depth - 1], automaton_.class_of[node.byte]);
    if (at == kDead) {
      i = node.end;
      continue;
    }
    path_[node.depth] = at;
    allow(node.first, trie_.nodes[i + 1].first, out.mask);
    if (out.left_at && places_[at].position.complete) {
      out.left_at->push_back(i);
    }
    i = take_text(i, at, out) ? node.end : i + 1;
    out.reach = std::max(out.reach, places_[at].reach);
  }
  stepper_->work(seen);
}

/// Allows all tokens below a node at once where they are text and text is what
/// may come. Where the frame is left among them is not noted: it could only
/// allow them again.
bool Masks::take_text(uint32_t node, int32_t place, Walk& out) {
  const uint32_t height = trie_.heights[node];
  if (height == 0 || (trie_.nodes[node].texts & 1) == 0) {
    return false;
  }
  if (!places_[place].measured) {
    measure_text(place);
  }
  if (places_[place].text < height) {
    return false;
  }
  const Vocabulary::Trie::Node& below = trie_.nodes[node];
  allow(trie_.nodes[node + 1].first, trie_.nodes[below.end].first, out.mask);
  return true;
}

const Masks::Inside& Masks::inside(Frame frame) {
  const uint64_t key = uint64_t{frame.state} << 32 | frame.rounds;
  const auto found = insides_.find(key);
  if (found != insides_.end()) {
    return found->second;
  }
  Inside inside;
  inside.mask.resize((trie_.bytes.size() + 63) / 64);
  Position start;
  start.stacks.push_back(stacks_->push(frame, kNone));
  Walk walked{inside.mask, &inside.left_at};
  walk(0, place_of(std::move(start), 0), walked);
  inside.reach = walked.reach;
  bytes_ += inside.mask.size() * sizeof(uint64_t) +
      inside.left_at.size() * sizeof(uint32_t) + 128;
  return insides_.emplace(key, std::move(inside)).first->second;
}

void Masks::add_stack(uint32_t stack, Mask& mask) {
  const Stacks::Node node = (*stacks_)[stack];
  const Automaton::State& state = automaton_.states[node.top.state];
  for (const Automaton::TokenEdge& edge : state.tokens) {
    mask[edge.token / 64] |= uint64_t{1} << edge.token % 64;
  }
  if (state.edges.empty()) {
    return;
  }
  Walk out{mask, nullptr};
  const Inside& in = inside(node.top);
  if (node.depth - 1 + in.reach > kMaxStack) {
    // So near the deepest that its frames matter, not the top one alone.
    return walk(0, place_of({{stack}, false}, 0), out);
  }
  for (size_t i = 0; i < mask.size(); i++) {
    mask[i] |= in.mask[i];
  }
  if (node.below == kNone || in.left_at.empty()) {
    return;
  }
  const Stacks::Node below = (*stacks_)[node.below];
  Position rest = stepper_->enter(below.top, below.below);
  const int32_t place = place_of(std::move(rest), stepper_->reach());
  for (const uint32_t left : in.left_at) {
    if (place != kDead) {
      walk(left, place, out);
    }
  }
}

std::shared_ptr<const Mask> Masks::of(const Position& position) {
  stepper_->rest();
  const int32_t place = place_of(position, 0);
  auto mask = std::make_shared<Mask>((trie_.bytes.size() + 63) / 64);
  if (place == kDead) {
    return mask;
  }
  const auto found = masks_.find(place);
  if (found != masks_.end()) {
    return found->second;
  }
  for (const uint32_t stack : position.stacks) {
    add_stack(stack, *mask);
  }
  bytes_ += mask->size() * sizeof(uint64_t) + 128;
  masks_.emplace(place, mask);
  return mask;
}

} // namespace stomp::grammar

// How far plain text can go from a place without anything changing but a count:
// so far, the tokens of a stretch of text are allowed without a look at each.
#include <algorithm>
#include <iterator>
#include <utility>

#include "grammar/masks.h"
#include "grammar/text_units.h"

namespace stomp::grammar {

namespace {

/// Pairs of a place and a state of next_text() beyond which it is not worth it.
constexpr size_t kMaxPairs = 64;

} // namespace

/// The one place to which every character of text leads, or kDead where there
/// is none.
int32_t Masks::after_text(int32_t place) {
  std::vector<std::pair<int32_t, int>> pairs = {{place, kTextBoundary}};
  int32_t after = kUnknown;
  for (size_t i = 0; i < pairs.size() && i < kMaxPairs; i++) {
    const auto [from, state] = pairs[i];
    std::pair<int, int> last = {-1, -1};
    for (int byte = 0; byte < 256; byte++) {
      const int next = next_text(state, static_cast<uint8_t>(byte));
      const std::pair<int, int> kind = {automaton_.class_of[byte], next};
      if (next < 0 || kind == last) {
        continue;
      }
      last = kind;
      const int32_t to = step(from, automaton_.class_of[byte]);
      if (to == kDead) {
        return kDead;
      }
      if (!join(to, next, pairs, &after)) {
        return kDead;
      }
    }
  }
  return pairs.size() > kMaxPairs ? kDead : after;
}

/// Notes where one byte of text led; false when it is not where others did.
bool Masks::join(
    int32_t to,
    int state,
    std::vector<std::pair<int32_t, int>>& pairs,
    int32_t* after) {
  if (state != kTextBoundary) {
    const std::pair<int32_t, int> pair = {to, state};
    if (std::find(pairs.begin(), pairs.end(), pair) == pairs.end()) {
      pairs.push_back(pair);
    }
    return true;
  }
  if (*after == kUnknown) {
    *after = to;
  }
  return *after == to;
}

void Masks::measure_text(int32_t place) {
  const int32_t after = after_text(place);
  Place& from = places_[place];
  from.measured = true;
  if (after != kDead) {
    from.text = after == place ? UINT32_MAX : text_length(from, places_[after]);
  }
}

/// Characters, so bytes as well, for which each step is like the first: one
/// counter goes on and does not come to its end.
uint32_t Masks::text_length(const Place& from, const Place& to) const {
  const auto& a = from.position.stacks;
  const auto& b = to.position.stacks;
  std::vector<uint32_t> gone;
  std::vector<uint32_t> come;
  std::set_difference(
      a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(gone));
  std::set_difference(
      b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(come));
  if (gone.size() != 1 || come.size() != 1) {
    return 0;
  }
  const Stacks::Node& before = (*stacks_)[gone[0]];
  const Stacks::Node& behind = (*stacks_)[come[0]];
  const bool counts = before.top.state == behind.top.state &&
      before.below == behind.below &&
      before.top.rounds + 1 == behind.top.rounds;
  if (!counts) {
    return 0;
  }
  const uint32_t id = automaton_.states[before.top.state].counter;
  return automaton_.counters[id].max - 1 - before.top.rounds;
}

} // namespace stomp::grammar

// The masks of one grammar over one vocabulary, and what was found on the way
// to them. One thread at a time.
//
// A mask is the union of those of a position's stacks. A stack's tokens are
// those that stay inside its top frame, whatever is below, and those that leave
// it and go on in the frames below. The first are found once for each frame,
// together with the nodes of the trie at which the frame is left; the others by
// a walk from these nodes alone. Walks step through positions that are numbered
// and whose steps are remembered.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "grammar/determinise.h"
#include "grammar/stacks.h"
#include "grammar/trie.h"

namespace stomp::grammar {

using Mask = std::vector<uint64_t>;

class Masks {
 public:
  /// Both must outlive it.
  Masks(const Automaton& automaton, const Vocabulary& vocabulary);

  /// The stacks of the position that masks are asked for. Numbers are valid
  /// until the next forget_when_full().
  Stacks& stacks() { return *stacks_; }

  /// Stands for all frames that one token cannot tell from this one: a count
  /// matters only as near as a token can take it to a bound.
  Frame canonical(Frame frame) const;

  /// REQUIRES: canonical stacks of stacks(), ascending, none twice.
  /// Throws Error(kInvalidRequest) as Stepper does.
  std::shared_ptr<const Mask> of(const Position& position);

  /// Starts anew when it holds more than kMaxBytes; epoch() changes then.
  void forget_when_full();
  uint64_t epoch() const { return epoch_; }

 private:
  static constexpr size_t kMaxBytes = size_t{32} << 20;
  static constexpr int32_t kDead = -1;
  static constexpr int32_t kUnknown = -2;

  struct Place { // a numbered position
    Position position;
    uint32_t reach = 0;    // of all steps that led here
    bool measured = false; // `text` is known
    uint32_t text = 0;     // bytes of text that may come from here, at least
  };
  struct Inside { // of a frame
    Mask mask;
    std::vector<uint32_t> left_at; // nodes of the trie, ascending
    uint32_t reach = 0;
  };
  struct Walk {
    Mask& mask;
    std::vector<uint32_t>* left_at;
    uint32_t reach = 0;
  };

  void forget();
  int32_t place_of(Position position, uint32_t reach);
  int32_t step(int32_t place, uint8_t byte_class);
  int32_t find_step(int32_t place, uint8_t byte_class);
  void walk(uint32_t from, int32_t place, Walk& out);
  bool take_text(uint32_t node, int32_t place, Walk& out);
  void allow(uint32_t first, uint32_t last, Mask& mask) const;
  void add_stack(uint32_t stack, Mask& mask);
  const Inside& inside(Frame frame);

  // text_runs.cc
  void measure_text(int32_t place);
  int32_t after_text(int32_t place);
  static bool join(
      int32_t to,
      int state,
      std::vector<std::pair<int32_t, int>>& pairs,
      int32_t* after);
  uint32_t text_length(const Place& from, const Place& to) const;

  const Automaton& automaton_;
  const Vocabulary::Trie& trie_;
  std::unique_ptr<Stacks> stacks_;
  std::unique_ptr<Stepper> stepper_;
  std::vector<Place> places_;
  std::vector<int32_t> steps_; // [place][class]
  std::vector<int32_t> path_;  // [depth] of a walk
  std::unordered_map<std::vector<uint32_t>, int32_t, HashNumbers> numbers_;
  std::unordered_map<uint64_t, Inside> insides_;                   // by frame
  std::unordered_map<int32_t, std::shared_ptr<const Mask>> masks_; // by place
  size_t bytes_ = 0; // of what is not counted elsewhere
  uint64_t epoch_ = 0;
};

inline int32_t Masks::step(int32_t place, uint8_t byte_class) {
  const int32_t to = steps_[size_t(place) * automaton_.classes + byte_class];
  return to == kUnknown ? find_step(place, byte_class) : to;
}

} // namespace stomp::grammar

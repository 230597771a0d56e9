#include "engine/speculation.h"

#include <algorithm>
#include <bit>

namespace stomp {

namespace {

constexpr double kFirstChance = 0.7;
constexpr double kWeight = 0.15; // of the newest row in the estimate

// Where drafts do not pay, one of so many rows is tried in so many steps.
constexpr int kTryRows = 2;
constexpr int kTrySteps = 48;

} // namespace

void PromptLookup::expect(size_t tokens) {
  const size_t slots = std::bit_ceil(std::max<size_t>(tokens, 64));
  mask_ = slots - 1;
  for (size_t n = kShortest; n <= kLongest; n++) {
    places_[n].assign(slots, 0);
  }
}

size_t PromptLookup::slot(std::span<const int32_t> gram) const {
  uint64_t h = 1469598103934665603ull;
  for (const int32_t token : gram) {
    h = (h ^ static_cast<uint32_t>(token)) * 0x9e3779b97f4a7c15ull;
    h ^= h >> 29;
  }
  return h & mask_;
}

void PromptLookup::follow(std::span<const int32_t> text) {
  for (; indexed_ < text.size(); indexed_++) {
    for (size_t n = kShortest; n <= std::min(kLongest, indexed_); n++) {
      places_[n][slot(text.subspan(indexed_ - n, n))] =
          static_cast<uint32_t>(indexed_);
    }
  }
}

/// Behind the newest earlier place of the longest of the text's ends that has
/// one; 0: none.
size_t PromptLookup::place(std::span<const int32_t> text) const {
  for (size_t n = std::min(kLongest, text.size()); n >= kShortest; n--) {
    const std::span<const int32_t> end = text.last(n);
    const size_t place = places_[n][slot(end)];
    if (place >= n && std::ranges::equal(text.subspan(place - n, n), end)) {
      return place;
    }
  }
  return 0;
}

void PromptLookup::draft(
    std::span<const int32_t> text,
    size_t n,
    std::vector<int32_t>& out) const {
  size_t from = place(text);
  if (from == 0) {
    return;
  }
  // A text that repeats its end goes on in its own draft.
  const size_t begin = out.size();
  for (; n > 0; n--, from++) {
    out.push_back(
        from < text.size() ? text[from] : out[begin + from - text.size()]);
  }
}

Speculation::Speculation(size_t tokens) : chance_(kFirstChance) {
  lookup_.expect(tokens);
  rows_.reserve(1 + kMostRows);
}

/// Each row needs all before it to be right; the last one still has to pay.
int Speculation::length(int most, const DraftTerms& terms) {
  most = std::min({most, terms.most, kMostRows});
  int rows = 0;
  for (double chance = chance_; rows < most && chance > terms.price; rows++) {
    chance *= chance_;
  }
  if (rows == 0 && ++idle_ >= kTrySteps) {
    rows = std::max(0, std::min(most, kTryRows));
  }
  return rows;
}

void Speculation::propose(
    std::span<const int32_t> text,
    int most,
    const DraftTerms& terms) {
  lookup_.follow(text);
  rows_.assign(1, text.back());
  const int n = length(most, terms);
  if (n > 0) {
    lookup_.draft(text, n, rows_);
  }
  if (drafted() > 0) {
    idle_ = 0;
  }
}

void Speculation::learn(int accepted) {
  for (int i = 0; i < accepted; i++) {
    chance_ += kWeight * (1 - chance_);
  }
  if (accepted < drafted()) {
    chance_ -= kWeight * chance_;
  }
}

} // namespace stomp

// Speculative decoding without a second model (prompt lookup, Saxena 2023):
// where an answer says again what its conversation has said before, what came
// next then is likely to come next now. A step computes such a draft's tokens
// as further rows; each row's token is then chosen by the rules that it would
// have been chosen by alone, and counts while those before it were the
// draft's. So the answer is the same with and without. Engine thread only,
// one per sequence.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace stomp {

/// Where in a text its last tokens have come before. Constant time a token:
/// one table for each length looked for, in which a newer place takes over an
/// older one's slot; a slot that belongs to other tokens is found out.
class PromptLookup {
 public:
  /// From now on no memory is allocated; for texts of about so many tokens.
  void expect(size_t tokens);

  /// Indexes what the text has more than last time. REQUIRES: the text only
  /// grows.
  void follow(std::span<const int32_t> text);

  /// Appends n tokens that may come next, or none. REQUIRES: follow(text).
  void draft(std::span<const int32_t> text, size_t n, std::vector<int32_t>& out)
      const;

 private:
  static constexpr size_t kLongest = 4; // tokens looked for
  static constexpr size_t kShortest = 2;

  size_t slot(std::span<const int32_t> gram) const;
  size_t place(std::span<const int32_t> text) const;

  // By length: for what stands before, the place behind it; 0: none.
  std::array<std::vector<uint32_t>, kLongest + 1> places_;
  size_t mask_ = 0;
  size_t indexed_ = 0; // tokens
};

/// What a draft costs and may cost, see Scheduler.
struct DraftTerms {
  double price = 1; // a row's chance of being right at which it pays for itself
  int most = 0;     // rows of one sequence
};

class Speculation {
 public:
  static constexpr int kMostRows = 15; // of one draft

  /// For a conversation of about so many tokens.
  explicit Speculation(size_t tokens);

  /// Drafts what comes behind the text, as far as that is likely to pay and
  /// no more than `most` tokens. Where drafts have not paid, one is tried now
  /// and then.
  void
  propose(std::span<const int32_t> text, int most, const DraftTerms& terms);
  void drop() { rows_.resize(1); }

  /// The text's last token, and the draft behind it.
  std::span<const int32_t> rows() const { return rows_; }
  int drafted() const {
    return rows_.empty() ? 0 : static_cast<int>(rows_.size()) - 1;
  }

  /// So many of the draft's tokens were the answer's.
  void learn(int accepted);

 private:
  int length(int most, const DraftTerms& terms);

  PromptLookup lookup_;
  std::vector<int32_t> rows_;
  double chance_; // that a drafted token is right when those before it are
  int idle_ = 0;  // steps since the last draft
};

} // namespace stomp

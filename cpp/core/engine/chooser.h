// The next token of one sequence, from a row of logits: what is forced, else
// what bias, penalties, form and sampling options make of the row. A pure
// function of those, so an answer does not depend on who else is in the batch.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "engine/logprobs.h"
#include "engine/sampler.h"
#include "engine/sequence.h"

namespace stomp {

struct Choice {
  int32_t token = -1;
  bool ends = false; // the answer ends here, before this token
  bool last = false; // it ends behind this token, whatever might come next
  std::span<const TokenLogprob> logprobs; // when asked for, see Logprobs::of
  std::optional<Error> error;             // nothing could be chosen
};

/// Any thread, one at a time: a chooser is its own scratch memory.
class Chooser {
 public:
  /// From now on choosing allocates nothing for rows of this size, where the
  /// sequence has no guidance.
  void reserve(size_t vocab);

  /// Chooses for one row, and tells the sequence's guidance. `likeliest` is the
  /// row's arg max. Whatever goes wrong is the choice's error. The choice is
  /// valid until the next call. REQUIRES: the logits are not empty.
  const Choice&
  choose(Sequence& seq, std::span<const float> logits, int32_t likeliest);

  /// For a slice of several rows, their logits one behind the other: chooses
  /// behind the first row, and behind each further one while the draft that it
  /// holds is what was chosen before it. Valid until the next call.
  std::span<const Choice> verify(
      Sequence& seq,
      std::span<const float> logits,
      std::span<const int32_t> draft);

 private:
  void
  decide(const Sequence& seq, std::span<const float> logits, int32_t likeliest);
  int32_t
  draw(const Sequence& seq, std::span<const float> logits, int32_t likeliest);
  void keep();
  bool restrict(const Sequence& seq, size_t vocab);
  bool mark_form(const Sequence& seq, size_t vocab);
  std::span<const float> permitted(std::span<const float> row);
  void follow(const Sequence& seq, std::span<const float> logits);

  Sampler sampler_;
  Logprobs logprobs_;
  Choice choice_;
  int ahead_ = 0; // tokens chosen in this step that the sequence has not yet
  std::vector<Choice> choices_;             // of several rows
  std::vector<TokenLogprob> kept_logprobs_; // theirs
  std::vector<float> changed_;              // the row with bias and penalties
  std::vector<uint64_t> words_;             // tokens that may come, by bits
  std::vector<float> values_;               // logits of those
  std::vector<int32_t> value_ids_;          // and which they are
};

} // namespace stomp

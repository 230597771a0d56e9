// What a request wants of its answer beyond how tokens are drawn: bias and
// penalties, a form, an end of its thoughts, a script. The state of one
// sequence: it follows the answer token by token, also through a preemption.
// One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/logit_changes.h"
#include "grammar/grammar.h"

namespace stomp {

/// Ends thoughts that go on for too long: once `budget` tokens have come
/// without the sequence `end` among them, its tokens are due, one by one.
class ThoughtLimit {
 public:
  /// Without `end` there is no limit.
  ThoughtLimit(std::vector<int32_t> end, int budget)
      : end_(std::move(end)), budget_(budget) {}

  void said(int32_t token);
  std::optional<int32_t> due() const;

 private:
  size_t begun() const; // tokens of `end` that the answer ends with

  std::vector<int32_t> end_;
  int budget_;
  int count_ = 0;
  bool over_ = false;           // `end` has been said
  std::vector<int32_t> recent_; // no more than `end` has
};

class Guidance {
 public:
  /// Null when the request wants nothing of the kind. `grammar` is null when
  /// the answer may have any form; `ends` are the tokens that end it.
  static std::unique_ptr<Guidance> of(
      const Request& request,
      std::shared_ptr<const Grammar> grammar,
      std::span<const int32_t> ends);

  /// Finds out what the form allows next. Called before all that follows,
  /// after the construction and after each said().
  void look();

  /// Whether this token may come next: as the form has it, an end token where
  /// the answer is complete.
  bool permits(int32_t token) const;
  /// Tokens that may come next, by bits; none where any may.
  /// Valid until the next said().
  std::span<const uint64_t> mask() const { return mask_; }
  bool has_form() const { return matcher_.has_value(); }
  /// The answer may end here.
  bool may_end() const { return !matcher_ || complete_; }
  /// Nothing may follow but the end.
  bool only_end() const { return matcher_.has_value() && complete_ && empty_; }

  /// What comes next whatever the model finds likely. Drops a script that the
  /// form forbids.
  struct Forced {
    enum class Kind { kNothing, kToken, kEnd } kind = Kind::kNothing;
    int32_t token = -1;
  };
  Forced forced();

  const LogitChanges& changes() const { return changes_; }
  int top_logprobs() const { return top_logprobs_; } // -1: none wanted

  /// The answer goes on with this token. Throws Error(kGenerationFailed) when
  /// the form does not allow it.
  void said(int32_t token);

 private:
  Guidance(
      const Request& request,
      std::shared_ptr<const Grammar> grammar,
      std::span<const int32_t> ends);

  bool is_end(int32_t token) const;

  LogitChanges changes_;
  int top_logprobs_;
  ThoughtLimit thoughts_;
  std::vector<int32_t> script_;
  size_t scripted_ = 0; // tokens of the script that were taken
  bool on_script_;
  std::vector<int32_t> ends_;
  std::optional<GrammarMatcher> matcher_;
  bool looked_ = false; // since the last said()
  // Of the matcher, as of the last look().
  std::span<const uint64_t> mask_;
  bool complete_ = false;
  bool empty_ = false; // the mask has no bit set
};

} // namespace stomp

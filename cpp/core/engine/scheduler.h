// Decides what the next step carries. Pure bookkeeping over row counts: it
// knows neither blocks nor tokens, so it can be tested without a model.
// Engine thread only.
//
// Decode rows always go. What remains of the step goes to prefills, shared by
// their weights, but only as much as is expected to take as long as the decode
// rows alone: agents that are answering keep at least half their speed while
// others read long prompts. Where a chunk worth computing takes longer than
// that, steps of decode rows alone follow until they have taken as long. With
// nobody answering a prefill gets the whole step.
//
// A share that is not worth a chunk is saved up: each prefill has a credit,
// grows by its share in every step and pays for its rows. Who has the largest
// goes first, so that nobody falls behind its share by more than a chunk.
//
// Answers may bring drafts, see Speculation. What a row of one costs is learned
// like the rest, and for that a step without any is made now and then.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "engine/speculation.h"

namespace stomp {

/// Rows of drafts in one step, at most: each brings a row of logits.
inline constexpr int kDraftRows = 64;

struct SchedulerOptions {
  int prefill_step_tokens = 512;
  int min_chunk_tokens = 4; // fewer take as long: see ExecutorInfo
};

/// What one sequence brings to the plan.
struct Load {
  int pending = 1; // tokens not yet in the cache; 1: decode when `decoding`
  bool decoding = false;
  int drafted = 0;   // of an answer: rows beyond the one
  int max_rows = 0;  // this sequence's own cap for a step; 0: none
  int weight = 1;    // its share of the prompts' part, among theirs
  double credit = 0; // rows due to it; kept by plan() from step to step

  int most() const {
    return max_rows > 0 ? std::min(max_rows, pending) : pending;
  }
};

class Scheduler {
 public:
  explicit Scheduler(SchedulerOptions options) : options_(options) {}

  /// Rows for each load, in order; 0: not in this step. Valid until the next
  /// call, and the caller's to change.
  std::span<int> plan(std::span<Load> loads);

  /// What a step carried.
  struct Rows {
    int decode = 0; // one for each answer
    int draft = 0;  // beyond those
    int prefill = 0;
  };
  /// Tells how long a step took, to learn the cost of rows.
  void observe(const Rows& rows, double seconds);

  /// On what terms each of so many answers may bring a draft to the next step.
  DraftTerms draft_terms(int answers) const;

  /// Prefill rows worth as much time as one decode-only step.
  int fair_prefill_rows() const;

 private:
  void share_out(std::span<Load> loads, int budget);
  void grant(std::span<Load> loads, int budget);

  SchedulerOptions options_;
  double decode_step_seconds_ = 0; // of a step with decode rows alone
  double draft_row_seconds_ = 0;
  int steps_with_drafts_ = 0;      // in a row
  double prefill_row_seconds_ = 0; // in chunks of min_chunk_tokens or more
  double debt_ = 0; // seconds of prefill beyond what answers had meanwhile
  // Kept to avoid allocation.
  std::vector<int> rows_;
  std::vector<size_t> prefills_;
};

} // namespace stomp

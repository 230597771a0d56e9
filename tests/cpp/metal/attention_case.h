// A step of several sequences over a paged cache: what the kernels make of it,
// and what it comes to in double precision.
#pragma once

#include <memory>
#include <vector>

#include "exec/mlx/step_plan.h"
#include "paged_rig.h"

namespace paged_rig {

using stomp::mlx_exec::metal::Attention;

/// How the kernels are to be run.
struct Way {
  int split_tokens = 0;
  int most_decode_rows = stomp::mlx_exec::metal::kMostDecodeRows;
  Order order = Order::kForward;
};

/// One sequence's rows in a step.
struct SequenceRows {
  int past = 0; // tokens in the cache before
  int rows = 1;
};

class AttentionCase {
 public:
  /// `size`: of the queries' elements; the larger, the sharper the softmax.
  AttentionCase(
      Random& random,
      Attention attention,
      std::vector<SequenceRows> sequences,
      float size);

  int rows() const { return n_rows_; }
  int row_size() const {
    return attention_.n_heads * attention_.cache.head_dim;
  }
  int n_sequences() const { return static_cast<int>(sequences_.size()); }

  /// All rows by the kernels, those of `only` if it is not negative, as
  /// (rows, n_heads, head_dim); rows that nothing was written to are NaN.
  std::vector<double> run(const Way& way, int only = -1);

  /// Throws check::Failure when a result is off by more than f32 arithmetic and
  /// the type of the result explain.
  void check(const std::vector<double>& result) const;

 private:
  void place_sequence(Random& random, const SequenceRows& sequence);
  void place_queries(Random& random, float size);
  stomp::mlx_exec::StepPlan plan() const;
  void run_decode(
      const stomp::mlx_exec::metal::AttendTables& tables,
      const Way& way);
  void run_prefill(
      const stomp::mlx_exec::metal::AttendTables& tables,
      const Way& way);
  Buffers buffers();
  struct Tokens;
  int first_seen(int position) const;
  Tokens tokens_of(size_t sequence) const;
  std::vector<double> weights_of(
      const Tokens& tokens,
      int query,
      int head,
      int begin,
      int end) const;
  void attend_row(const Tokens& tokens, int query, int position);
  void attend();

  Attention attention_;
  std::vector<SequenceRows> sequences_;
  int n_rows_ = 0;
  int n_blocks_ = 0;
  Edge edge_;
  std::vector<stomp::BlockTable> tables_;
  std::vector<int> free_; // block ids
  std::unique_ptr<Planes> keys_, values_;
  std::unique_ptr<Elements> queries_, sinks_, out_;
  std::vector<double> expected_; // (rows, n_heads, head_dim)
};

/// Any shape, some sequences.
AttentionCase random_case(Random& random);

} // namespace paged_rig

// The decoder's operations (exec/ops.h) on this machine's processor: eager,
// each shared between the pool's threads. One user: the engine thread.
//
// The residual stream and what linears yield are f32. What a linear takes is
// int8 codes under a scale for each 32, or for prompts on matrix units bf16;
// see LinearRows. Rows do not depend on each other: a row's results are the
// same in every step that holds it in the same role.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "exec/cpu/attention.h"
#include "exec/cpu/experts.h"
#include "exec/cpu/kernels.h"
#include "exec/cpu/linear.h"
#include "exec/cpu/packed_matrix.h"
#include "exec/cpu/step_rows.h"
#include "exec/ops.h"
#include "model/config.h"

namespace stomp::cpu {

/// What a step's logits rows came to; indexed as StepRows::wanted.
struct StepLogits {
  PageBuffer rows;          // (n_wanted, stride) f32
  size_t stride = 0;        // floats; at least the vocabulary
  std::vector<ArgMax> best; // (n_wanted)

  const float* row(int i) const { return rows.as<float>() + i * stride; }
};

class CpuOps {
 public:
  using Linear = PackedMatrix;
  using Norm = WeightVector;
  struct HeadWeights {
    WeightVector q_norm, k_norm; // (head_dim); empty: none
    WeightVector sinks;          // (n_heads); empty: none
  };
  using Experts = PackedExperts;
  using Embedding = WeightMatrix; // rows are read from the mapped file
  using Input = LinearRows;

  struct Hidden {
    float* rows = nullptr; // (n, stride)
    int n = 0;
    size_t stride = 0;

    float* row(int r) const { return rows + r * stride; }
  };
  struct Output {
    float* rows = nullptr; // (n, stride)
    int n = 0;
    size_t stride = 0;
    const PackedMatrix* of = nullptr; // where its parts begin
  };

  /// `tiles`: prompts' linears and attention on the matrix units. REQUIRES:
  /// kernels have them.
  CpuOps(
      const ModelConfig& config,
      const Kernels& kernels,
      ThreadPool& threads,
      int max_rows,
      bool tiles);

  void use(KvPool& pool) { attention_.use(pool); }
  size_t weights_bytes() const { return weights_bytes_; }
  size_t scratch_bytes() const;

  // Load time, see DecoderOps.
  Linear load_linear(const std::vector<const WeightMatrix*>& parts);
  Norm load_norm(const WeightVector& weights);
  HeadWeights load_heads(
      const WeightVector& q_norm,
      const WeightVector& k_norm,
      const WeightVector& sinks);
  Embedding load_embedding(const WeightMatrix& matrix);
  Experts load_experts(const ExpertWeights& weights);

  /// REQUIRES: `step` and `logits` stay valid until the step's logits() has
  /// returned; at most max_rows rows.
  void begin(const StepRows& step, StepLogits& logits);

  // Step time, see DecoderOps.
  Hidden embed(const Embedding& table);
  Input rms_norm(Hidden& x, const Norm& norm);
  Input final_norm(Hidden& x, const Norm& norm);
  Output linear(const Input& in, const Linear& w);
  void
  add_linear(Hidden& x, const Input& in, const Linear& w, const Norm& norm);
  Input gated_linear(const Input& in, const Linear& w);
  void add_experts(Hidden& x, const Input& in, const Experts& w);
  Input attend(Output& y, const HeadWeights& heads, int layer);
  void logits(const Input& in, const Linear& w);

 private:
  Linear pack(const std::vector<const WeightMatrix*>& parts);
  void make_scratch();
  template <class F>
  void each_row(int n, int cols, F f);
  /// Rows of the step that linears take as codes.
  int n_codes() const { return tiles_ ? step_->n_decode : step_->n(); }
  void add_bias(float* rows, size_t stride, int n, const Linear& w);
  void norm_heads(const QkvRows& qkv, int n, const HeadWeights& heads);
  /// Where row r is to be computed as floats, before put().
  float* floats_of(const Input& in, int row, int worker);

  const ModelConfig& config_;
  const Kernels& kernels_;
  ThreadPool& threads_;
  const int max_rows_;
  const bool tiles_;
  Attention attention_;
  LinearRunner runner_;
  ExpertRunner experts_;

  // Settled at load.
  bool any_quantised_ = false;
  bool any_dense_ = false;
  int widest_output_ = 0; // columns, of all linears but the head
  int last_output_ = 0;
  PageArena weights_;
  size_t weights_bytes_ = 0;

  // Made at the first step, reused by all.
  PageArena scratch_;
  float* hidden_ = nullptr;   // (max_rows, d_model)
  float* output_ = nullptr;   // (max_rows, widest_output)
  float* attended_ = nullptr; // (max_rows, q_dim)
  float* normed_ = nullptr;   // (d_model) by worker
  RowBuffers input_;
  RowBuffers gated_;

  const StepRows* step_ = nullptr;
  StepLogits* logits_ = nullptr;
};

} // namespace stomp::cpu

// The decoder's operations (exec/ops.h) on this machine's processor: eager,
// each shared between the pool's threads. One user: the engine thread.
//
// Activations are f32; a linear with quantised weights takes them as int16 with
// a scale for every 32. Which forms an input is kept in was settled when the
// linears were loaded. Rows do not depend on each other: a row's results are
// the same in every step that holds it.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned.h"
#include "base/thread_pool.h"
#include "exec/cpu/attention.h"
#include "exec/cpu/kernels.h"
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
  using Embedding = WeightMatrix; // rows are read from the mapped file

  struct Hidden {
    float* rows = nullptr; // (n, d_model)
    int n = 0;
    const float* pending = nullptr; // (n, pending_stride) yet to be added
    size_t pending_stride = 0;
  };
  struct Input {
    LinearInput rows;
    int n = 0;
  };
  struct Output {
    float* rows = nullptr; // (n, stride)
    int n = 0;
    size_t stride = 0;
    const PackedMatrix* of = nullptr; // where its parts begin
  };

  CpuOps(
      const ModelConfig& config,
      const Kernels& kernels,
      ThreadPool& threads,
      int max_rows);

  void use(KvPool& pool) { attention_.use(pool); }
  size_t weights_bytes() const { return weights_bytes_; }
  size_t scratch_bytes() const;

  // Load time, see DecoderOps.
  Linear load_linear(const std::vector<const WeightMatrix*>& parts);
  Norm load_norm(const WeightVector& weights);
  Embedding load_embedding(const WeightMatrix& matrix);

  /// REQUIRES: `step` and `logits` stay valid until the step's logits() has
  /// returned; at most max_rows rows.
  void begin(const StepRows& step, StepLogits& logits);

  // Step time, see DecoderOps.
  Hidden embed(const Embedding& table);
  Input rms_norm(Hidden& x, const Norm& norm);
  Input final_norm(Hidden& x, const Norm& norm);
  Output linear(const Input& in, const Linear& w);
  Input attend(Output& y, int layer);
  Input glu(Output& y);
  void add(Hidden& x, const Output& y);
  void logits(const Input& in, const Linear& w);

 private:
  void make_scratch();
  template <class F>
  void each_row(int n, int cols, F f);
  Input input_of(int n, int cols) const;
  void quantise(const Input& in, int row) const;
  void add_pending(const Hidden& x, int row) const;

  const ModelConfig& config_;
  const Kernels& kernels_;
  ThreadPool& threads_;
  Attention attention_;
  const int max_rows_;

  // Settled at load.
  bool any_quantised_ = false;
  int widest_input_ = 0;  // columns
  int widest_output_ = 0; // columns, of all linears but the head
  int last_output_ = 0;
  size_t weights_bytes_ = 0;

  // Made at the first step, reused by all.
  PageBuffer hidden_; // (max_rows, d_model)
  PageBuffer input_;  // (max_rows, widest_input)
  PageBuffer codes_;
  PageBuffer scales_;
  PageBuffer sums_;
  PageBuffer output_;         // (max_rows, widest_output)
  PageBuffer linear_scratch_; // by worker

  const StepRows* step_ = nullptr;
  StepLogits* logits_ = nullptr;
};

} // namespace stomp::cpu

// The decoder's operations (exec/ops.h) as MLX arrays: a step builds a graph,
// computes nothing. Engine thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "exec/mlx/attention.h"
#include "exec/mlx/experts.h"
#include "exec/mlx/kv_pool.h"
#include "exec/mlx/step_plan.h"
#include "exec/mlx/weights.h"
#include "exec/ops.h"

namespace stomp::mlx_exec {

class MlxOps {
 public:
  using Hidden = Array;
  using Input = Array;
  using Output = Array;
  struct Linear {
    MatrixList matrices;
    Array bias; // (rows); empty: none
  };
  using Norm = Array;
  struct HeadWeights {
    Array q_norm, k_norm; // (head_dim); empty: none
    Array sinks;          // (n_heads); empty: none
  };
  using Embedding = MatrixList;
  struct Experts {
    Linear router;
    ExpertStacks stacks;
  };

  /// The tokens (n) int32 that slices of an earlier step chose, still lazy.
  using TokensOf =
      std::function<Array(Ticket, std::span<const int32_t> slices)>;

  /// What a step leaves behind, none of it computed yet.
  struct Result {
    Array tokens;    // (slices that want output) uint32; empty if none does
    Array logits;    // (R, vocab) f32; empty if R is 0
    Array last_rows; // of the last thing written: who waits for it has waited
    // for the step
  };

  MlxOps(Graph graph, const ModelConfig& config, mlx_dtype dtype);

  size_t weight_bytes() const { return loader_.bytes(); }
  /// What rows are written to and how they attend to it. REQUIRES: both outlive
  /// the steps.
  void use_pool(KvPool& pool, Attention& attention);

  Linear load_linear(const std::vector<const WeightMatrix*>& parts);
  Norm load_norm(const WeightVector& vector);
  HeadWeights load_heads(
      const WeightVector& q_norm,
      const WeightVector& k_norm,
      const WeightVector& sinks);
  Embedding load_embedding(const WeightMatrix& matrix);
  Experts load_experts(const ExpertWeights& weights);

  /// REQUIRES: `plan` outlives the step.
  void begin(const StepPlan& plan, const TokensOf& tokens_of);
  Result take_result();

  Hidden embed(const Embedding& table);
  Input rms_norm(const Hidden& x, const Norm& norm);
  Input final_norm(const Hidden& x, const Norm& norm);
  Output linear(const Input& in, const Linear& w);
  void
  add_linear(Hidden& x, const Input& in, const Linear& w, const Norm& norm);
  Input gated_linear(const Input& in, const Linear& w);
  void add_experts(Hidden& x, const Input& in, const Experts& w);
  Input attend(const Output& y, const HeadWeights& heads, int layer);
  void logits(const Input& in, const Linear& w);

 private:
  /// q (N, n_heads, dim), k and v (N, n_kv_heads, dim); q and k rotated.
  struct Heads {
    Array q, k, v;
  };
  struct Rope {
    Array periods; // (head_dim / 2) 1 / inv_freq
    Array scale;   // (1); empty: 1
    bool interleaved = false;
  };
  Array scalar(float value) const;
  Rope load_rope(const RopeConfig& config) const;
  Heads split(const Output& y, const HeadWeights& weights, const Rope& rope)
      const;
  Array normed(const Array& qk, const HeadWeights& weights) const;
  Array rotated(const Array& qk, const Rope& rope) const;
  Output multiply(const Input& in, const Linear& w) const;

  Graph graph_;
  ModelConfig config_;
  mlx_dtype dtype_;
  WeightLoader loader_;
  Rope rope_;
  Rope local_rope_;       // of sliding layers, if they have their own
  Array embedding_scale_; // (1); empty: 1
  KvPool* pool_ = nullptr;
  Attention* attention_ = nullptr;
  std::optional<KeySpread> spread_; // if the pool keeps keys so

  // The step under construction.
  const StepPlan* plan_ = nullptr;
  Array tokens_;             // (N)
  Array positions_;          // (N)
  std::vector<Array> slots_; // [group](N)
  Result result_;
};

static_assert(DecoderOps<MlxOps>);

} // namespace stomp::mlx_exec

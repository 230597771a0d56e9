// A mixture of experts as MLX arrays: each row meets the matrices of the
// experts that it chose. Engine thread only.
#pragma once

#include "exec/mlx/graph.h"
#include "exec/mlx/weights.h"
#include "model/config.h"
#include "model/weights.h"

namespace stomp::mlx_exec {

/// One of a layer's linears, of all its experts.
struct ExpertLinears {
  Matrix matrices; // (n_experts, rows, cols)
  Array bias;      // (n_experts, rows); empty: none
};

struct ExpertStacks {
  ExpertLinears gate, up, down;
};

ExpertStacks load_expert_stacks(
    const Graph& graph,
    WeightLoader& loader,
    const ExpertWeights& weights);

/// in (n, d_model), scores (n, n_experts) as the router yields them: the
/// weighted sum of the chosen experts' outputs, (n, d_model).
Array mix_experts(
    const Graph& graph,
    const ModelConfig& config,
    const Array& in,
    const Array& scores,
    const ExpertStacks& experts);

} // namespace stomp::mlx_exec

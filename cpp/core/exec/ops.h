// The decoder's seam: the operations a model is written in. The decoder
// (model/decoder.h) is a template over a type O that satisfies DecoderOps, so
// that each executor compiles it against its own activations: the CPU passes
// integers with scales, MLX passes lazy arrays.
//
// What follows a linear directly is one operation with it, so that an executor
// may do both while the results are at hand.
//
// An O object lives for one executor. begin(step) ... logits() is one step; N
// is the number of rows of the step, R the rows whose logits are wanted.
#pragma once

#include <concepts>
#include <vector>

#include "exec/executor.h"
#include "model/weights.h"

namespace stomp {

template <class O>
concept DecoderOps = requires(
    O& ops,
    typename O::Hidden& x,       // residual stream, (N, d_model)
    const typename O::Input& in, // what a linear takes, (N, cols)
    typename O::Output& y,       // what a linear yields, (N, rows)
    const typename O::Linear& w,
    const typename O::Norm& norm,
    const typename O::HeadWeights& heads,
    const typename O::Embedding& table,
    const std::vector<const WeightMatrix*>& parts,
    const WeightMatrix& matrix,
    const ExpertWeights& mixture,
    const typename O::Experts& experts,
    const WeightVector& vector,
    int layer) {
  // Load time. Parts share cols; their rows are stacked in order.
  { ops.load_linear(parts) } -> std::same_as<typename O::Linear>;
  { ops.load_norm(vector) } -> std::same_as<typename O::Norm>;
  /// Norms of a query's and a key's heads, and the heads' sinks; each may be
  /// empty where there are none.
  {
    ops.load_heads(vector, vector, vector)
  } -> std::same_as<typename O::HeadWeights>;
  { ops.load_embedding(matrix) } -> std::same_as<typename O::Embedding>;
  { ops.load_experts(mixture) } -> std::same_as<typename O::Experts>;

  // Step time.
  /// Rows of the step's tokens, times the configuration's scale.
  { ops.embed(table) } -> std::same_as<typename O::Hidden>;
  /// RMS norm of every row, times the weights.
  { ops.rms_norm(x, norm) } -> std::same_as<typename O::Input>;
  /// The rows that want logits, then as rms_norm: (R, d_model).
  { ops.final_norm(x, norm) } -> std::same_as<typename O::Input>;
  /// in @ w^T + bias.
  { ops.linear(in, w) } -> std::same_as<typename O::Output>;
  /// x += in @ w^T + bias, that sum's RMS norm if `norm` has weights.
  { ops.add_linear(x, in, w, norm) } -> std::same_as<void>;
  /// in @ w^T = (gate | up), the two parts of w, which have no biases: both
  /// under the configuration's activation.
  { ops.gated_linear(in, w) } -> std::same_as<typename O::Input>;
  /// x += for each row the outputs of the experts that the router chooses for
  /// it, each times the router's weight: gated and down linears, all with
  /// their biases.
  { ops.add_experts(x, in, experts) } -> std::same_as<void>;
  /// y = (q | k | v): norms of their heads, rope on q and k, append k and v to
  /// the layer's blocks, causal attention over them, within the layer's window
  /// if it has one: (N, n_heads * head_dim).
  { ops.attend(y, heads, layer) } -> std::same_as<typename O::Input>;
  /// The step's result: in @ w^T for the R rows, arg max and copies out.
  { ops.logits(in, w) } -> std::same_as<void>;
};

} // namespace stomp

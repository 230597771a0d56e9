// See experts.h.
#include "exec/mlx/experts.h"

#include "exec/mlx/activation.h"

namespace stomp::mlx_exec {

namespace {

// Rows from which it pays to bring those of an expert together.
constexpr int kManyPairs = 64;

ExpertLinears load_linears(
    const Graph& graph,
    WeightLoader& loader,
    const std::vector<WeightMatrix>& matrices) {
  ExpertLinears linears{loader.load_stack(matrices), {}};
  if (matrices[0].bias.empty()) {
    return linears;
  }
  WeightVector all;
  for (const WeightMatrix& matrix : matrices) {
    all.insert(all.end(), matrix.bias.begin(), matrix.bias.end());
  }
  linears.bias = graph.reshape(
      loader.load_vector(all),
      {static_cast<int>(matrices.size()), matrices[0].rows});
  return linears;
}

/// A row and an expert that it chose, n * n_chosen of them.
struct Pairs {
  Array rows;    // which row of the input
  Array experts; // which expert
  Array back;    // where the pairs of row after row lie; empty: in this order
};

/// `chosen` (n, n_chosen).
Pairs pair_up(const Graph& graph, const Array& chosen) {
  const int n_chosen = chosen.dim(1);
  const int n = chosen.dim(0) * n_chosen;
  const Array experts = graph.reshape(chosen, {n});
  if (n < kManyPairs) {
    std::vector<int32_t> rows(n);
    for (int i = 0; i < n; i++) {
      rows[i] = i / n_chosen;
    }
    return {Array::from_ints(rows), experts, {}};
  }
  const Array order = graph.argsort(experts);
  const std::vector<int32_t> each = {n_chosen};
  const Array divisor = graph.cast(Array::from_ints(each), order.dtype());
  return {
      graph.floor_divide(order, divisor),
      graph.take(experts, order),
      graph.argsort(order)};
}

/// x (pairs, 1, cols), each row times its expert's matrix.
Array apply(
    const Graph& graph,
    const Array& x,
    const ExpertLinears& w,
    const Pairs& pairs) {
  const Matrix& all = w.matrices;
  const bool sorted = !pairs.back.empty();
  Array y = all.bits
      ? graph.gather_quantized_matmul(
            x,
            all.codes,
            all.scales,
            all.biases,
            pairs.experts,
            all.quantisation(),
            sorted)
      : graph.gather_matmul(x, all.transposed, pairs.experts, sorted);
  if (w.bias.empty()) {
    return y;
  }
  const Array bias = graph.take(w.bias, pairs.experts);
  return graph.add(y, graph.reshape(bias, {bias.dim(0), 1, bias.dim(1)}));
}

} // namespace

ExpertStacks load_expert_stacks(
    const Graph& graph,
    WeightLoader& loader,
    const ExpertWeights& weights) {
  return {
      load_linears(graph, loader, weights.gate),
      load_linears(graph, loader, weights.up),
      load_linears(graph, loader, weights.down)};
}

Array mix_experts(
    const Graph& graph,
    const ModelConfig& config,
    const Array& in,
    const Array& scores,
    const ExpertStacks& experts) {
  const MoeConfig& moe = config.moe;
  const int n = in.dim(0);
  const int cols = in.dim(1);
  const Array chosen = graph.top_k(scores, moe.n_chosen);
  const Array weights = moe.normalised
      ? graph.softmax(graph.take_along(scores, chosen))
      : graph.take_along(graph.softmax(scores), chosen);
  const Pairs pairs = pair_up(graph, chosen);
  const Array x =
      graph.reshape(graph.take(in, pairs.rows), {n * moe.n_chosen, 1, cols});
  const Array gated = activated(
      graph,
      config.activation,
      apply(graph, x, experts.gate, pairs),
      apply(graph, x, experts.up, pairs));
  Array y = apply(graph, gated, experts.down, pairs);
  if (!pairs.back.empty()) {
    y = graph.take(y, pairs.back);
  }
  return graph.sum(
      graph.multiply(
          graph.reshape(y, {n, moe.n_chosen, cols}),
          graph.reshape(weights, {n, moe.n_chosen, 1})),
      1);
}

} // namespace stomp::mlx_exec

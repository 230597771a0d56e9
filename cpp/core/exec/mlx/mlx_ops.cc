// See mlx_ops.h.
#include "exec/mlx/mlx_ops.h"

#include <algorithm>
#include <cmath>

namespace stomp::mlx_exec {

MlxOps::MlxOps(Graph graph, const ModelConfig& config, mlx_dtype dtype)
    : graph_(graph), config_(config), dtype_(dtype), loader_(graph, dtype) {
  std::vector<float> periods;
  periods.reserve(config.rope.inv_freq.size());
  for (float inverse : config.rope.inv_freq) {
    periods.push_back(1.0f / inverse);
  }
  rope_periods_ = Array::from_floats(periods);
  if (config.rope.scale != 1) {
    const std::vector<float> scale = {config.rope.scale};
    rope_scale_ = graph_.cast(Array::from_floats(scale), dtype);
  }
}

MlxOps::Linear MlxOps::load_linear(
    const std::vector<const WeightMatrix*>& parts) {
  Linear linear{loader_.load(parts), {}};
  WeightVector bias;
  const bool any = std::any_of(parts.begin(), parts.end(), [](const auto* w) {
    return !w->bias.empty();
  });
  for (const WeightMatrix* part : parts) {
    bias.insert(bias.end(), part->bias.begin(), part->bias.end());
    if (any && part->bias.empty()) {
      bias.insert(bias.end(), part->rows, 0.0f);
    }
  }
  if (any) {
    linear.bias = loader_.load_vector(bias);
  }
  return linear;
}

MlxOps::HeadNorms MlxOps::load_head_norms(
    const WeightVector& q,
    const WeightVector& k) {
  return q.empty() ? HeadNorms{} : HeadNorms{load_norm(q), load_norm(k)};
}

MlxOps::Norm MlxOps::load_norm(const WeightVector& vector) {
  return loader_.load_vector(vector);
}

MlxOps::Embedding MlxOps::load_embedding(const WeightMatrix& matrix) {
  return loader_.load({&matrix});
}

void MlxOps::begin(const StepPlan& plan, const TokensOf& tokens_of) {
  plan_ = &plan;
  result_ = {};
  std::vector<Array> pieces;
  pieces.reserve(plan.runs.size());
  for (const TokenRun& run : plan.runs) {
    pieces.push_back(
        run.ticket == kNoTicket ? Array::from_ints(run.values)
                                : tokens_of(run.ticket, run.values));
  }
  tokens_ = graph_.concatenate(pieces, 0);
  positions_ = Array::from_ints(plan.positions);
  slots_.clear();
  slots_.reserve(plan.slots.size());
  for (const std::vector<int32_t>& slots : plan.slots) {
    slots_.push_back(Array::from_ints(slots));
  }
  blocks_.clear();
  for (const Span& span : plan.spans) {
    std::vector<Array>& groups = blocks_.emplace_back();
    for (const std::vector<int32_t>& blocks : span.blocks) {
      groups.push_back(Array::from_ints(blocks));
    }
  }
}

MlxOps::Result MlxOps::take_result() {
  plan_ = nullptr;
  return std::exchange(result_, {});
}

MlxOps::Hidden MlxOps::embed(const Embedding& table) {
  return lookup(graph_, table, tokens_);
}

MlxOps::Input MlxOps::rms_norm(const Hidden& x, const Norm& norm) {
  return graph_.rms_norm(x, norm, config_.rms_eps);
}

MlxOps::Input MlxOps::final_norm(const Hidden& x, const Norm& norm) {
  const std::vector<int32_t>& rows = plan_->output_rows;
  if (rows.empty()) {
    return Array();
  }
  const bool all = static_cast<int>(rows.size()) == plan_->rows();
  return rms_norm(all ? x : graph_.take(x, Array::from_ints(rows)), norm);
}

MlxOps::Output MlxOps::linear(const Input& in, const Linear& w) {
  return multiply(in, w);
}

MlxOps::Output MlxOps::multiply(const Input& in, const Linear& w) const {
  const Array y = apply(graph_, in, w.matrices);
  return w.bias.empty() ? y : graph_.add(y, w.bias);
}

/// Each head of q and k (N, heads, 1, dim) over its own length.
Array MlxOps::normed(const Array& qk, const HeadNorms& norms) const {
  if (norms.q.empty()) {
    return qk;
  }
  const int q_heads = config_.n_heads;
  const Array q = graph_.slice(qk, 1, 0, q_heads);
  const Array k = graph_.slice(qk, 1, q_heads, qk.dim(1));
  return graph_.concatenate(
      {graph_.rms_norm(q, norms.q, config_.rms_eps),
       graph_.rms_norm(k, norms.k, config_.rms_eps)},
      1);
}

/// The rope turns; what is longer by its scale before is so after.
Array MlxOps::scaled(const Array& qk) const {
  return rope_scale_.empty() ? qk : graph_.multiply(qk, rope_scale_);
}

MlxOps::Heads MlxOps::split(const Output& y, const HeadNorms& norms) const {
  const int n = y.dim(0);
  const int dim = config_.head_dim;
  const int q_heads = config_.n_heads;
  const int kv_heads = config_.n_kv_heads;
  const int rotated = q_heads + kv_heads;
  // Each row is its own entry of the rope's batch: rows of many sequences turn
  // in one call, each by its own position.
  const Array qk = graph_.reshape(
      graph_.rope(
          scaled(normed(
              graph_.reshape(
                  graph_.slice(y, 1, 0, rotated * dim), {n, rotated, 1, dim}),
              norms)),
          positions_,
          rope_periods_,
          config_.rope.interleaved),
      {n, rotated, dim});
  const Array v = graph_.slice(y, 1, rotated * dim, (rotated + kv_heads) * dim);
  return {
      graph_.slice(qk, 1, 0, q_heads),
      graph_.slice(qk, 1, q_heads, rotated),
      graph_.reshape(v, {n, kv_heads, dim})};
}

Array MlxOps::attend_span(
    const Array& q,
    const Span& span,
    const Array& blocks,
    const Array& keys,
    const Array& values) const {
  const int dim = config_.head_dim;
  const int heads = config_.n_heads;
  const Array rows = graph_.reshape(
      graph_.slice(q, 0, span.first, span.first + span.size),
      {1, span.size, heads, dim});
  const Array attended = graph_.attention(
      graph_.transpose(rows, {0, 2, 1, 3}),
      pool_->gather(keys, blocks, span.length),
      pool_->gather(values, blocks, span.length),
      1.0f / std::sqrt(static_cast<float>(dim)));
  return graph_.reshape(
      graph_.transpose(attended, {0, 2, 1, 3}), {span.size, heads * dim});
}

MlxOps::Input
MlxOps::attend(const Output& y, const HeadNorms& norms, int layer) {
  const Heads heads = split(y, norms);
  const int group = pool_->group_of(layer);
  const Array keys = pool_->append(layer, Part::kKeys, heads.k, slots_[group]);
  const Array values =
      pool_->append(layer, Part::kValues, heads.v, slots_[group]);
  result_.last_rows = heads.v;
  std::vector<Array> outputs;
  outputs.reserve(plan_->spans.size());
  for (size_t i = 0; i < plan_->spans.size(); i++) {
    outputs.push_back(
        attend_span(heads.q, plan_->spans[i], blocks_[i][group], keys, values));
  }
  return graph_.concatenate(outputs, 0);
}

void MlxOps::add_linear(Hidden& x, const Input& in, const Linear& w) {
  x = graph_.add(x, multiply(in, w));
}

MlxOps::Input MlxOps::gated_linear(const Input& in, const Linear& w) {
  const Output y = multiply(in, w);
  const int half = y.dim(1) / 2;
  const Array gate = graph_.slice(y, 1, 0, half);
  const Array up = graph_.slice(y, 1, half, 2 * half);
  return graph_.multiply(graph_.multiply(gate, graph_.sigmoid(gate)), up);
}

void MlxOps::logits(const Input& in, const Linear& w) {
  if (in.empty()) {
    return;
  }
  result_.logits = graph_.contiguous(graph_.cast(multiply(in, w), MLX_FLOAT32));
  std::vector<int32_t> last;
  for (const Wanted& wanted : plan_->wanted) {
    if (wanted.size > 0) {
      last.push_back(wanted.first + wanted.size - 1);
    }
  }
  const bool all = last.size() == plan_->output_rows.size();
  result_.tokens = graph_.arg_max(
      all ? result_.logits
          : graph_.take(result_.logits, Array::from_ints(last)));
}

} // namespace stomp::mlx_exec

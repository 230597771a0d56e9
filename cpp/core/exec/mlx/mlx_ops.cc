// See mlx_ops.h.
#include "exec/mlx/mlx_ops.h"

#include <algorithm>

#include "exec/mlx/activation.h"

namespace stomp::mlx_exec {

MlxOps::MlxOps(Graph graph, const ModelConfig& config, mlx_dtype dtype)
    : graph_(graph), config_(config), dtype_(dtype), loader_(graph, dtype) {
  rope_ = load_rope(config.rope);
  if (config.two_ropes()) {
    local_rope_ = load_rope(config.local_rope);
  }
  embedding_scale_ = scalar(config.embedding_scale);
}

/// One number, empty if it is 1.
Array MlxOps::scalar(float value) const {
  return value == 1 ? Array()
                    : graph_.cast(Array::from_floats({&value, 1}), dtype_);
}

MlxOps::Rope MlxOps::load_rope(const RopeConfig& config) const {
  std::vector<float> periods;
  periods.reserve(config.inv_freq.size());
  for (float inverse : config.inv_freq) {
    periods.push_back(1.0f / inverse);
  }
  return {
      Array::from_floats(periods), scalar(config.scale), config.interleaved};
}

void MlxOps::use_pool(KvPool& pool, Attention& attention) {
  pool_ = &pool;
  attention_ = &attention;
  if (pool.spreads_keys()) {
    spread_.emplace(graph_, pool.spec().kv.group, dtype_);
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

MlxOps::HeadWeights MlxOps::load_heads(
    const WeightVector& q_norm,
    const WeightVector& k_norm,
    const WeightVector& sinks) {
  return {load_norm(q_norm), load_norm(k_norm), load_norm(sinks)};
}

MlxOps::Norm MlxOps::load_norm(const WeightVector& vector) {
  return vector.empty() ? Array() : loader_.load_vector(vector);
}

MlxOps::Embedding MlxOps::load_embedding(const WeightMatrix& matrix) {
  return loader_.load({&matrix});
}

MlxOps::Experts MlxOps::load_experts(const ExpertWeights& weights) {
  return {
      load_linear({&weights.router}),
      load_expert_stacks(graph_, loader_, weights)};
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
  attention_->begin(plan);
}

MlxOps::Result MlxOps::take_result() {
  plan_ = nullptr;
  return std::exchange(result_, {});
}

MlxOps::Hidden MlxOps::embed(const Embedding& table) {
  const Array x = lookup(graph_, table, tokens_, dtype_);
  return embedding_scale_.empty() ? x : graph_.multiply(x, embedding_scale_);
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
Array MlxOps::normed(const Array& qk, const HeadWeights& weights) const {
  if (weights.q_norm.empty()) {
    return qk;
  }
  const int q_heads = config_.n_heads;
  const Array q = graph_.slice(qk, 1, 0, q_heads);
  const Array k = graph_.slice(qk, 1, q_heads, qk.dim(1));
  return graph_.concatenate(
      {graph_.rms_norm(q, weights.q_norm, config_.rms_eps),
       graph_.rms_norm(k, weights.k_norm, config_.rms_eps)},
      1);
}

/// qk (N, heads, 1, dim). The rope turns; what is longer by its scale before is
/// so after.
Array MlxOps::rotated(const Array& qk, const Rope& rope) const {
  return graph_.rope(
      rope.scale.empty() ? qk : graph_.multiply(qk, rope.scale),
      positions_,
      rope.periods,
      rope.interleaved);
}

MlxOps::Heads MlxOps::split(
    const Output& y,
    const HeadWeights& weights,
    const Rope& rope) const {
  const int n = y.dim(0);
  const int dim = config_.head_dim;
  const int q_heads = config_.n_heads;
  const int kv_heads = config_.n_kv_heads;
  const int turned = q_heads + kv_heads;
  // Each row is its own entry of the rope's batch: rows of many sequences turn
  // in one call, each by its own position.
  const Array heads =
      graph_.reshape(graph_.slice(y, 1, 0, turned * dim), {n, turned, 1, dim});
  Array qk =
      graph_.reshape(rotated(normed(heads, weights), rope), {n, turned, dim});
  if (spread_) {
    qk = (*spread_)(qk);
  }
  const Array v = graph_.slice(y, 1, turned * dim, (turned + kv_heads) * dim);
  return {
      graph_.slice(qk, 1, 0, q_heads),
      graph_.slice(qk, 1, q_heads, turned),
      graph_.reshape(v, {n, kv_heads, dim})};
}

MlxOps::Input
MlxOps::attend(const Output& y, const HeadWeights& weights, int layer) {
  const bool local = config_.two_ropes() && config_.slides(layer);
  const Heads heads = split(y, weights, local ? local_rope_ : rope_);
  const int group = pool_->group_of(layer);
  const Planes keys = pool_->append(layer, Part::kKeys, heads.k, slots_[group]);
  const Planes values =
      pool_->append(layer, Part::kValues, heads.v, slots_[group]);
  result_.last_rows = heads.v;
  return attention_->attend(heads.q, group, keys, values, weights.sinks);
}

void MlxOps::add_linear(
    Hidden& x,
    const Input& in,
    const Linear& w,
    const Norm& norm) {
  const Array y = multiply(in, w);
  x = graph_.add(x, norm.empty() ? y : rms_norm(y, norm));
}

MlxOps::Input MlxOps::gated_linear(const Input& in, const Linear& w) {
  const Output y = multiply(in, w);
  const int half = y.dim(1) / 2;
  const Array gate = graph_.slice(y, 1, 0, half);
  const Array up = graph_.slice(y, 1, half, 2 * half);
  return activated(graph_, config_.activation, gate, up);
}

void MlxOps::add_experts(Hidden& x, const Input& in, const Experts& w) {
  const Array scores = multiply(in, w.router);
  x = graph_.add(x, mix_experts(graph_, config_, in, scores, w.stacks));
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

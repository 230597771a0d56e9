// See attention.h.
#include <algorithm>

#include "exec/mlx/attention.h"

namespace stomp::mlx_exec {

namespace {

class StockAttention : public Attention {
 public:
  StockAttention(
      const Graph& graph,
      const ModelConfig& config,
      const KvPool& pool)
      : graph_(graph), config_(config), pool_(pool) {}

  void begin(const StepPlan& plan) override;
  Array attend(
      const Array& q,
      int group,
      const Planes& keys,
      const Planes& values,
      const Array& sinks) override;

 private:
  /// What the layers of a group attend to of one slice.
  struct View {
    Array blocks; // (n)
    Array mask;   // (rows, keys); empty: causal
  };

  Array attend_span(
      const Array& q,
      const Span& span,
      int group,
      const View& view,
      const Planes& keys,
      const Planes& values,
      const Array& sinks) const;

  Graph graph_;
  const ModelConfig& config_;
  const KvPool& pool_;
  const StepPlan* plan_ = nullptr;
  std::vector<std::vector<View>> views_; // [span][group]
};

/// Which keys each row sees, where that is not simply all up to its own: those
/// of its window.
Array mask_of(const Span& span, const SpanKeys& keys) {
  const int n = span.length - keys.first;
  const int last_begin = span.length - keys.window;
  if (keys.window == 0 || last_begin <= keys.first) {
    return Array();
  }
  std::vector<uint8_t> sees(size_t(span.size) * n);
  for (int i = 0; i < span.size; i++) {
    const int end = span.length - span.size + i + 1;
    const int begin = std::max(end - keys.window, keys.first);
    std::fill_n(
        sees.begin() + size_t(i) * n + (begin - keys.first), end - begin, 1);
  }
  return Array::from_bytes(
      std::as_bytes(std::span(sees)).data(), {span.size, n}, MLX_BOOL);
}

void StockAttention::begin(const StepPlan& plan) {
  plan_ = &plan;
  views_.clear();
  for (const Span& span : plan.spans) {
    std::vector<View>& groups = views_.emplace_back();
    for (const SpanKeys& keys : span.keys) {
      groups.push_back({Array::from_ints(keys.blocks), mask_of(span, keys)});
    }
  }
}

Array StockAttention::attend_span(
    const Array& q,
    const Span& span,
    int group,
    const View& view,
    const Planes& keys,
    const Planes& values,
    const Array& sinks) const {
  const int begin = span.keys[group].skipped();
  const int end = begin + span.length - span.keys[group].first;
  const int dim = config_.head_dim;
  const int heads = config_.n_heads;
  const Array rows = graph_.reshape(
      graph_.slice(q, 0, span.first, span.first + span.size),
      {1, span.size, heads, dim});
  const Array attended = graph_.attention(
      graph_.transpose(rows, {0, 2, 1, 3}),
      pool_.gather(keys, view.blocks, begin, end),
      pool_.gather(values, view.blocks, begin, end),
      config_.query_scale(),
      view.mask,
      sinks);
  return graph_.reshape(
      graph_.transpose(attended, {0, 2, 1, 3}), {span.size, heads * dim});
}

Array StockAttention::attend(
    const Array& q,
    int group,
    const Planes& keys,
    const Planes& values,
    const Array& sinks) {
  std::vector<Array> outputs;
  outputs.reserve(plan_->spans.size());
  for (size_t i = 0; i < plan_->spans.size(); i++) {
    outputs.push_back(attend_span(
        q, plan_->spans[i], group, views_[i][group], keys, values, sinks));
  }
  return graph_.concatenate(outputs, 0);
}

} // namespace

std::unique_ptr<Attention> make_stock_attention(
    const Graph& graph,
    const ModelConfig& config,
    const KvPool& pool) {
  return std::make_unique<StockAttention>(graph, config, pool);
}

} // namespace stomp::mlx_exec

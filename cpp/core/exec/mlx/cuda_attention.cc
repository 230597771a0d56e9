// See attention.h. Rows that come alone attend by the kernels of cuda/, all of
// them in two launches; prompts attend the stock way.
#include "exec/mlx/attention.h"

namespace stomp::mlx_exec {

namespace {

/// Longer spans are prompts.
constexpr int kDecodeRows = 1;

/// Plain data of 4-byte fields as an array, a row each.
template <typename Row>
Array ints_of(std::span<const Row> rows) {
  static_assert(sizeof(Row) % sizeof(int32_t) == 0);
  return Array::from_bytes(
      rows.data(),
      {static_cast<int>(rows.size()),
       static_cast<int>(sizeof(Row) / sizeof(int32_t))},
      MLX_INT32);
}

class CudaAttention : public Attention {
 public:
  CudaAttention(
      const Graph& graph,
      const ModelConfig& config,
      const KvPool& pool,
      CudaLauncher& launcher)
      : graph_(graph),
        config_(config),
        spec_(pool.spec()),
        launcher_(launcher),
        stock_(make_stock_attention(graph, config, pool)) {}

  void begin(const StepPlan& plan) override;
  Array attend(
      const Array& q,
      int group,
      const Planes& keys,
      const Planes& values,
      const Array& sinks) override;

 private:
  /// Rows of the result that come from one place, at `first` there.
  struct Piece {
    bool decode;
    int first;
    int rows;
  };
  /// What the rows alone attend to in a group of layers.
  struct Tables {
    metal::DecodePlan plan;
    Array rows, block_ids, params;
  };

  void add_piece(const Span& span, int prompt_rows);
  Tables tables_of(std::span<const Span> spans, int group) const;
  Array decode(
      const Array& q,
      const Tables& tables,
      const Planes& keys,
      const Planes& values,
      const Array& sinks) const;

  Graph graph_;
  const ModelConfig& config_;
  const ModelCacheSpec& spec_;
  CudaLauncher& launcher_;
  std::unique_ptr<Attention> stock_;
  StepPlan prompts_; // their spans alone
  std::vector<Piece> pieces_;
  std::vector<Tables> tables_; // [group]; empty: no row comes alone
};

/// Neighbours from one place are one piece.
void CudaAttention::add_piece(const Span& span, int prompt_rows) {
  const bool decode = span.size <= kDecodeRows;
  if (!pieces_.empty() && pieces_.back().decode == decode) {
    pieces_.back().rows += span.size;
    return;
  }
  pieces_.push_back({decode, decode ? span.first : prompt_rows, span.size});
}

void CudaAttention::begin(const StepPlan& plan) {
  pieces_.clear();
  tables_.clear();
  prompts_.spans.clear();
  std::vector<Span> alone;
  int prompt_rows = 0;
  for (const Span& span : plan.spans) {
    add_piece(span, prompt_rows);
    if (span.size <= kDecodeRows) {
      alone.push_back(span);
    } else {
      prompts_.spans.push_back(span);
      prompt_rows += span.size;
    }
  }
  stock_->begin(prompts_);
  if (alone.empty()) {
    return;
  }
  for (size_t group = 0; group < spec_.groups.size(); group++) {
    tables_.push_back(tables_of(alone, static_cast<int>(group)));
  }
}

CudaAttention::Tables CudaAttention::tables_of(
    std::span<const Span> spans,
    int group) const {
  const metal::Attention attention{
      .cache =
          {.kv_heads = spec_.n_kv_heads,
           .head_dim = spec_.key_dim,
           .block_tokens = spec_.block_tokens,
           .bits = spec_.kv.bits,
           .group = spec_.kv.group},
      .n_heads = config_.n_heads,
      .query_stride = config_.n_heads * config_.head_dim,
      .window = spec_.groups[group].window,
      .scale = config_.query_scale()};
  const metal::AttendTables host =
      metal::attend_tables(spans, group, attention.ratio(), kDecodeRows);
  Tables tables;
  tables.plan = metal::plan_decode(attention, host.rows);
  tables.rows = ints_of(std::span(host.rows));
  tables.block_ids = Array::from_ints(host.block_ids);
  tables.params =
      ints_of(std::span<const paged::AttendParams>(&tables.plan.params, 1));
  return tables;
}

/// (N, n_heads * dim), of which the rows that came alone are written.
Array CudaAttention::decode(
    const Array& q,
    const Tables& tables,
    const Planes& keys,
    const Planes& values,
    const Array& sinks) const {
  const Array queries = graph_.contiguous(q);
  const mlx_dtype dtype = q.dtype();
  metal::Launch first = tables.plan.decode;
  metal::Launch second = tables.plan.combine;
  first.constants.has_sinks = second.constants.has_sinks = !sinks.empty();
  const int rows = tables.rows.dim(0);
  const int heads = config_.n_heads;
  const int dim = config_.head_dim;
  const int splits = tables.plan.params.splits;
  // What a cache without codes has not is bound to what is there.
  const auto plane = [&](const Planes& planes, size_t i) {
    return i < planes.size() ? planes[i] : queries;
  };
  const std::vector<Array> partial = launcher_.run(
      graph_,
      cuda::decode_kernel(),
      first,
      cuda::decode_shared_bytes(first),
      dtype,
      {queries,
       keys[0],
       plane(keys, 1),
       plane(keys, 2),
       values[0],
       plane(values, 1),
       plane(values, 2),
       tables.rows,
       tables.block_ids,
       tables.params},
      {{{rows, heads, splits, dim}, MLX_FLOAT32},
       {{rows, heads, splits, 2}, MLX_FLOAT32}});
  return launcher_.run(
      graph_,
      cuda::combine_kernel(),
      second,
      0,
      dtype,
      {partial[0],
       partial[1],
       tables.rows,
       sinks.empty() ? queries : graph_.contiguous(sinks),
       tables.params},
      {{{q.dim(0), heads * dim}, dtype}})[0];
}

Array CudaAttention::attend(
    const Array& q,
    int group,
    const Planes& keys,
    const Planes& values,
    const Array& sinks) {
  if (tables_.empty()) {
    return stock_->attend(q, group, keys, values, sinks);
  }
  const Array alone = decode(q, tables_[group], keys, values, sinks);
  if (prompts_.spans.empty()) {
    return alone;
  }
  const Array prompts = stock_->attend(q, group, keys, values, sinks);
  std::vector<Array> parts;
  for (const Piece& piece : pieces_) {
    parts.push_back(graph_.slice(
        piece.decode ? alone : prompts,
        0,
        piece.first,
        piece.first + piece.rows));
  }
  return graph_.concatenate(parts, 0);
}

} // namespace

std::unique_ptr<Attention> make_cuda_attention(
    const Graph& graph,
    const ModelConfig& config,
    const KvPool& pool,
    CudaLauncher& launcher) {
  return std::make_unique<CudaAttention>(graph, config, pool, launcher);
}

} // namespace stomp::mlx_exec

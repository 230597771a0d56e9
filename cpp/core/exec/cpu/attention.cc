#include "exec/cpu/attention.h"

#include <algorithm>

#include "exec/cpu/attention_scratch.h"

namespace stomp::cpu {

namespace {

constexpr int kTileTokens32 = 32;   // of a prompt's tile on the matrix units
constexpr int kTileTokens16 = 16;   // elsewhere
constexpr int kMaxTileQueries = 64; // tokens times heads, elsewhere
// Prompt tiles that are taken apart at most: their partial results take room.
constexpr int kMostTiles = 8;
// Rows below which appending or merging is not worth waking anybody.
constexpr int kFewRows = 4;

int tile_tokens(int group, bool matrix) {
  return matrix ? std::clamp(kMaxTileRows / group, 1, kTileTokens32)
                : std::clamp(kMaxTileQueries / group, 1, kTileTokens16);
}

int max_queries(const AttentionPlan& plan, int group, bool matrix) {
  return std::max(tile_tokens(group, matrix), plan.max_span_rows()) * group;
}

AttentionPlan::Shape
shape_of(const ModelConfig& config, int threads, bool matrix) {
  const int group = config.n_heads / config.n_kv_heads;
  return {
      group,
      tile_tokens(group, matrix),
      threads > 1
          ? std::min(kFewTasks * threads / config.n_kv_heads, kMostTiles)
          : 0};
}

} // namespace

Attention::Attention(
    const ModelConfig& config,
    const Kernels& kernels,
    ThreadPool& threads,
    bool tiles)
    : config_(config),
      kernels_(kernels),
      threads_(threads),
      // Other head sizes would need tiles filled up with zeros.
      matrix_tiles_(tiles && config.head_dim % kTileK == 0),
      rope_(config.rope),
      local_rope_(config.local_rope),
      ones_(config.n_heads / config.n_kv_heads, 1.0f),
      zeros_(
          static_cast<size_t>(config.n_heads / config.n_kv_heads) *
          padded_head_dim(config.head_dim)),
      group_(config.n_heads / config.n_kv_heads),
      plan_(shape_of(config, threads.size(), matrix_tiles_)) {
  for (int i = 0; i < threads.size(); i++) {
    scratch_.push_back(std::make_unique<Scratch>(
        max_queries(plan_, group_, matrix_tiles_), config, kernels));
  }
}

Attention::~Attention() = default;

size_t Attention::scratch_bytes() const {
  size_t n =
      rope_.bytes() + local_rope_.bytes() + partials_.size() * sizeof(float);
  for (const auto& scratch : scratch_) {
    n += scratch->bytes();
  }
  return n;
}

void Attention::begin(const StepRows& step) {
  step_ = &step;
  rope_.cover(step.positions);
  if (config_.two_ropes()) {
    local_rope_.cover(step.positions);
  }
  plan_.make(step, pool_->spec(), !matrix_tiles_);
  n_single_ = step.n_decode;
  for (const SliceRows& rows : step.slices) {
    if (rows.slice->decode && rows.n > 1) {
      n_single_ = 0; // later rows of a slice attend to earlier ones
    }
  }
}

void Attention::run(
    const QkvRows& qkv,
    int index,
    const std::vector<float>& sinks,
    float* floats,
    const LinearRunner& runner,
    const LinearRows& out) {
  const int group = pool_->group_of(index);
  const bool local = config_.two_ropes() && config_.slides(index);
  const Layer layer{
      qkv,
      index,
      &pool_->spec().groups[group],
      &plan_.group(group),
      local ? &local_rope_ : &rope_,
      sinks.empty() ? nullptr : sinks.data(),
      floats,
      &runner,
      &out};
  append_prompts(layer);
  run_tiles(layer);
  run_spans(layer);
  merge_spans(layer);
  // Heads that do not fill whole groups of codes were left for last.
  const int width = group_ * config_.head_dim;
  if (width % kGroup != 0) {
    threads_.run(out.n, [&](int row, int) noexcept {
      const float* x = floats + static_cast<size_t>(row) * out.cols;
      runner.put(x, out, row, 0, out.cols);
    });
  }
}

void Attention::run_spans(const Layer& layer) {
  const std::vector<SharedSpan>& spans = layer.plan->spans;
  const int heads = config_.n_kv_heads;
  const size_t floats = layer.plan->n_partials * heads * group_ *
      (padded_head_dim(config_.head_dim) + 2);
  if (partials_.size() < floats) {
    partials_.resize(std::max(floats, 2 * partials_.size()));
  }
  const int n = static_cast<int>(spans.size());
  threads_.run_ranges(
      n * heads, 1, [&](int begin, int end, int worker) noexcept {
        Scratch& own = *scratch_[worker];
        for (int i = begin; i < end; i++) {
          const SharedSpan& span = spans[i % n];
          const bool more = i + 1 < end && (i + 1) % n != 0;
          if (i == begin || i % n == 0 ||
              !same_rows(layer, (&span)[-1], span)) {
            turn_rows(layer, span, i / n, own);
          }
          attend_span(layer, span, more ? &span + 1 : nullptr, i / n, own);
        }
      });
}

bool Attention::same_rows(
    const Layer& layer,
    const SharedSpan& a,
    const SharedSpan& b) {
  const int* rows = layer.plan->rows.data();
  return a.n == b.n &&
      std::equal(rows + a.first, rows + a.first + a.n, rows + b.first);
}

void Attention::merge_spans(const Layer& layer) {
  if (layer.plan->n_partials == 0) {
    return;
  }
  const auto merge = [&](int row, int) noexcept {
    for (int h = 0; h < config_.n_kv_heads; h++) {
      if (layer.plan->n_spans[row] > 1) {
        merge_row(layer, row, h);
      }
    }
  };
  const int n = plan_.n_spanned();
  if (n < kFewRows) {
    for (int row = 0; row < n; row++) {
      merge(row, 0);
    }
  } else {
    threads_.run(n, merge);
  }
}

// ---- rope and append ----

/// Rows that others of their slice attend to: all of them before anybody does.
void Attention::append_prompts(const Layer& layer) {
  const int first = n_single_;
  const int n = step_->n() - first;
  const int stride = std::max(kFewRows, n / (threads_.size() * 8));
  threads_.run((n + stride - 1) / stride, [&](int i, int) noexcept {
    const int end = std::min((i + 1) * stride, n);
    for (int row = first + i * stride; row < first + end; row++) {
      for (int h = 0; h < config_.n_heads; h++) {
        float* q = layer.qkv.row(row) + h * config_.head_dim;
        turn(layer, row, q, config_.query_scale());
      }
      for (int h = 0; h < config_.n_kv_heads; h++) {
        append_head(layer, row, h);
      }
    }
  });
}

/// A query or key of the row as attention wants it.
void Attention::turn(const Layer& layer, int row, float* head, float scale)
    const {
  kernels_.rotate(head, layer.rope->at(step_->positions[row]), scale);
  if (pool_->spreads_keys()) {
    kernels_.spread(head, config_.head_dim);
  }
}

void Attention::append_head(const Layer& layer, int row, int kv_head) {
  const int dim = config_.head_dim;
  const int position = step_->positions[row];
  const Slice& slice = *step_->slices[step_->slice_of[row]].slice;
  float* k = layer.qkv.row(row) + layer.qkv.k + kv_head * dim;
  const float* v = layer.qkv.row(row) + layer.qkv.v + kv_head * dim;
  turn(layer, row, k, 1);
  pool_->append(*slice.table, layer.index, kv_head, position, k, v);
}

// ---- pieces ----

/// K and V of [at, end), kPieceTokens at most.
AttentionPiece Attention::piece_at(
    const BlockTable& table,
    int layer,
    int kv_head,
    int at,
    int end) const {
  AttentionPiece piece = pool_->empty_piece();
  piece.position = at;
  piece.n_tokens = std::min(kPieceTokens, end - at);
  for (int i = 0; i * kTileTokens < piece.n_tokens; i++) {
    pool_->find_tile(table, layer, kv_head, at + i * kTileTokens, piece, i);
  }
  return piece;
}

/// The query heads of one row that share a KV head, to the scratch's queries.
void Attention::add_row(
    const Layer& layer,
    int kv_head,
    int row,
    Scratch& scratch) const {
  const int dim = config_.head_dim;
  const float* q =
      layer.qkv.row(row) + static_cast<size_t>(kv_head) * group_ * dim;
  const int position = step_->positions[row];
  const int first = first_position(*layer.kind, position);
  for (int h = 0; h < group_; h++, q += dim) {
    const int i = scratch.n++;
    scratch.q[i] = q;
    scratch.first[i] = first;
    scratch.last[i] = position;
    if (row < n_single_) {
      float* turned = scratch.turned.data() + static_cast<size_t>(i) * dim;
      std::copy_n(q, dim, turned);
      turn(layer, row, turned, config_.query_scale());
      scratch.q[i] = turned;
    }
  }
}

/// Positions [begin, end) through one online softmax. `after` is what this
/// thread attends to next, if known.
void Attention::attend_pieces(
    const Layer& layer,
    const BlockTable& table,
    int kv_head,
    int begin,
    int end,
    const AttentionRows& rows,
    const AttentionPiece* after,
    Scratch& scratch) const {
  reset(rows, config_.head_dim);
  AttentionPiece piece = piece_at(table, layer.index, kv_head, begin, end);
  for (int at = begin; at < end; at += kPieceTokens) {
    AttentionPiece next;
    if (at + kPieceTokens < end) {
      next = piece_at(table, layer.index, kv_head, at + kPieceTokens, end);
      piece.next = &next;
    } else {
      piece.next = after;
    }
    kernels_.attend_piece(piece, rows, scratch.piece.as<float>());
    piece = next;
  }
}

/// The sinks' part of a row's softmax: they take of its sum, and add nothing.
/// REQUIRES: `rows` are the query heads of one row.
void Attention::add_sinks(
    const Layer& layer,
    const AttentionRows& rows,
    int kv_head) const {
  AttentionRows sinks;
  sinks.n = group_;
  // Only read, as the rows that are merged into others.
  sinks.max = const_cast<float*>(layer.sinks) + kv_head * group_;
  sinks.sum = const_cast<float*>(ones_.data());
  sinks.out = const_cast<float*>(zeros_.data());
  kernels_.merge_rows(sinks, rows, config_.head_dim);
}

/// Result of query `first` and those of the same row behind it, whose running
/// softmax has seen everything.
void Attention::finish(
    const Layer& layer,
    const AttentionRows& rows,
    int first,
    int row,
    int kv_head,
    int out_stride) const {
  const int dim = config_.head_dim;
  const int width = group_ * dim;
  const int column = kv_head * width;
  if (layer.sinks != nullptr) {
    AttentionRows own = rows;
    own.n = group_;
    own.max += first;
    own.sum += first;
    own.out += static_cast<size_t>(first) * out_stride;
    add_sinks(layer, own, kv_head);
  }
  float* const to =
      layer.floats + static_cast<size_t>(row) * layer.out->cols + column;
  for (int h = 0; h < group_; h++) {
    const float* from = rows.out + static_cast<size_t>(first + h) * out_stride;
    const float inverse = 1 / rows.sum[first + h];
    for (int d = 0; d < dim; d++) {
      to[h * dim + d] = from[d] * inverse;
    }
  }
  if (width % kGroup == 0) {
    layer.runner->put(to, *layer.out, row, column, width);
  }
}

// ---- answers ----

/// The running softmax of a row's query heads in one of its spans.
AttentionRows
Attention::partial(const LayerGroupPlan& plan, int kv_head, int row, int span) {
  const size_t padded = padded_head_dim(config_.head_dim);
  const size_t index = kv_head * plan.n_partials + plan.partial[row] + span;
  AttentionRows rows;
  rows.n = group_;
  rows.max = partials_.data() + index * group_ * (padded + 2);
  rows.sum = rows.max + group_;
  rows.out = rows.sum + group_;
  return rows;
}

/// Makes the span's rows the scratch's queries.
void Attention::turn_rows(
    const Layer& layer,
    const SharedSpan& span,
    int kv_head,
    Scratch& scratch) const {
  scratch.n = 0;
  for (int i = 0; i < span.n; i++) {
    add_row(layer, kv_head, layer.plan->rows[span.first + i], scratch);
  }
}

/// Where the first piece begins that a row of the span attends to.
int Attention::span_begin(const Layer& layer, const SharedSpan& span) const {
  int first = span.end;
  for (int i = 0; i < span.n; i++) {
    const int row = layer.plan->rows[span.first + i];
    first = std::min(first, first_position(*layer.kind, step_->positions[row]));
  }
  return std::max(span.begin, first / kPieceTokens * kPieceTokens);
}

/// REQUIRES: turn_rows() for these rows.
void Attention::attend_span(
    const Layer& layer,
    const SharedSpan& span,
    const SharedSpan* after,
    int kv_head,
    Scratch& scratch) {
  const LayerGroupPlan& plan = *layer.plan;
  const int* own = plan.rows.data() + span.first;
  const int number = span.begin / kSpanTokens;
  for (int i = 0; i < span.n; i++) {
    const int last = plan.first_span[own[i]] + plan.n_spans[own[i]] - 1;
    if (own[i] < n_single_ && last == number) {
      append_head(layer, own[i], kv_head);
    }
  }
  AttentionPiece next;
  if (after) {
    next = piece_at(
        *after->table,
        layer.index,
        kv_head,
        span_begin(layer, *after),
        after->end);
  }
  const AttentionRows rows = scratch.span();
  attend_pieces(
      layer,
      *span.table,
      kv_head,
      span_begin(layer, span),
      span.end,
      rows,
      after ? &next : nullptr,
      scratch);
  const int padded = padded_head_dim(config_.head_dim);
  for (int i = 0; i < span.n; i++) {
    const int row = own[i];
    const int query = i * group_;
    if (plan.n_spans[row] == 1) {
      finish(layer, rows, query, row, kv_head, padded);
      continue;
    }
    const AttentionRows to =
        partial(plan, kv_head, row, number - plan.first_span[row]);
    std::copy_n(rows.max + query, group_, to.max);
    std::copy_n(rows.sum + query, group_, to.sum);
    std::copy_n(
        rows.out + static_cast<size_t>(query) * padded,
        static_cast<size_t>(group_) * padded,
        to.out);
  }
}

void Attention::merge_row(const Layer& layer, int row, int kv_head) {
  const LayerGroupPlan& plan = *layer.plan;
  const AttentionRows all = partial(plan, kv_head, row, 0);
  for (int span = 1; span < plan.n_spans[row]; span++) {
    kernels_.merge_rows(
        partial(plan, kv_head, row, span), all, config_.head_dim);
  }
  const int padded = padded_head_dim(config_.head_dim);
  finish(layer, all, 0, row, kv_head, padded);
}

} // namespace stomp::cpu

#include "exec/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/aligned.h"

namespace stomp::cpu {

namespace {

constexpr int kMaxTileTokens = 16;
constexpr int kMaxTileRows = 64; // tokens times heads
// Partial results of a split step, at most.
constexpr size_t kMaxPartialFloats = size_t{4} << 20;
// Tasks for each thread below which a step is split into spans.
constexpr int kFewTasks = 4;
// Rows below which appending is not worth waking anybody.
constexpr int kFewRows = 4;

} // namespace

struct Attention::Tile {
  int slice;
  int row;      // of the step
  int n;        // tokens
  int position; // of the first
  // When split: where its spans begin, in tasks and in partials_.
  int first_task = 0;
  int n_spans = 0;
  size_t first_float = 0;

  int last_position() const { return position + n - 1; }
};

struct Attention::Scratch {
  Scratch(int rows, int head_dim)
      : q(rows),
        first(rows),
        last(rows),
        span_max(rows),
        span_sum(rows),
        span_out(static_cast<size_t>(rows) * padded_head_dim(head_dim)),
        all_max(rows),
        all_sum(rows),
        all_out(span_out.size()),
        piece(piece_scratch_floats(head_dim) * sizeof(float)),
        half(head_dim) {}

  AttentionRows span() { return rows(span_max, span_sum, span_out); }
  AttentionRows all() { return rows(all_max, all_sum, all_out); }
  size_t bytes() const {
    return 4 * (span_out.size() + all_out.size()) + piece.size();
  }

  int n = 0;
  std::vector<const float*> q;
  std::vector<int> first;
  std::vector<int> last;
  std::vector<float> span_max, span_sum, span_out; // one span
  std::vector<float> all_max, all_sum, all_out;    // spans so far
  PageBuffer piece;           // f32; aligned, or every store would cross a line
  std::vector<uint16_t> half; // one head of k

 private:
  AttentionRows rows(
      std::vector<float>& max,
      std::vector<float>& sum,
      std::vector<float>& out) {
    return {
        n,
        q.data(),
        first.data(),
        last.data(),
        max.data(),
        sum.data(),
        out.data()};
  }
};

namespace {

void reset(const AttentionRows& rows, int head_dim) {
  std::fill_n(rows.max, rows.n, -std::numeric_limits<float>::infinity());
  std::fill_n(rows.sum, rows.n, 0.0f);
  std::fill_n(
      rows.out, static_cast<size_t>(rows.n) * padded_head_dim(head_dim), 0.0f);
}

} // namespace

Attention::Attention(
    const ModelConfig& config,
    const Kernels& kernels,
    ThreadPool& threads)
    : config_(config),
      kernels_(kernels),
      threads_(threads),
      rope_(config),
      group_(config.n_heads / config.n_kv_heads),
      tile_tokens_(std::clamp(kMaxTileRows / group_, 1, kMaxTileTokens)) {
  for (int i = 0; i < threads.size(); i++) {
    scratch_.push_back(
        std::make_unique<Scratch>(tile_tokens_ * group_, config.head_dim));
  }
}

Attention::~Attention() = default;

size_t Attention::scratch_bytes() const {
  size_t n = rope_.bytes() + partials_.size() * sizeof(float);
  for (const auto& scratch : scratch_) {
    n += scratch->bytes();
  }
  return n;
}

void Attention::begin(const StepRows& step) {
  step_ = &step;
  rope_.cover(step.end_position());
  tiles_.clear();
  for (int s = 0; s < static_cast<int>(step.slices.size()); s++) {
    const SliceRows& rows = step.slices[s];
    for (int i = 0; i < rows.n; i += tile_tokens_) {
      Tile tile{};
      tile.slice = s;
      tile.row = rows.first + i;
      tile.n = std::min(tile_tokens_, rows.n - i);
      tile.position = rows.slice->position + i;
      tiles_.push_back(tile);
    }
  }
  // The longest first: what is handed out last decides when all are done.
  std::sort(tiles_.begin(), tiles_.end(), [](const Tile& a, const Tile& b) {
    return a.position != b.position ? a.position > b.position : a.row < b.row;
  });
}

void Attention::run(const QkvRows& qkv, int layer, float* out) {
  append(qkv, layer);
  if (plan_split(layer)) {
    attend_split(qkv, layer, out);
    return;
  }
  const int heads = config_.n_kv_heads;
  threads_.run(
      static_cast<int>(tiles_.size()) * heads,
      [&](int task, int worker) noexcept {
        attend_tile(
            tiles_[task / heads],
            task % heads,
            layer,
            qkv,
            out,
            *scratch_[worker]);
      });
}

// ---- rope and append ----

void Attention::append(const QkvRows& qkv, int layer) {
  const int n = step_->n();
  if (n < kFewRows) {
    for (int row = 0; row < n; row++) {
      append_row(qkv, layer, row, *scratch_[0]);
    }
    return;
  }
  threads_.run((n + kFewRows - 1) / kFewRows, [&](int i, int worker) noexcept {
    const int end = std::min((i + 1) * kFewRows, n);
    for (int row = i * kFewRows; row < end; row++) {
      append_row(qkv, layer, row, *scratch_[worker]);
    }
  });
}

void Attention::append_row(
    const QkvRows& qkv,
    int layer,
    int row,
    Scratch& scratch) {
  const int dim = config_.head_dim;
  const int position = step_->positions[row];
  float* q = qkv.rows + row * qkv.stride;
  const float scale = 1 / std::sqrt(static_cast<float>(dim));
  for (int h = 0; h < config_.n_heads; h++) {
    rope_.rotate(q + h * dim, position, scale);
  }
  const Slice& slice = *step_->slices[step_->slice_of[row]].slice;
  for (int h = 0; h < config_.n_kv_heads; h++) {
    float* k = q + qkv.k + h * dim;
    rope_.rotate(k, position, 1);
    const KvPool::Place to = pool_->at(*slice.table, layer, h, position);
    kernels_.to_f16(k, dim, scratch.half.data());
    for (int d = 0; d < dim; d++) {
      to.k_tile[d * kTileTokens + to.column] = scratch.half[d];
    }
    kernels_.to_f16(q + qkv.v + h * dim, dim, to.v_row);
  }
}

// ---- attention ----

/// The first position that a row at `position` attends to.
int Attention::first_position(int layer, int position) const {
  const LayerGroup& group = pool_->spec().groups[pool_->group_of(layer)];
  return group.kind == AttentionKind::kSliding
      ? std::max(0, position - group.window + 1)
      : 0;
}

int Attention::spans(const Tile& tile, int layer) const {
  return tile.last_position() / kSpanTokens -
      first_position(layer, tile.position) / kSpanTokens + 1;
}

void Attention::set_rows(
    const Tile& tile,
    int kv_head,
    int layer,
    const QkvRows& qkv,
    Scratch& scratch) const {
  scratch.n = tile.n * group_;
  for (int t = 0; t < tile.n; t++) {
    const float* q = qkv.rows + (tile.row + t) * qkv.stride +
        static_cast<size_t>(kv_head) * group_ * config_.head_dim;
    const int position = tile.position + t;
    const int first = first_position(layer, position);
    for (int h = 0; h < group_; h++) {
      const int i = t * group_ + h;
      scratch.q[i] = q + h * config_.head_dim;
      scratch.first[i] = first;
      scratch.last[i] = position;
    }
  }
}

/// Span number `span`, counted from the first that the tile needs.
void Attention::attend_span(
    const Tile& tile,
    int kv_head,
    int layer,
    int span,
    const AttentionRows& rows,
    Scratch& scratch) const {
  reset(rows, config_.head_dim);
  const BlockTable& table = *step_->slices[tile.slice].slice->table;
  const int first = first_position(layer, tile.position);
  const int begin = (first / kSpanTokens + span) * kSpanTokens;
  const int end = std::min(begin + kSpanTokens, tile.last_position() + 1);
  const auto piece_at = [&](int at) {
    AttentionPiece piece;
    piece.head_dim = config_.head_dim;
    piece.position = at;
    piece.n_tokens = std::min(kPieceTokens, end - at);
    for (int i = 0; i * kTileTokens < piece.n_tokens; i++) {
      const KvPool::Tile tile_at =
          pool_->tile(table, layer, kv_head, at + i * kTileTokens);
      piece.k[i] = tile_at.k;
      piece.v[i] = tile_at.v;
    }
    return piece;
  };
  int at = std::max(begin, first / kPieceTokens * kPieceTokens);
  AttentionPiece piece = piece_at(at);
  for (; at < end; at += kPieceTokens) {
    const bool more = at + kPieceTokens < end;
    const AttentionPiece next = more ? piece_at(at + kPieceTokens) : piece;
    piece.next = more ? &next : nullptr;
    kernels_.attend_piece(piece, rows, scratch.piece.as<float>());
    piece = next;
  }
}

void Attention::attend_tile(
    const Tile& tile,
    int kv_head,
    int layer,
    const QkvRows& qkv,
    float* out,
    Scratch& scratch) const {
  set_rows(tile, kv_head, layer, qkv, scratch);
  const AttentionRows all = scratch.all();
  attend_span(tile, kv_head, layer, 0, all, scratch);
  for (int span = 1; span < spans(tile, layer); span++) {
    attend_span(tile, kv_head, layer, span, scratch.span(), scratch);
    kernels_.merge_rows(scratch.span(), all, config_.head_dim);
  }
  finish(tile, kv_head, all, out);
}

void Attention::finish(
    const Tile& tile,
    int kv_head,
    const AttentionRows& rows,
    float* out) const {
  const int dim = config_.head_dim;
  for (int i = 0; i < rows.n; i++) {
    const float* from =
        rows.out + static_cast<size_t>(i) * padded_head_dim(dim);
    float* to = out +
        static_cast<size_t>(tile.row + i / group_) * config_.q_dim() +
        (kv_head * group_ + i % group_) * dim;
    const float inverse = 1 / rows.sum[i];
    for (int d = 0; d < dim; d++) {
      to[d] = from[d] * inverse;
    }
  }
}

// ---- a step with too few tiles for the threads: spans apart ----

/// Lays out partials_ and returns true when splitting pays.
bool Attention::plan_split(int layer) {
  const int heads = config_.n_kv_heads;
  const int tasks = static_cast<int>(tiles_.size()) * heads;
  if (threads_.size() == 1 || tasks >= kFewTasks * threads_.size()) {
    return false;
  }
  const size_t row_floats = padded_head_dim(config_.head_dim) + 2;
  int n_tasks = 0;
  size_t n_floats = 0;
  for (Tile& tile : tiles_) {
    tile.first_task = n_tasks;
    tile.first_float = n_floats;
    tile.n_spans = spans(tile, layer);
    n_tasks += tile.n_spans * heads;
    n_floats += tile.n_spans * heads * tile.n * group_ * row_floats;
  }
  if (n_tasks == tasks || n_floats > kMaxPartialFloats) {
    return false;
  }
  if (partials_.size() < n_floats) {
    partials_.resize(std::max(n_floats, 2 * partials_.size()));
  }
  return true;
}

AttentionRows Attention::partial(int tile, int kv_head, int span) {
  const Tile& t = tiles_[tile];
  const size_t n = t.n * group_;
  const size_t padded = padded_head_dim(config_.head_dim);
  AttentionRows rows;
  rows.n = static_cast<int>(n);
  rows.max = partials_.data() + t.first_float +
      (kv_head * t.n_spans + span) * n * (padded + 2);
  rows.sum = rows.max + n;
  rows.out = rows.sum + n;
  return rows;
}

void Attention::attend_split(const QkvRows& qkv, int layer, float* out) {
  const int heads = config_.n_kv_heads;
  const int n_tiles = static_cast<int>(tiles_.size());
  const Tile& last = tiles_.back();
  threads_.run(
      last.first_task + last.n_spans * heads,
      [&](int task, int worker) noexcept {
        int t = n_tiles - 1;
        while (tiles_[t].first_task > task) {
          t--;
        }
        const Tile& tile = tiles_[t];
        const int in_tile = task - tile.first_task;
        const int kv_head = in_tile / tile.n_spans;
        const int span = in_tile % tile.n_spans;
        Scratch& scratch = *scratch_[worker];
        set_rows(tile, kv_head, layer, qkv, scratch);
        AttentionRows rows = partial(t, kv_head, span);
        rows.q = scratch.q.data();
        rows.first = scratch.first.data();
        rows.last = scratch.last.data();
        attend_span(tile, kv_head, layer, span, rows, scratch);
      });
  for (int task = 0; task < n_tiles * heads; task++) {
    const int t = task / heads;
    const int kv_head = task % heads;
    const AttentionRows all = partial(t, kv_head, 0);
    for (int span = 1; span < tiles_[t].n_spans; span++) {
      kernels_.merge_rows(partial(t, kv_head, span), all, config_.head_dim);
    }
    finish(tiles_[t], kv_head, all, out);
  }
}

} // namespace stomp::cpu

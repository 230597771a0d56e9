// Attention of a prompt's rows, a tile of them at a time.
#include <algorithm>

#include "exec/cpu/attention_scratch.h"

namespace stomp::cpu {

namespace {

constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147181f;
// Positions of one online softmax of a prompt on the matrix units.
constexpr int kTileSpanTokens = 1024;
// Partial results of prompts at most; beyond, tiles are not taken apart.
constexpr size_t kMostPartialFloats = size_t{8} << 20;

} // namespace

void Attention::run_tiles(const Layer& layer) {
  if (matrix_tiles_ && split_tiles(layer)) {
    run_tile_spans(layer);
    return;
  }
  const std::vector<PromptTile>& tiles = plan_.tiles();
  const int heads = config_.n_kv_heads;
  threads_.run(
      static_cast<int>(tiles.size()) * heads,
      [&](int task, int worker) noexcept {
        const PromptTile& tile = tiles[task / heads];
        Scratch& own = *scratch_[worker];
        if (matrix_tiles_) {
          attend_matrix_tile(layer, tile, task % heads, own);
        } else {
          attend_tile(layer, tile, task % heads, own);
        }
      });
}

/// Makes the tile's rows the scratch's queries.
void Attention::load_tile(
    const Layer& layer,
    const PromptTile& tile,
    int kv_head,
    Scratch& scratch) const {
  scratch.n = 0;
  for (int t = 0; t < tile.n; t++) {
    add_row(layer, kv_head, tile.row + t, scratch);
  }
}

/// Results of the tile's rows, whose running softmax has seen everything.
void Attention::finish_tile(
    const Layer& layer,
    const PromptTile& tile,
    int kv_head,
    const AttentionRows& all) const {
  // On the matrix units head_dim is as it is when it is padded.
  const int stride = padded_head_dim(config_.head_dim);
  for (int t = 0; t < tile.n; t++) {
    finish(layer, all, t * group_, tile.row + t, kv_head, stride);
  }
}

void Attention::attend_tile(
    const Layer& layer,
    const PromptTile& tile,
    int kv_head,
    Scratch& scratch) const {
  load_tile(layer, tile, kv_head, scratch);
  const BlockTable& table = *step_->slices[tile.slice].slice->table;
  const int end = tile.last_position() + 1;
  const AttentionRows all = scratch.all();
  int begin = first_piece(layer, tile);
  for (int span = 0; begin < end; span++) {
    const int stop = std::min((begin / kSpanTokens + 1) * kSpanTokens, end);
    const AttentionRows rows = span ? scratch.span() : all;
    attend_pieces(layer, table, kv_head, begin, stop, rows, nullptr, scratch);
    if (span) {
      kernels_.merge_rows(rows, all, config_.head_dim);
    }
    begin = stop;
  }
  finish_tile(layer, tile, kv_head, all);
}

/// Where the first piece begins that a row of the tile attends to.
int Attention::first_piece(const Layer& layer, const PromptTile& tile) const {
  return first_position(*layer.kind, tile.position) / kPieceTokens *
      kPieceTokens;
}

/// Makes the tile's rows the scratch's queries, in bf16.
void Attention::load_matrix_tile(
    const Layer& layer,
    const PromptTile& tile,
    int kv_head,
    Scratch& scratch) const {
  load_tile(layer, tile, kv_head, scratch);
  const TileRows q{scratch.tiles.as<uint16_t>(), config_.head_dim / kTileK};
  for (int i = 0; i < scratch.n; i++) {
    kernels_.tiles->round_row(scratch.q[i], config_.head_dim, kLog2E, q, i, 0);
  }
}

/// Positions from `begin` to the end of its span through one online softmax.
/// REQUIRES: load_matrix_tile().
void Attention::attend_matrix_span(
    const Layer& layer,
    const PromptTile& tile,
    int kv_head,
    int begin,
    const AttentionRows& state,
    Scratch& scratch) const {
  const int dim = config_.head_dim;
  const BlockTable& table = *step_->slices[tile.slice].slice->table;
  const int end = std::min(
      (begin / kTileSpanTokens + 1) * kTileSpanTokens,
      tile.last_position() + 1);
  TileAttention rows;
  rows.q = {scratch.tiles.as<uint16_t>(), dim / kTileK};
  rows.state = state;
  reset(state, dim);
  AttentionPiece piece = piece_at(table, layer.index, kv_head, begin, end);
  for (int at = begin; at < end; at += kPieceTokens) {
    AttentionPiece next;
    if (at + kPieceTokens < end) {
      next = piece_at(table, layer.index, kv_head, at + kPieceTokens, end);
      piece.next = &next;
    }
    kernels_.tiles->attend_piece(piece, rows, scratch.piece.data());
    piece = next;
  }
  // The kernel's scores are of base 2, those of merge_rows() of base e.
  for (int i = 0; i < state.n; i++) {
    state.max[i] *= kLn2;
  }
}

void Attention::attend_matrix_tile(
    const Layer& layer,
    const PromptTile& tile,
    int kv_head,
    Scratch& scratch) const {
  const int dim = config_.head_dim;
  load_matrix_tile(layer, tile, kv_head, scratch);
  const AttentionRows all = scratch.all();
  const int first = first_piece(layer, tile);
  for (int at = first; at <= tile.last_position();) {
    const AttentionRows rows = at == first ? all : scratch.span();
    attend_matrix_span(layer, tile, kv_head, at, rows, scratch);
    if (at != first) {
      kernels_.merge_rows(rows, all, dim);
    }
    at = (at / kTileSpanTokens + 1) * kTileSpanTokens;
  }
  finish_tile(layer, tile, kv_head, all);
}

/// Lists the spans of all tiles, if there are too few tiles to give every
/// thread its part.
bool Attention::split_tiles(const Layer& layer) {
  const std::vector<PromptTile>& tiles = plan_.tiles();
  const int heads = config_.n_kv_heads;
  const int n = static_cast<int>(tiles.size());
  if (threads_.size() == 1 || n * heads >= kFewTasks * threads_.size()) {
    return false;
  }
  tile_spans_.clear();
  for (int t = 0; t < n; t++) {
    for (int h = 0; h < heads; h++) {
      int at = first_piece(layer, tiles[t]);
      while (at <= tiles[t].last_position()) {
        tile_spans_.push_back({t, h, at});
        at = (at / kTileSpanTokens + 1) * kTileSpanTokens;
      }
    }
  }
  const size_t floats = tile_spans_.size() * tile_partial_floats();
  if (floats > kMostPartialFloats) {
    return false;
  }
  if (partials_.size() < floats) {
    partials_.resize(std::max(floats, 2 * partials_.size()));
  }
  return true;
}

/// Rows up to whole tiles are written.
size_t Attention::tile_partial_rows() const {
  return round_up(plan_.tile_tokens() * group_, kTileRows);
}

size_t Attention::tile_partial_floats() const {
  return tile_partial_rows() * (config_.head_dim + 2);
}

/// The running softmax of a tile's rows in one of the listed spans.
AttentionRows Attention::tile_partial(size_t span, int rows) {
  const size_t most = tile_partial_rows();
  AttentionRows state;
  state.n = rows * group_;
  state.max = partials_.data() + span * tile_partial_floats();
  state.sum = state.max + most;
  state.out = state.sum + most;
  return state;
}

void Attention::run_tile_spans(const Layer& layer) {
  const std::vector<PromptTile>& tiles = plan_.tiles();
  const int n = static_cast<int>(tile_spans_.size());
  threads_.run(n, [&](int i, int worker) noexcept {
    const TileSpan& span = tile_spans_[i];
    const PromptTile& tile = tiles[span.tile];
    Scratch& own = *scratch_[worker];
    load_matrix_tile(layer, tile, span.kv_head, own);
    AttentionRows state = own.span();
    const AttentionRows to = tile_partial(i, tile.n);
    state.max = to.max;
    state.sum = to.sum;
    state.out = to.out;
    attend_matrix_span(layer, tile, span.kv_head, span.begin, state, own);
  });
  threads_.run(n, [&](int i, int) noexcept {
    const TileSpan& first = tile_spans_[i];
    const PromptTile& tile = tiles[first.tile];
    if (first.begin != first_piece(layer, tile)) {
      return; // merged with the first of its tile and head
    }
    const AttentionRows all = tile_partial(i, tile.n);
    for (int s = i + 1; s < n && tile_spans_[s].tile == first.tile &&
         tile_spans_[s].kv_head == first.kv_head;
         s++) {
      kernels_.merge_rows(tile_partial(s, tile.n), all, config_.head_dim);
    }
    finish_tile(layer, tile, first.kv_head, all);
  });
}

} // namespace stomp::cpu

#include "exec/cpu/linear.h"

#include <algorithm>

namespace stomp::cpu {

namespace {

// K whose weights are widened at once, in tiles: two panels of it stay in the
// first-level cache while all rows pass by.
constexpr int kPanelTiles = 18;
constexpr size_t kPanelElements = size_t{kPanelTiles} * kTileElements;
// Rows of codes that are gated at once.
constexpr int kGatedRows = 16;
// Row tiles that are gated at once: their gates and ups stay in the
// first-level cache until they have been read.
constexpr int kGatedTiles = 8;
// Columns of gates that make one group of codes, or one tile's K.
constexpr int kGateColumns = kGroup;
constexpr int kGateBlocks = kGateColumns / kBlockColumns;

template <class T>
T ceil_div(T n, T by) {
  return (n + by - 1) / by;
}

/// Units to hand out at once: enough work to be worth it.
int least_units(int64_t unit_work) {
  constexpr int64_t kWorthwhile = 1 << 15; // multiplications
  return static_cast<int>(
      ceil_div<int64_t>(kWorthwhile, std::max<int64_t>(unit_work, 1)));
}

/// Pieces that the tiled rows are cut into, so that every thread has some:
/// each piece widens the weights anew, which a few row tiles must pay for.
int row_pieces(int units, int row_tiles, int threads) {
  constexpr int kWorthwhile = 8;
  const int wanted = ceil_div(threads * 3, units);
  return std::clamp(wanted, 1, std::max(1, row_tiles / kWorthwhile));
}

/// Row tiles of piece i of n, as {first, count}.
struct Range {
  int first;
  int n;
};

Range piece_of(int row_tiles, int i, int n) {
  const int step = round_up(ceil_div(row_tiles, n), 2);
  const int first = std::min(i * step, row_tiles);
  return {first, std::min(step, row_tiles - first)};
}

} // namespace

// ---- runner ----

struct LinearRunner::Scratch {
  uint16_t* panels; // (2, kPanelElements)
  float* gated;     // (rows, 2 * kBlockColumns)
  std::byte* dense;
};

LinearRunner::LinearRunner(const Kernels& kernels, ThreadPool& threads)
    : kernels_(kernels), threads_(threads) {}

void LinearRunner::reserve(int max_rows, PageArena& arena) {
  const size_t rows = round_up(max_rows, kTileRows) + kTileRows;
  const size_t gated =
      sizeof(float) * 2 * kBlockColumns * (rows + 2 * kGatedRows);
  scratch_step_ = round_up(
      2 * sizeof(uint16_t) * kPanelElements + gated +
          kernels_.linear_scratch_bytes,
      size_t{4096});
  scratch_ = arena.take(threads_.size() * scratch_step_);
}

LinearRunner::Scratch LinearRunner::scratch(int worker) {
  std::byte* at = scratch_ + worker * scratch_step_;
  std::byte* dense = at + 2 * sizeof(uint16_t) * kPanelElements;
  return {
      reinterpret_cast<uint16_t*>(at),
      reinterpret_cast<float*>(dense + kernels_.linear_scratch_bytes),
      dense};
}

void LinearRunner::put(
    const float* x,
    const LinearRows& rows,
    int r,
    int first,
    int n) const {
  if (r >= rows.n_codes) {
    const int row = r - rows.n_codes;
    kernels_.tiles->round_row(x, n, 1, rows.tiles, row, first);
    return;
  }
  if (rows.floats) {
    float* to = const_cast<float*>(rows.floats) +
        static_cast<size_t>(r) * rows.cols + first;
    if (to != x) {
      std::copy_n(x, n, to);
    }
  }
  if (rows.codes.codes) {
    kernels_.quantise_row(x, rows.codes.from(r).columns(first, n));
  }
}

/// Rows [first, first + n) of those that come as codes, times one block.
void LinearRunner::few(
    const PackedBlock& block,
    const LinearRows& rows,
    int first,
    int n,
    const LinearOutput& out,
    Scratch& scratch) const {
  const PackedPart& part = *block.part;
  if (!part.quantised) {
    kernels_.linear_dense(
        part.dense_layout,
        block.bytes,
        rows.floats + static_cast<size_t>(first) * rows.cols,
        n,
        out,
        scratch.dense);
    return;
  }
  kernels_.linear_quantised(
      part.quantised_layout, block.bytes, rows.codes.from(first), n, out);
}

/// Tiles [k, k + kPanelTiles) of two blocks' K, or what is left of it: as the
/// panels of a product with `rows`.
TileProduct LinearRunner::widen(
    const PackedBlock (&blocks)[2],
    const LinearRows& rows,
    int k,
    Scratch& scratch) const {
  const TileKernels& tiles = *kernels_.tiles;
  TileProduct product;
  product.first_k = k;
  product.n_k = std::min(kPanelTiles, rows.tiles.k_tiles - k);
  for (int i = 0; i < 2; i++) {
    const PackedPart& part = *blocks[i].part;
    const std::byte* bytes = blocks[i].bytes;
    uint16_t* panel = scratch.panels + i * kPanelElements;
    if (part.quantised) {
      tiles.widen_quantised(
          part.quantised_layout, bytes, k, product.n_k, panel);
    } else {
      tiles.widen_dense(part.dense_layout, bytes, k, product.n_k, panel);
    }
    product.panels[i] = panel;
  }
  return product;
}

/// Row tiles [first, first + n) times the panels.
void LinearRunner::many(
    TileProduct product,
    const LinearRows& rows,
    int first,
    int n,
    const LinearOutput (&out)[2]) const {
  product.rows = {rows.tiles.tile(first, 0), rows.tiles.k_tiles};
  product.row_tiles = n;
  for (int i = 0; i < 2; i++) {
    product.out[i] = out[i];
    product.out[i].add |= product.first_k > 0;
  }
  kernels_.tiles->multiply(product);
}

void LinearRunner::multiply(
    const LinearRows& rows,
    const PackedMatrix& w,
    LinearOutput out) {
  if (rows.row_tiles() == 0 ||
      (rows.row_tiles() <= kFewTiles && !w.any_dense())) {
    multiply_blocks(rows, w, out);
  } else {
    multiply_pairs(rows, w, out);
  }
}

/// Few row tiles times one block of quantised weights.
void LinearRunner::few_tiled(
    const PackedBlock& block,
    const LinearRows& rows,
    const LinearOutput& out) const {
  kernels_.tiles->multiply_quantised(
      block.part->quantised_layout,
      block.bytes,
      rows.tiles,
      rows.row_tiles(),
      out);
}

/// A block at a time: small pieces, so that all threads end at once.
void LinearRunner::multiply_blocks(
    const LinearRows& rows,
    const PackedMatrix& w,
    LinearOutput out) {
  const int64_t work = int64_t{kBlockColumns} * rows.cols * rows.n;
  threads_.run_ranges(
      w.blocks(),
      rows.n_tiled() ? 1 : least_units(work),
      [&](int begin, int end, int worker) noexcept {
        Scratch own = scratch(worker);
        for (int i = begin; i < end; i++) {
          LinearOutput to = out;
          to.y += static_cast<size_t>(i) * kBlockColumns;
          if (rows.n_codes) {
            few(w.block(i), rows, 0, rows.n_codes, to, own);
          }
          if (rows.n_tiled()) {
            few_tiled(w.block(i), rows, to.from(rows.n_codes));
          }
        }
      });
}

/// Two blocks at a time, as tiles go, and the rows of codes with them.
void LinearRunner::multiply_pairs(
    const LinearRows& rows,
    const PackedMatrix& w,
    LinearOutput out) {
  const int pairs = ceil_div(w.blocks(), 2);
  const int row_tiles = rows.row_tiles();
  const int pieces = row_pieces(pairs, row_tiles, threads_.size());
  const auto pair = [&](int p, int piece, Scratch& own) {
    const int first = 2 * p;
    const int second = std::min(first + 1, w.blocks() - 1);
    const PackedBlock blocks[2] = {w.block(first), w.block(second)};
    const auto at = [&](int block) {
      LinearOutput to = out;
      to.y += static_cast<size_t>(block) * kBlockColumns;
      return to;
    };
    if (piece == 0 && rows.n_codes) {
      few(blocks[0], rows, 0, rows.n_codes, at(first), own);
      if (second != first) {
        few(blocks[1], rows, 0, rows.n_codes, at(second), own);
      }
    }
    const Range range = piece_of(row_tiles, piece, pieces);
    if (range.n > 0) {
      const int row = rows.n_codes + range.first * kTileRows;
      const LinearOutput to[2] = {at(first).from(row), at(second).from(row)};
      for (int k = 0; k < rows.tiles.k_tiles; k += kPanelTiles) {
        const TileProduct product = widen(blocks, rows, k, own);
        many(product, rows, range.first, range.n, to);
      }
    }
  };
  threads_.run_ranges(
      pairs * pieces, 1, [&](int begin, int end, int worker) noexcept {
        Scratch own = scratch(worker);
        for (int i = begin; i < end; i++) {
          pair(i / pieces, i % pieces, own);
        }
      });
}

// ---- gates ----

/// Columns [group * kGroup, ...) of the activated for the rows of codes.
void LinearRunner::gate_codes(
    Activation activation,
    const PackedMatrix& w,
    const LinearRows& rows,
    int group,
    const LinearRows& out,
    Scratch& scratch) const {
  constexpr int kWidth = 2 * kGateColumns; // gates, then ups
  const int first = group * kGateColumns;
  const int n = std::min(kGateColumns, out.cols - first);
  const int gate_blocks = w.part(0).blocks;
  for (int r = 0; r < rows.n_codes; r += kGatedRows) {
    const int some = std::min(kGatedRows, rows.n_codes - r);
    for (int b = 0; b * kBlockColumns < n; b++) {
      const int block = group * kGateBlocks + b;
      float* y = scratch.gated + b * kBlockColumns;
      few(w.block(block), rows, r, some, {y, kWidth}, scratch);
      few(w.block(gate_blocks + block),
          rows,
          r,
          some,
          {y + kGateColumns, kWidth},
          scratch);
    }
    for (int i = 0; i < some; i++) {
      float* y = scratch.gated + i * kWidth;
      kernels_.activate(activation, y, y + kGateColumns, n, y);
      put(y, out, r + i, first, n);
    }
  }
}

/// The same columns for the rows in tiles.
void LinearRunner::gate_tiles(
    Activation activation,
    const PackedMatrix& w,
    const LinearRows& rows,
    int group,
    const LinearRows& out,
    Scratch& scratch) const {
  const int gate_blocks = w.part(0).blocks;
  for (int b = 0; b < kGateBlocks; b++) {
    const int block = group * kGateBlocks + b;
    if (block < gate_blocks) {
      gate_block(
          activation,
          w.block(block),
          w.block(gate_blocks + block),
          rows,
          out,
          block * kBlockColumns,
          scratch);
    }
  }
}

void LinearRunner::gate_block(
    Activation activation,
    const PackedBlock& gate,
    const PackedBlock& up,
    const LinearRows& rows,
    const LinearRows& out,
    int column,
    Scratch& scratch) const {
  constexpr size_t kWidth = 2 * kBlockColumns;
  const PackedBlock blocks[2] = {gate, up};
  if (rows.row_tiles() <= kFewTiles && gate.part->quantised &&
      up.part->quantised) {
    float* y = scratch.gated;
    few_tiled(gate, rows, {y, kWidth});
    few_tiled(up, rows, {y + kBlockColumns, kWidth});
    kernels_.tiles->round_gated(
        activation, y, rows.n_tiled(), out.tiles, column);
    return;
  }
  const int k_tiles = rows.tiles.k_tiles;
  const bool one_panel = k_tiles <= kPanelTiles;
  for (int k = 0; k < k_tiles; k += kPanelTiles) {
    const TileProduct product = widen(blocks, rows, k, scratch);
    for (int t = 0; t < rows.row_tiles(); t += kGatedTiles) {
      const int some = std::min(kGatedTiles, rows.row_tiles() - t);
      // Sums that later panels go on with each have a place of their own.
      float* y = scratch.gated + (one_panel ? 0 : t * kTileRows * kWidth);
      many(product, rows, t, some, {{y, kWidth}, {y + kBlockColumns, kWidth}});
      if (k + kPanelTiles >= k_tiles) {
        kernels_.tiles->round_gated(
            activation,
            y,
            std::min(some * kTileRows, rows.n_tiled() - t * kTileRows),
            {out.tiles.tile(t, 0), out.tiles.k_tiles},
            column);
      }
    }
  }
}

void LinearRunner::gate(
    Activation activation,
    const LinearRows& rows,
    const PackedMatrix& w,
    const LinearRows& out) {
  const int groups = ceil_div(w.part(0).blocks, kGateBlocks);
  const int64_t work = int64_t{2} * kGateColumns * rows.cols * rows.n;
  threads_.run_ranges(
      groups,
      rows.n_tiled() ? 1 : least_units(work),
      [&](int begin, int end, int worker) noexcept {
        Scratch own = scratch(worker);
        for (int g = begin; g < end; g++) {
          if (rows.n_codes) {
            gate_codes(activation, w, rows, g, out, own);
          }
          if (rows.n_tiled()) {
            gate_tiles(activation, w, rows, g, out, own);
          }
        }
      });
}

} // namespace stomp::cpu

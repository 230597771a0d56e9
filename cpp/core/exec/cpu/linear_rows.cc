#include "exec/cpu/linear_rows.h"

#include <algorithm>

namespace stomp::cpu {

void RowBuffers::reserve(
    int max_rows,
    int cols,
    const RowForms& forms,
    PageArena& arena) {
  // Tiles of rows are read whole.
  const size_t rows = round_up(max_rows, kTileRows) + kTileRows;
  const size_t padded = round_up(cols, kTileK);
  if (forms.floats) {
    floats_ = arena.take_array<float>(rows * cols);
  }
  if (forms.codes) {
    codes_ = arena.take_array<int8_t>(rows * padded);
    scales_ = arena.take_array<float>(rows * padded / kGroup);
    sums_ = arena.take_array<float>(rows * padded / kGroup);
  }
  if (forms.tiles) {
    tiles_ = arena.take_array<uint16_t>(rows * padded);
  }
}

LinearRows RowBuffers::rows(int n, int n_codes, int cols) const {
  LinearRows rows;
  rows.n = n;
  rows.n_codes = n_codes;
  rows.cols = cols;
  rows.floats = floats_;
  if (cols % kGroup == 0) {
    rows.codes = {codes_, scales_, sums_, cols, n_codes};
  }
  rows.tiles = {tiles_, (cols + kTileK - 1) / kTileK};
  return rows;
}

namespace {

void copy_tiled(const TileRows& from, int r, const TileRows& to, int i) {
  for (int k = 0; k < from.k_tiles; k++) {
    std::copy_n(
        from.tile(r / kTileRows, k) + r % kTileRows * kTileK,
        kTileK,
        to.tile(i / kTileRows, k) + i % kTileRows * kTileK);
  }
}

void copy_codes(QuantisedRows from, QuantisedRows to) {
  for (int k = 0; k < from.cols; k += kGroup) {
    std::copy_n(from.codes, kGroup, to.codes);
    *to.scales = *from.scales;
    *to.sums = *from.sums;
    from = from.next_group();
    to = to.next_group();
  }
}

} // namespace

void copy_row(const LinearRows& from, int r, const LinearRows& to, int i) {
  if (r >= from.n_codes) {
    copy_tiled(from.tiles, r - from.n_codes, to.tiles, i - to.n_codes);
    return;
  }
  if (from.floats) {
    std::copy_n(
        from.floats + static_cast<size_t>(r) * from.cols,
        from.cols,
        const_cast<float*>(to.floats) + static_cast<size_t>(i) * to.cols);
  }
  if (from.codes.codes) {
    copy_codes(from.codes.from(r), to.codes.from(i));
  }
}

} // namespace stomp::cpu

// The rows of activations that linear layers take, in the form that decides how
// they are computed; see linear.h. One user: the engine thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/aligned.h"
#include "exec/cpu/kernels.h"

namespace stomp::cpu {

/// The rows that a linear takes. Rows [0, n_codes) as codes and, for dense
/// weights, as floats; the others in tiles.
struct LinearRows {
  int n = 0;
  int n_codes = 0;
  int cols = 0;
  const float* floats = nullptr; // (n_codes, cols)
  QuantisedRows codes;
  TileRows tiles; // row n_codes is its row 0

  int n_tiled() const { return n - n_codes; }
  int row_tiles() const { return (n_tiled() + kTileRows - 1) / kTileRows; }
};

/// What a model's linears want their rows as.
struct RowForms {
  bool codes = false;
  bool floats = false;
  bool tiles = false;
};

/// Memory for LinearRows of one width.
class RowBuffers {
 public:
  /// Makes room in the arena for max_rows rows of up to `cols`.
  void reserve(int max_rows, int cols, const RowForms& forms, PageArena& arena);
  /// Rows of `cols`, none of them written yet.
  LinearRows rows(int n, int n_codes, int cols) const;

 private:
  float* floats_ = nullptr;
  int8_t* codes_ = nullptr;
  float* scales_ = nullptr;
  float* sums_ = nullptr;
  uint16_t* tiles_ = nullptr;
};

/// Row r of `from` as row i of `to`. REQUIRES: both have equal columns, and the
/// rows are in the same form.
void copy_row(const LinearRows& from, int r, const LinearRows& to, int i);

} // namespace stomp::cpu

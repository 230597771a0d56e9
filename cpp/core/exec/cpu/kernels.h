// The hot loops of the CPU executor behind one table of function pointers, so
// that each instruction set is a table of its own and nothing else knows which
// one runs. All functions are pure but for what they write; any thread.
//
// Every table gives the same bits for the same input: each output element is
// reduced in an order that its own inputs fix (ascending K, sixteen lanes,
// pieces of 64 positions), whatever rows, columns or threads surround it, and
// nothing is fused that a narrower instruction set would round twice.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stomp::cpu {

inline constexpr int kBlockColumns = 16; // outputs of a linear, packed together
inline constexpr int kGroup = 32;        // activations under one scale
inline constexpr int kPieceTokens = 64;  // of K and V, attended together
inline constexpr int kTileTokens = 16;   // of K, stored transposed

/// Activations as quantise_row leaves them: x = scale * code.
struct QuantisedRows {
  std::byte* codes = nullptr; // (rows, cols) of code_bytes each
  float* scales = nullptr;    // (rows, cols / kGroup)
  float* sums = nullptr;      // (rows, cols / kGroup), scale * sum of codes
  int cols = 0;               // multiple of kGroup

  QuantisedRows from(int row, int code_bytes) const {
    const size_t r = row;
    const size_t groups = cols / kGroup;
    return {
        codes + r * cols * code_bytes,
        scales + r * groups,
        sums + r * groups,
        cols};
  }
};

/// How a block of kBlockColumns quantised columns is packed. A weight is
/// scale * (code - centre) + bias, with one scale and bias for kGroup of them.
struct QuantisedLayout {
  int cols = 0;            // K; multiple of kGroup
  int stored_bits = 4;     // 2, 4 or 8
  int centre = 8;          // half the range of a code
  bool f32_scales = false; // else f16, which must hold them exactly
  bool biases = false; // stored for uncentred codes: w = scale * code + bias
};

enum class DenseType { kF32, kF16, kBF16 };

/// A block of kBlockColumns dense columns: (cols, kBlockColumns) elements.
struct DenseLayout {
  int cols = 0;
  DenseType type = DenseType::kF32;
};

/// Query rows of heads that share a KV head, against one piece of K and V.
struct AttentionPiece {
  // Tiles of kTileTokens: K as (head_dim, kTileTokens), V as (kTileTokens,
  // head_dim), f16. Null where no row attends to any of the tile.
  const uint16_t* k[kPieceTokens / kTileTokens] = {};
  const uint16_t* v[kPieceTokens / kTileTokens] = {};
  int n_tokens = 0; // written ones, 1..kPieceTokens
  int position = 0; // of the first; multiple of kPieceTokens
  int head_dim = 0;
  const AttentionPiece* next = nullptr; // to fetch meanwhile, or null
};

/// The rows and their running softmax: out / sum is the result so far.
struct AttentionRows {
  int n = 0;
  const float* const* q = nullptr; // (n) rows of head_dim, roped and scaled
  const int* first = nullptr;      // (n) positions a row attends to,
  const int* last = nullptr;       // both included
  float* max = nullptr; // (n), starts at minus infinity, the others at 0
  float* sum = nullptr; // (n)
  float* out = nullptr; // (n, padded_head_dim)
};

constexpr int padded_head_dim(int head_dim) {
  return (head_dim + kBlockColumns - 1) / kBlockColumns * kBlockColumns;
}

/// Floats that attend_piece needs as scratch: the piece in f32.
constexpr size_t piece_scratch_floats(int head_dim) {
  return size_t{2} * kPieceTokens * padded_head_dim(head_dim);
}

struct ArgMax {
  float value = 0;
  int index = -1; // lowest on ties; -1 when a value is NaN or the top infinite
};

struct Kernels {
  const char* isa = nullptr;
  int code_bytes = 0; // of a quantised activation
  // Scratch that the linear kernels may use, one per thread.
  size_t linear_scratch_bytes = 0;

  /// out = x * w / sqrt(mean(x^2) + eps).
  void (
      *rms_norm)(const float* x, const float* w, int n, float eps, float* out);
  /// out = silu(gate) * up.
  void (*silu_mul)(const float* gate, const float* up, int n, float* out);
  /// x += y.
  void (*add)(float* x, const float* y, int n);
  /// To the nearest code, ties to even; a NaN makes its group's scale NaN.
  void (*quantise_row)(const float* x, const QuantisedRows& out);
  void (*to_f16)(const float* x, int n, uint16_t* out);
  ArgMax (*arg_max)(const float* x, int n);

  size_t (*quantised_block_bytes)(const QuantisedLayout& layout);
  /// codes (kBlockColumns, cols), scales and biases (kBlockColumns,
  /// cols / kGroup), as affine_row yields them.
  void (*pack_quantised)(
      const QuantisedLayout& layout,
      const uint8_t* codes,
      const float* scales,
      const float* biases,
      std::byte* block);
  /// y[r][0..kBlockColumns) = rows[r] times the block, r < n_rows.
  void (*linear_quantised)(
      const QuantisedLayout& layout,
      const std::byte* block,
      const QuantisedRows& rows,
      int n_rows,
      float* y,
      size_t y_stride,
      std::byte* scratch);

  size_t (*dense_block_bytes)(const DenseLayout& layout);
  /// columns: kBlockColumns pointers to cols unaligned elements of the type,
  /// null past the matrix.
  void (*pack_dense)(
      const DenseLayout& layout,
      const std::byte* const* columns,
      std::byte* block);
  void (*linear_dense)(
      const DenseLayout& layout,
      const std::byte* block,
      const float* rows, // (n_rows, cols)
      int n_rows,
      float* y,
      size_t y_stride,
      std::byte* scratch);

  /// Adds the piece to the rows' running softmax.
  void (*attend_piece)(
      const AttentionPiece& piece,
      const AttentionRows& rows,
      float* scratch);
  /// Adds the running softmax of later positions, `from`, to that of earlier
  /// ones. Rows of `from` that saw nothing change nothing.
  void (*merge_rows)(
      const AttentionRows& from,
      const AttentionRows& into,
      int head_dim);
};

} // namespace stomp::cpu

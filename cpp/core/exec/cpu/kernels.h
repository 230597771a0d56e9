// The hot loops of the CPU executor behind one table of function pointers, so
// that each instruction set is a table of its own and nothing else knows which
// one runs. All functions are pure but for what they write; any thread.
//
// Every table gives the same bits for the same input: each output element is
// reduced in an order that its own inputs fix (ascending K, sixteen lanes,
// pieces of 64 positions), whatever rows, columns or threads surround it, and
// multiplications are fused with additions where a kernel says so, nowhere
// else. Only the matrix units' kernels (TileKernels) stand apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/activation.h"

// For functions in headers that the kernel files include: a copy that was
// compiled for one instruction set must not end up serving another.
#define STOMP_INLINE inline __attribute__((always_inline))

namespace stomp::cpu {

inline constexpr int kBlockColumns = 16; // outputs of a linear, packed together
inline constexpr int kGroup = 32;        // activations under one scale
inline constexpr int kPieceTokens = 64;  // of K and V, attended together
inline constexpr int kTileTokens = 16;   // of K, stored transposed
inline constexpr int kKvGroup = 64;      // of a quantised head, one scale
inline constexpr int kKvCodes = 127;     // largest of a group's 8-bit codes
inline constexpr int kKvSmallCodes = 15; // and of its 4-bit codes

// Tiles of the matrix units, bf16.
inline constexpr int kTileRows = 16;
inline constexpr int kTileK = 32;
inline constexpr int kTileElements = kTileRows * kTileK;
inline constexpr int kMaxTileRows = 96; // query rows of one call

/// Activations as quantise_row leaves them: x = scale * code. Group after
/// group of kGroup, the rows of a group side by side.
struct QuantisedRows {
  int8_t* codes = nullptr; // (cols / kGroup, rows, kGroup), -127..127
  float* scales = nullptr; // (cols / kGroup, rows)
  float* sums = nullptr;   // (cols / kGroup, rows), scale * sum of codes
  int cols = 0;            // multiple of kGroup
  int rows = 0;

  STOMP_INLINE QuantisedRows from(int row) const {
    return {codes + row * kGroup, scales + row, sums + row, cols, rows};
  }
  /// REQUIRES: first and n are multiples of kGroup.
  STOMP_INLINE QuantisedRows columns(int first, int n) const {
    const size_t at = static_cast<size_t>(first / kGroup) * rows;
    return {codes + at * kGroup, scales + at, sums + at, n, rows};
  }
  STOMP_INLINE QuantisedRows next_group() const {
    return {
        codes + static_cast<size_t>(rows) * kGroup,
        scales + rows,
        sums + rows,
        cols,
        rows};
  }
};

/// How a block of kBlockColumns quantised columns is packed: w = scale * code
/// + bias, with one scale and bias for `group` weights of a column.
///
/// First, group after group, kBlockColumns scales and, if stored, as many
/// biases. Then, from a whole cache line on, the codes, kGroup K after kGroup
/// K: rows of 64 bytes, four bytes a column. Byte i of a column in row t holds
/// K = 4 * q + i, where the lowest bits are those of q = t * fields, the next
/// of q + 1, and so on (fields = 8 / bits).
struct QuantisedLayout {
  int cols = 0;       // K; multiple of group
  int bits = 4;       // of a code: 2, 4 or 8
  bool e2m1 = false;  // they are E2M1's, see code_forms.h; bits 4, centre 12
  int group = kGroup; // multiple of kGroup
  bool f32_scales = false; // else f16, which must hold them exactly
  bool biases = false;     // stored; else they are -centre * scale
  int centre = 8;

  STOMP_INLINE size_t codes_bytes() const {
    return static_cast<size_t>(cols) * kBlockColumns * bits / 8;
  }
  /// Of one group: scales, and biases if stored.
  STOMP_INLINE size_t affine_bytes() const {
    return size_t{kBlockColumns} * (f32_scales ? 4 : 2) * (biases ? 2 : 1);
  }
  /// Where the codes begin.
  STOMP_INLINE size_t codes_at() const {
    return (cols / group * affine_bytes() + 63) / 64 * 64;
  }
  STOMP_INLINE size_t bytes() const { return codes_at() + codes_bytes(); }
};

enum class DenseType { kF32, kF16, kBF16 };

/// A block of kBlockColumns dense columns: (cols, kBlockColumns) elements.
struct DenseLayout {
  int cols = 0;
  DenseType type = DenseType::kF32;

  constexpr STOMP_INLINE size_t element_bytes() const {
    return type == DenseType::kF32 ? 4 : 2;
  }
  STOMP_INLINE size_t bytes() const {
    return size_t{kBlockColumns} * cols * element_bytes();
  }
};

/// Where a linear's results for one block go.
struct LinearOutput {
  float* y = nullptr; // (rows, stride), kBlockColumns of each
  size_t stride = 0;
  bool add = false; // to what is there

  STOMP_INLINE float* row(int r) const { return y + r * stride; }
  STOMP_INLINE LinearOutput from(int r) const { return {row(r), stride, add}; }
};

/// What an element of K or V is in the pool.
enum class KvElement {
  kF16,
  kCode8, // int8: x = code * scale / kKvCodes, the scale a largest magnitude
  kCode4, // 0 to kKvSmallCodes: x = code * scale + bias
};

/// Bytes of n elements. Codes of 4 bits lie two in a byte, the first in its
/// low half.
constexpr STOMP_INLINE int kv_bytes(KvElement element, int n) {
  return element == KvElement::kF16  ? 2 * n
      : element == KvElement::kCode8 ? n
                                     : (n + 1) / 2;
}

/// Query rows of heads that share a KV head, against one piece of K and V.
struct AttentionPiece {
  // Tiles of kTileTokens: K as (head_dim, kTileTokens), V as (kTileTokens,
  // head_dim); of 4-bit codes K is (head_dim / 2, kTileTokens) bytes, each of
  // two dimensions. Null where no row attends to any of the tile.
  const void* k[kPieceTokens / kTileTokens] = {};
  const void* v[kPieceTokens / kTileTokens] = {};
  // For codes, of each token and kKvGroup of head_dim: (groups, scale_stride)
  // f16, behind them as many biases if there are any. Null for f16 tiles.
  const uint16_t* k_scales[kPieceTokens / kTileTokens] = {};
  const uint16_t* v_scales[kPieceTokens / kTileTokens] = {};
  int scale_stride = 0;
  KvElement element = KvElement::kF16;
  int n_tokens = 0; // written ones, 1..kPieceTokens
  int position = 0; // of the first; multiple of kPieceTokens
  int head_dim = 0;
  const AttentionPiece* next = nullptr; // to fetch meanwhile, or null

  /// How far behind its scale a bias lies.
  STOMP_INLINE int biases_at() const {
    return (head_dim + kKvGroup - 1) / kKvGroup * scale_stride;
  }
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

constexpr STOMP_INLINE int padded_head_dim(int head_dim) {
  return (head_dim + kBlockColumns - 1) / kBlockColumns * kBlockColumns;
}

/// Floats that attend_piece needs as scratch: the piece in f32.
constexpr STOMP_INLINE size_t piece_scratch_floats(int head_dim) {
  return size_t{2} * kPieceTokens * padded_head_dim(head_dim);
}

/// Cosines and sines by which a position turns each pair of a head, laid out
/// so that y[d] = x[d] * cosines[d] + partner(x[d]) * sines[d].
struct RopeTurns {
  const float* cosines = nullptr; // (head_dim)
  const float* sines = nullptr;   // (head_dim), negative for a pair's first
  int head_dim = 0;
  bool interleaved = false; // the partner is the neighbour, else half a head on
};

struct ArgMax {
  float value = 0;
  int index = -1; // lowest on ties; -1 when a value is NaN or the top infinite
};

/// Rows of bf16, tile after tile: a tile is kTileRows rows of kTileK K, 1 KB.
/// Rows past the last one of a tile may hold anything.
struct TileRows {
  uint16_t* tiles = nullptr; // (row tiles, k_tiles, kTileRows, kTileK)
  int k_tiles = 0;

  STOMP_INLINE uint16_t* tile(int row_tile, int k_tile) const {
    return tiles +
        (static_cast<size_t>(row_tile) * k_tiles + k_tile) * kTileElements;
  }
};

/// Row tiles times two panels of kBlockColumns columns of weights each.
struct TileProduct {
  TileRows rows;
  int first_k = 0; // in tiles, of the panels' K
  int n_k = 0;     // in tiles
  int row_tiles = 0;
  // (n_k, kTileK / 2, kBlockColumns, 2): pairs of K side by side.
  const uint16_t* panels[2] = {};
  LinearOutput out[2]; // rows up to whole tiles are written
};

/// Query rows of one KV head against pieces of K and V, in bf16 tiles.
struct TileAttention {
  TileRows q;          // roped, scaled by log2(e) / sqrt(head_dim)
  AttentionRows state; // q unused; out (n, head_dim); n up to kMaxTileRows
};

/// Row tiles up to which weights are widened as they are multiplied: with more,
/// widening no longer hides behind the products.
inline constexpr int kFewTiles = 4;

/// Kernels that multiply matrices of bf16, with f32 sums in ascending K: for
/// prefill rows. A row's results do not depend on the rows around it.
struct TileKernels {
  /// Columns [first, first + n) of row `row` of `out`: x times scale, and
  /// zeros up to the tile's end. REQUIRES: first is a multiple of kTileK.
  void (*round_row)(
      const float* x,
      int n,
      float scale,
      const TileRows& out,
      int row,
      int first);
  /// Columns [first, first + 16) of rows [0, n) of `out`: gate and up under the
  /// activation, where row r has gate at gate_up + r * 2 * kBlockColumns, then
  /// up.
  void (*round_gated)(
      Activation activation,
      const float* gate_up,
      int n,
      const TileRows& out,
      int first);
  /// A panel of weights: tiles [first_k, first_k + n_k) of a block's K.
  void (*widen_quantised)(
      const QuantisedLayout& layout,
      const std::byte* block,
      int first_k,
      int n_k,
      uint16_t* panel);
  void (*widen_dense)(
      const DenseLayout& layout,
      const std::byte* block,
      int first_k,
      int n_k,
      uint16_t* panel);
  void (*multiply)(const TileProduct& product);
  /// At most kFewTiles row tiles times a block, widened on the way: to the bit
  /// what multiply() computes. Rows up to whole tiles are written.
  void (*multiply_quantised)(
      const QuantisedLayout& layout,
      const std::byte* block,
      const TileRows& rows,
      int row_tiles,
      const LinearOutput& out);
  /// Adds the piece to the rows' running softmax, whose maxima are those of
  /// the scaled scores. REQUIRES: head_dim is a multiple of kTileK.
  void (*attend_piece)(
      const AttentionPiece& piece,
      const TileAttention& rows,
      std::byte* scratch);
  size_t (*attend_scratch_bytes)(int head_dim);
};

struct Kernels {
  const char* isa = nullptr;
  // Scratch that linear_dense may use, one per thread.
  size_t linear_scratch_bytes = 0;

  /// out = x * w / sqrt(mean(x^2) + eps).
  void (
      *rms_norm)(const float* x, const float* w, int n, float eps, float* out);
  /// gate and up under the activation, see model/activation.h.
  void (*activate)(
      Activation activation,
      const float* gate,
      const float* up,
      int n,
      float* out);
  /// Row 0 of `out`, to the nearest code; a NaN or infinity makes its group's
  /// scale no finite number.
  void (*quantise_row)(const float* x, const QuantisedRows& out);
  /// Rotates a head of dim in place by the turns of a position, and scales it.
  void (*rotate)(float* head, const RopeTurns& turns, float scale);
  void (*to_f16)(const float* x, int n, uint16_t* out);
  /// n elements of a key or value to codes of 8 bits; scales[g * stride] of
  /// each kKvGroup. A group below 2^-17 becomes zeros.
  void (*quantise_kv8)(
      const float* x,
      int n,
      int8_t* codes,
      uint16_t* scales,
      int stride);
  /// The same of 4 bits, with a bias for each scale. n is even.
  void (*quantise_kv4)(
      const float* x,
      int n,
      uint8_t* codes,
      uint16_t* scales,
      uint16_t* biases,
      int stride);
  /// Turns a head of n dimensions in place so that what a few of them have
  /// more than the others is spread over all: by Hadamard matrices, as large as
  /// n allows up to kKvGroup. Products of heads that were both turned stay.
  void (*spread)(float* head, int n);
  ArgMax (*arg_max)(const float* x, int n);

  /// Rows times a block of quantised weights.
  void (*linear_quantised)(
      const QuantisedLayout& layout,
      const std::byte* block,
      const QuantisedRows& rows,
      int n_rows,
      const LinearOutput& out);
  /// Rows (n_rows, cols) times a block of dense weights.
  void (*linear_dense)(
      const DenseLayout& layout,
      const std::byte* block,
      const float* rows,
      int n_rows,
      const LinearOutput& out,
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

  // Matrix units, for prefill rows; null where there are none.
  const TileKernels* tiles = nullptr;
};

} // namespace stomp::cpu

// Weights as they lie in the mapped file, under one set of names, and the two
// ways of reading them: dequantised rows and (code, scale, bias) rows.
// Immutable; any thread may read. Pointers live as long as ModelWeights.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace stomp {

enum class WeightFormat {
  kF32,
  kF16,
  kBF16,
  kQ4_0, // GGUF: 32 weights = f16 scale d, 16 bytes; w = d * (code - 8)
  kQ4_1, // GGUF: 32 weights = f16 scale d, f16 min m, 16 bytes; w = d*code + m
  kQ8_0, // GGUF: 32 weights = f16 scale d, 32 signed bytes; w = d * code
  kMxfp4Blocks, // GGUF: 32 weights = a power of two, 16 bytes; see kMxfp4
  kAffine,      // MLX: packed codes, one scale and bias a group; w = s*code + b
  // Codes of 4 bits for 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives, and
  // apart from them one power of two for 32 weights (E8M0: a biased exponent).
  kMxfp4,
};

/// A norm's weights or a linear's biases, converted to f32 at load.
using WeightVector = std::vector<float>;

/// One [rows, cols] matrix, row-major: y[rows] = W x[cols] + bias.
struct WeightMatrix {
  WeightFormat format = WeightFormat::kF32;
  int rows = 0;
  int cols = 0;
  const std::byte* data = nullptr;
  // kAffine and kMxfp4: codes little-endian in 32-bit words; scales and, of
  // kAffine, biases are [rows, cols / group] in scale_format (f32, f16 or
  // bf16), those of kMxfp4 bytes.
  int bits = 0;  // 2, 3, 4, 5, 6, 8
  int group = 0; // 32, 64, 128; all other formats: 32
  WeightFormat scale_format = WeightFormat::kF16;
  const std::byte* scales = nullptr;
  const std::byte* biases = nullptr;
  int row_step = 1;  // kMxfp4: every so manieth row of the file is one of ours
  WeightVector bias; // (rows); empty: none

  bool quantised() const {
    return format != WeightFormat::kF32 && format != WeightFormat::kF16 &&
        format != WeightFormat::kBF16;
  }
  bool mxfp4() const {
    return format == WeightFormat::kMxfp4 ||
        format == WeightFormat::kMxfp4Blocks;
  }
  /// Codes and scales lie apart from each other.
  bool packed() const {
    return format == WeightFormat::kAffine || format == WeightFormat::kMxfp4;
  }
  /// Bytes of the matrix in the file, scales and biases included.
  size_t bytes() const;
};

/// A mixture's router and its experts, each of the latter by number.
struct ExpertWeights {
  WeightMatrix router;                // (n_experts, d_model)
  std::vector<WeightMatrix> gate, up; // (d_ff, d_model)
  std::vector<WeightMatrix> down;     // (d_model, d_ff)

  bool empty() const { return gate.empty(); }
};

/// Parts that the executors fuse at load are kept as lists, in order.
struct LayerWeights {
  WeightVector attention_norm; // (d_model)
  WeightMatrix q, k, v;        // (q_dim | kv_dim, d_model)
  WeightVector q_norm, k_norm; // (head_dim), of each head; empty: none
  WeightVector sinks;          // (n_heads); empty: none
  WeightMatrix o;              // (d_model, q_dim)
  WeightVector o_norm;         // (d_model), of what o yields; empty: none
  WeightVector ffn_norm;       // (d_model)
  WeightMatrix gate, up;       // (d_ff, d_model)
  WeightMatrix down;           // (d_model, d_ff)
  ExpertWeights experts;       // instead of these three; empty: none
  WeightVector down_norm;      // (d_model), of what down yields; empty: none
};

struct ModelWeights {
  WeightMatrix embedding; // (vocab, d_model)
  std::vector<LayerWeights> layers;
  WeightVector final_norm; // (d_model)
  WeightMatrix head;       // (vocab, d_model); the embedding when tied
  std::shared_ptr<const void> mapping; // keeps the file(s) mapped
};

/// Rows `first`, first + step, ... of `w`, `rows` of them, without biases.
/// REQUIRES: they are rows of w; step is 1 unless w is kMxfp4.
WeightMatrix rows_of(const WeightMatrix& w, int first, int rows, int step = 1);

/// Where its codes, scales and biases lie, the latter two perhaps empty.
std::array<std::span<const std::byte>, 3> file_ranges(const WeightMatrix& w);

/// out[cols] = row `row`, dequantised. REQUIRES: 0 <= row < w.rows.
void dequantise_row(const WeightMatrix& w, int row, float* out);

/// Quantised formats only, all brought to w = scale * code + bias:
/// codes[cols] unsigned (Q4_0 0..15 with bias -8d, Q8_0 0..255 with bias
/// -128d, MXFP4 0..24 with bias -12d), scales and biases [cols / group].
/// REQUIRES: w.quantised().
void affine_row(
    const WeightMatrix& w,
    int row,
    uint8_t* codes,
    float* scales,
    float* biases);

/// A row of MXFP4 in the order of kMxfp4, whatever lies in the file:
/// codes[cols / 2], exponents[cols / 32]. REQUIRES: w.mxfp4().
void mxfp4_row(
    const WeightMatrix& w,
    int row,
    uint8_t* codes,
    uint8_t* exponents);

/// Bits of a code as affine_row yields it (4, 5 or 8 for GGUF).
int code_bits(const WeightMatrix& w);

} // namespace stomp

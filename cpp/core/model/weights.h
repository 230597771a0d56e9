// Weights as they lie in the mapped file, under one set of names, and the two
// ways of reading them: dequantised rows and (code, scale, bias) rows.
// Immutable; any thread may read. Pointers live as long as ModelWeights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace stomp {

enum class WeightFormat {
  kF32,
  kF16,
  kBF16,
  kQ4_0, // GGUF: 32 weights = f16 scale d, 16 bytes; w = d * (code - 8)
  kQ4_1, // GGUF: 32 weights = f16 scale d, f16 min m, 16 bytes; w = d*code + m
  kQ8_0, // GGUF: 32 weights = f16 scale d, 32 signed bytes; w = d * code
  kAffine, // MLX: packed codes, one scale and bias a group; w = s*code + b
};

/// A norm's weights or a linear's biases, converted to f32 at load.
using WeightVector = std::vector<float>;

/// One [rows, cols] matrix, row-major: y[rows] = W x[cols] + bias.
struct WeightMatrix {
  WeightFormat format = WeightFormat::kF32;
  int rows = 0;
  int cols = 0;
  const std::byte* data = nullptr;
  // kAffine only: codes little-endian in 32-bit words; scales and biases are
  // [rows, cols / group] in scale_format (f32, f16 or bf16).
  int bits = 0;  // 2, 3, 4, 5, 6, 8
  int group = 0; // 32, 64, 128; GGUF formats: 32
  WeightFormat scale_format = WeightFormat::kF16;
  const std::byte* scales = nullptr;
  const std::byte* biases = nullptr;
  WeightVector bias; // (rows); empty: none

  bool quantised() const {
    return format != WeightFormat::kF32 && format != WeightFormat::kF16 &&
        format != WeightFormat::kBF16;
  }
  /// Bytes of the matrix in the file, scales and biases included.
  size_t bytes() const;
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
  WeightVector down_norm;      // (d_model), of what down yields; empty: none
};

struct ModelWeights {
  WeightMatrix embedding; // (vocab, d_model)
  std::vector<LayerWeights> layers;
  WeightVector final_norm; // (d_model)
  WeightMatrix head;       // (vocab, d_model); the embedding when tied
  std::shared_ptr<const void> mapping; // keeps the file(s) mapped
};

/// out[cols] = row `row`, dequantised. REQUIRES: 0 <= row < w.rows.
void dequantise_row(const WeightMatrix& w, int row, float* out);

/// Quantised formats only, all brought to w = scale * code + bias:
/// codes[cols] unsigned (Q4_0 0..15 with bias -8d, Q8_0 0..255 with bias
/// -128d), scales and biases [cols / group]. REQUIRES: w.quantised().
void affine_row(
    const WeightMatrix& w,
    int row,
    uint8_t* codes,
    float* scales,
    float* biases);

/// Bits of a code as affine_row yields it (4 or 8 for GGUF).
int code_bits(const WeightMatrix& w);

} // namespace stomp

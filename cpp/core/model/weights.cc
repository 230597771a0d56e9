#include "model/weights.h"

#include <array>
#include <cstring>

#include "base/half.h"

namespace stomp {

namespace {

constexpr int kMaxGroup = 128;
constexpr int kGgufGroup = 32;

// Weights may lie at any address: old safetensors writers do not pad.
template <class T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

size_t element_bytes(WeightFormat format) {
  return format == WeightFormat::kF32 ? 4 : 2;
}

/// Bytes of one block of 32 weights; 0 for other than GGUF's formats.
size_t block_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::kQ4_0:
      return 18;
    case WeightFormat::kQ4_1:
      return 20;
    case WeightFormat::kQ8_0:
      return 34;
    default:
      return 0;
  }
}

size_t row_bytes(const WeightMatrix& w) {
  if (w.format == WeightFormat::kAffine) {
    return static_cast<size_t>(w.cols) * w.bits / 8;
  }
  if (w.quantised()) {
    return w.cols / kGgufGroup * block_bytes(w.format);
  }
  return w.cols * element_bytes(w.format);
}

float load_float(const std::byte* p, WeightFormat format, size_t i) {
  switch (format) {
    case WeightFormat::kF32:
      return load<float>(p + 4 * i);
    case WeightFormat::kF16:
      return f16_to_f32(load<uint16_t>(p + 2 * i));
    default: // kBF16
      return bf16_to_f32(load<uint16_t>(p + 2 * i));
  }
}

/// GGUF's order: byte j holds code j in its low half, j + 16 in its high one.
void unpack_halves(const std::byte* p, uint8_t* codes) {
  for (int j = 0; j < 16; j++) {
    const auto byte = std::to_integer<uint8_t>(p[j]);
    codes[j] = byte & 15;
    codes[j + 16] = byte >> 4;
  }
}

/// MLX's order, for every width: code i is bits [i * B, (i + 1) * B) of the
/// little-endian stream, so that eight codes take exactly B bytes.
template <int B>
void unpack_stream(const std::byte* p, int n, uint8_t* codes) {
  for (int i = 0; i < n; i += 8, p += B) {
    uint64_t eight = 0;
    std::memcpy(&eight, p, B);
    for (int j = 0; j < 8; j++) {
      codes[i + j] = (eight >> (j * B)) & ((1u << B) - 1);
    }
  }
}

void unpack_affine(const std::byte* p, int bits, int n, uint8_t* codes) {
  switch (bits) {
    case 2:
      return unpack_stream<2>(p, n, codes);
    case 3:
      return unpack_stream<3>(p, n, codes);
    case 4:
      return unpack_stream<4>(p, n, codes);
    case 5:
      return unpack_stream<5>(p, n, codes);
    case 6:
      return unpack_stream<6>(p, n, codes);
    default:
      std::memcpy(codes, p, n);
  }
}

struct ScaleBias {
  float scale;
  float bias;
};

/// One group's codes, and what turns them into weights. The biases -8d and
/// -128d are exact in f32, and so is d * code: both forms of Q4_0 and Q8_0
/// give the same weights to the bit.
ScaleBias gguf_group(WeightFormat format, const std::byte* p, uint8_t* codes) {
  const float d = f16_to_f32(load<uint16_t>(p));
  switch (format) {
    case WeightFormat::kQ4_0:
      unpack_halves(p + 2, codes);
      return {d, -8 * d};
    case WeightFormat::kQ4_1:
      unpack_halves(p + 4, codes);
      return {d, f16_to_f32(load<uint16_t>(p + 2))};
    default: // kQ8_0
      for (int j = 0; j < kGgufGroup; j++) {
        codes[j] = std::to_integer<uint8_t>(p[2 + j]) ^ 0x80;
      }
      return {d, -128 * d};
  }
}

ScaleBias group_of(const WeightMatrix& w, int row, int index, uint8_t* codes) {
  const std::byte* line = w.data + row_bytes(w) * row;
  if (w.format != WeightFormat::kAffine) {
    return gguf_group(w.format, line + block_bytes(w.format) * index, codes);
  }
  const size_t group_bytes = static_cast<size_t>(w.group) * w.bits / 8;
  unpack_affine(line + group_bytes * index, w.bits, w.group, codes);
  const size_t i = static_cast<size_t>(w.cols / w.group) * row + index;
  return {
      load_float(w.scales, w.scale_format, i),
      load_float(w.biases, w.scale_format, i)};
}

} // namespace

size_t WeightMatrix::bytes() const {
  const size_t n_rows = rows;
  size_t n = row_bytes(*this) * n_rows;
  if (format == WeightFormat::kAffine) {
    n += 2 * n_rows * (cols / group) * element_bytes(scale_format);
  }
  return n;
}

void dequantise_row(const WeightMatrix& w, int row, float* out) {
  if (!w.quantised()) {
    const std::byte* line = w.data + row_bytes(w) * row;
    for (int i = 0; i < w.cols; i++) {
      out[i] = load_float(line, w.format, i);
    }
    return;
  }
  std::array<uint8_t, kMaxGroup> codes;
  for (int g = 0; g < w.cols / w.group; g++) {
    const auto [scale, bias] = group_of(w, row, g, codes.data());
    float* group = out + static_cast<size_t>(g) * w.group;
    for (int i = 0; i < w.group; i++) {
      group[i] = scale * static_cast<float>(codes[i]) + bias;
    }
  }
}

void affine_row(
    const WeightMatrix& w,
    int row,
    uint8_t* codes,
    float* scales,
    float* biases) {
  for (int g = 0; g < w.cols / w.group; g++) {
    const auto [scale, bias] =
        group_of(w, row, g, codes + static_cast<size_t>(g) * w.group);
    scales[g] = scale;
    biases[g] = bias;
  }
}

int code_bits(const WeightMatrix& w) {
  switch (w.format) {
    case WeightFormat::kAffine:
      return w.bits;
    case WeightFormat::kQ8_0:
      return 8;
    default:
      return 4;
  }
}

} // namespace stomp

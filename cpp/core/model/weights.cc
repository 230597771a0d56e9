#include "model/weights.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

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
    case WeightFormat::kMxfp4Blocks:
      return 17;
    default:
      return 0;
  }
}

size_t row_bytes(const WeightMatrix& w) {
  if (w.packed()) {
    return static_cast<size_t>(w.cols) * w.bits / 8;
  }
  if (w.quantised()) {
    return w.cols / kGgufGroup * block_bytes(w.format);
  }
  return w.cols * element_bytes(w.format);
}

/// Of the scales that lie apart from the codes.
size_t scale_row_bytes(const WeightMatrix& w) {
  if (!w.packed()) {
    return 0;
  }
  const size_t groups = w.cols / w.group;
  return w.format == WeightFormat::kMxfp4
      ? groups
      : groups * element_bytes(w.scale_format);
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

/// Twice what each code of MXFP4 stands for, all of them from 0 on.
constexpr int kMxfp4Zero = 12;
constexpr std::array<uint8_t, 16> kMxfp4Codes =
    {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

/// Replaces codes of MXFP4 by those; what the group's power of two makes of
/// them is exact in f32, up to 2^124.
ScaleBias mxfp4_group(std::byte exponent, uint8_t* codes) {
  for (int i = 0; i < kGgufGroup; i++) {
    codes[i] = kMxfp4Codes[codes[i]];
  }
  const auto e = std::to_integer<int>(exponent);
  const float scale = e == 255 ? std::numeric_limits<float>::quiet_NaN()
                               : std::ldexp(1.0f, e - 128);
  return {scale, -kMxfp4Zero * scale};
}

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
    case WeightFormat::kMxfp4Blocks:
      unpack_halves(p + 1, codes);
      return mxfp4_group(p[0], codes);
    default: // kQ8_0
      for (int j = 0; j < kGgufGroup; j++) {
        codes[j] = std::to_integer<uint8_t>(p[2 + j]) ^ 0x80;
      }
      return {d, -128 * d};
  }
}

ScaleBias group_of(const WeightMatrix& w, int row, int index, uint8_t* codes) {
  const size_t in_file = static_cast<size_t>(row) * w.row_step;
  const std::byte* line = w.data + row_bytes(w) * in_file;
  if (!w.packed()) {
    return gguf_group(w.format, line + block_bytes(w.format) * index, codes);
  }
  const size_t group_bytes = static_cast<size_t>(w.group) * w.bits / 8;
  unpack_affine(line + group_bytes * index, w.bits, w.group, codes);
  const size_t i = static_cast<size_t>(w.cols / w.group) * in_file + index;
  if (w.format == WeightFormat::kMxfp4) {
    return mxfp4_group(w.scales[i], codes);
  }
  return {
      load_float(w.scales, w.scale_format, i),
      load_float(w.biases, w.scale_format, i)};
}

} // namespace

size_t WeightMatrix::bytes() const {
  const size_t scales_of_row =
      scale_row_bytes(*this) * (biases != nullptr ? 2 : 1);
  return static_cast<size_t>(rows) * (row_bytes(*this) + scales_of_row);
}

std::array<std::span<const std::byte>, 3> file_ranges(const WeightMatrix& w) {
  const size_t n = static_cast<size_t>(w.rows) * w.row_step;
  const size_t scales = n * scale_row_bytes(w);
  return {
      {{w.data, n * row_bytes(w)},
       {w.scales, scales},
       {w.biases, w.biases != nullptr ? scales : 0}}};
}

WeightMatrix rows_of(const WeightMatrix& w, int first, int rows, int step) {
  WeightMatrix part = w;
  part.rows = rows;
  part.row_step = w.row_step * step;
  part.bias.clear();
  const size_t before = static_cast<size_t>(first) * w.row_step;
  part.data += before * row_bytes(w);
  const size_t scales_before = before * scale_row_bytes(w);
  part.scales += w.scales != nullptr ? scales_before : 0;
  part.biases += w.biases != nullptr ? scales_before : 0;
  return part;
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

void mxfp4_row(
    const WeightMatrix& w,
    int row,
    uint8_t* codes,
    uint8_t* exponents) {
  const size_t in_file = static_cast<size_t>(row) * w.row_step;
  const std::byte* line = w.data + row_bytes(w) * in_file;
  const int groups = w.cols / kGgufGroup;
  if (w.format == WeightFormat::kMxfp4) {
    std::memcpy(codes, line, row_bytes(w));
    std::memcpy(exponents, w.scales + groups * in_file, groups);
    return;
  }
  std::array<uint8_t, kGgufGroup> group;
  for (int g = 0; g < groups; g++, line += block_bytes(w.format)) {
    exponents[g] = std::to_integer<uint8_t>(line[0]);
    unpack_halves(line + 1, group.data());
    for (int i = 0; i < kGgufGroup; i += 2) {
      *codes++ = static_cast<uint8_t>(group[i] | group[i + 1] << 4);
    }
  }
}

int code_bits(const WeightMatrix& w) {
  switch (w.format) {
    case WeightFormat::kAffine:
      return w.bits;
    case WeightFormat::kQ8_0:
      return 8;
    case WeightFormat::kMxfp4:
    case WeightFormat::kMxfp4Blocks:
      return 5;
    default:
      return 4;
  }
}

} // namespace stomp

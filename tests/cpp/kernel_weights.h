// Weights and activations for the tests of the linear kernels: blocks packed
// here, from what kernels.h says of their layout, so that neither the packer
// under test nor a kernel can be wrong unseen.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/half.h"
#include "kernel_checks.h"

namespace kernel_checks {

/// Rows quantised by a table, with the memory they lie in: whole row tiles.
struct Quantised {
  Quantised(const Kernels& kernels, const std::vector<float>& x, int cols)
      : n(static_cast<int>(x.size()) / cols) {
    const int room = (n + kTileRows - 1) / kTileRows * kTileRows;
    const size_t groups = static_cast<size_t>(cols) / kGroup * room;
    codes.assign(groups * kGroup, 77); // rows that nobody wrote
    scales.assign(groups, kNan);
    sums.assign(groups, kNan);
    rows = {codes.data(), scales.data(), sums.data(), cols, room};
    for (int r = 0; r < n; r++) {
      const float* row = x.data() + static_cast<size_t>(r) * cols;
      kernels.quantise_row(row, rows.from(r));
    }
  }
  Quantised(const Quantised&) = delete;

  size_t group(int row, int k) const {
    return static_cast<size_t>(k / kGroup) * rows.rows + row;
  }
  int code(int row, int k) const {
    return codes[group(row, k) * kGroup + k % kGroup];
  }
  float scale(int row, int k) const { return scales[group(row, k)]; }
  float sum(int row, int k) const { return sums[group(row, k)]; }

  int n;
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<float> sums;
  QuantisedRows rows;
};

inline float through_f16(float x) {
  return stomp::f16_to_f32(stomp::f32_to_f16(x));
}

/// A block of random quantised weights, and their values.
struct QuantisedWeights {
  /// `bits` of a code, which the layout may store in more.
  QuantisedWeights(QuantisedLayout l, int bits, uint32_t seed)
      : layout(l),
        codes(size_t{kBlockColumns} * l.cols),
        scales(codes.size() / l.group),
        biases(scales.size()) {
    Random random(seed);
    for (uint8_t& code : codes) {
      code = static_cast<uint8_t>(random.integer(1 << bits));
    }
    for (size_t i = 0; i < scales.size(); i++) {
      scales[i] = exact(random(-0.02f, 0.02f));
      biases[i] = layout.biases ? exact(random(-0.2f, 0.2f))
                                : -layout.centre * scales[i];
    }
    // The smallest and the largest sums there can be.
    const auto most = static_cast<uint8_t>((1 << bits) - 1);
    std::fill_n(codes.begin(), kGroup, layout.e2m1 ? most : uint8_t{0});
    std::fill_n(codes.end() - kGroup, kGroup, layout.e2m1 ? 7 : most);
  }

  float exact(float x) const { return layout.f32_scales ? x : through_f16(x); }
  size_t at(int column, int k) const {
    return static_cast<size_t>(column) * layout.cols + k;
  }
  float scale(int column, int k) const {
    return scales[at(column, k) / layout.group];
  }
  float bias(int column, int k) const {
    return biases[at(column, k) / layout.group];
  }
  /// What a code counts.
  int value(int column, int k) const {
    constexpr int kE2m1[16] = {
        12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    const uint8_t code = codes[at(column, k)];
    return layout.e2m1 ? kE2m1[code] : code;
  }
  double weight(int column, int k) const {
    return double{scale(column, k)} * value(column, k) + bias(column, k);
  }

  /// As kernels.h describes it, with room behind it as kernels fetch ahead.
  std::vector<std::byte> pack() const {
    std::vector<std::byte> block;
    const int fields = 8 / layout.bits;
    for (int k = 0; k < layout.cols; k += layout.group) {
      for (int c = 0; c < kBlockColumns; c++) {
        put(scale(c, k), block);
      }
      for (int c = 0; layout.biases && c < kBlockColumns; c++) {
        put(bias(c, k), block);
      }
    }
    block.resize((block.size() + 63) / 64 * 64); // codes begin a line
    for (int t = 0; t < layout.cols / 4 / fields; t++) {
      for (int i = 0; i < 4 * kBlockColumns; i++) {
        int byte = 0;
        for (int f = 0; f < fields; f++) {
          const int k = 4 * (t * fields + f) + i % 4;
          byte |= codes[at(i / 4, k)] << (f * layout.bits);
        }
        block.push_back(static_cast<std::byte>(byte));
      }
    }
    CHECK_EQUAL(block.size(), layout.bytes());
    return block;
  }

  QuantisedLayout layout;
  std::vector<uint8_t> codes; // (kBlockColumns, cols)
  std::vector<float> scales;  // (kBlockColumns, cols / group)
  std::vector<float> biases;

 private:
  void put(float value, std::vector<std::byte>& block) const {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (!layout.f32_scales) {
      bits = stomp::f32_to_f16(value);
    }
    for (int i = 0; i < (layout.f32_scales ? 4 : 2); i++) {
      block.push_back(static_cast<std::byte>(bits >> (8 * i)));
    }
  }
};

/// How codes of `bits` bits are stored, with a centre in their middle.
inline QuantisedLayout
layout_of(int cols, int bits, int group, bool f32_scales, bool biases) {
  return {
      .cols = cols,
      .bits = bits <= 2 ? 2
          : bits <= 4   ? 4
                        : 8,
      .group = group,
      .f32_scales = f32_scales,
      .biases = biases,
      .centre = 1 << (bits - 1)};
}

/// Codes of E2M1.
inline QuantisedLayout e2m1_layout(int cols) {
  return {
      .cols = cols,
      .bits = 4,
      .e2m1 = true,
      .group = kGroup,
      .f32_scales = true,
      .centre = 12};
}

/// x as an element of `type`, and what that stands for.
struct Element {
  uint32_t bits;
  float value;
};

inline Element element_of(DenseType type, float x) {
  switch (type) {
    case DenseType::kF16: {
      const uint16_t half = stomp::f32_to_f16(x);
      return {half, stomp::f16_to_f32(half)};
    }
    case DenseType::kBF16: {
      const uint16_t half = stomp::f32_to_bf16(x);
      return {half, stomp::bf16_to_f32(half)};
    }
    default: {
      uint32_t bits;
      std::memcpy(&bits, &x, sizeof bits);
      return {bits, x};
    }
  }
}

/// A block of random dense weights; those past `columns` are 0.
struct DenseWeights {
  DenseWeights(DenseLayout l, int columns, uint32_t seed)
      : layout(l), values(size_t{kBlockColumns} * l.cols) {
    Random random(seed);
    for (int c = 0; c < columns; c++) {
      for (int k = 0; k < l.cols; k++) {
        values[at(c, k)] = random(-1, 1);
      }
    }
    values[0] = 3e-6f; // a denormal as f16
    for (float& v : values) {
      v = element_of(l.type, v).value;
    }
  }

  size_t at(int column, int k) const {
    return static_cast<size_t>(column) * layout.cols + k;
  }
  double weight(int column, int k) const { return values[at(column, k)]; }

  std::vector<std::byte> pack() const {
    std::vector<std::byte> block;
    for (int k = 0; k < layout.cols; k++) {
      for (int c = 0; c < kBlockColumns; c++) {
        const uint32_t bits = element_of(layout.type, values[at(c, k)]).bits;
        for (size_t i = 0; i < layout.element_bytes(); i++) {
          block.push_back(static_cast<std::byte>(bits >> (8 * i)));
        }
      }
    }
    CHECK_EQUAL(block.size(), layout.bytes());
    return block;
  }

  DenseLayout layout;
  std::vector<float> values; // (kBlockColumns, cols)
};

/// Row tiles that hold NaN until they are written.
struct Tiles {
  Tiles(int rows, int cols)
      : k_tiles((cols + kTileK - 1) / kTileK),
        values(
            static_cast<size_t>((rows + kTileRows - 1) / kTileRows) * k_tiles *
                kTileElements,
            0x7fc0) {}
  TileRows rows() { return {values.data(), k_tiles}; }
  uint16_t& at(int row, int k) {
    return rows().tile(
        row / kTileRows, k / kTileK)[row % kTileRows * kTileK + k % kTileK];
  }

  int k_tiles;
  std::vector<uint16_t> values;
};

/// Element k of a column of a panel of widened weights.
inline size_t panel_at(int column, int k) {
  return (static_cast<size_t>(k / 2) * kBlockColumns + column) * 2 + k % 2;
}

} // namespace kernel_checks

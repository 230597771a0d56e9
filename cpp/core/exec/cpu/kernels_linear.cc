// Quantised linear: int16 activations times packed codes, exact in integers
// within a group, then one f32 addition a group in ascending K.
// See lanes.h for how this is compiled.
//
// A block holds, group after group of kGroup K:
//   codes   rows of sixteen 32-bit words, one word a column, as many rows as
//           the bits of a code make;
//   scales  kBlockColumns, f16 or f32; then biases likewise, if stored.
// A word is two 16-bit lanes of `fields` centred, signed codes. Field j of
// lane p in row t is code K = 2 * (fields * t + j) + p, so that one 32-bit
// load of two neighbouring activations, repeated for all columns, meets the
// two lanes.
#include "exec/cpu/kernels_parts.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

constexpr int kRowBytes = kBlockColumns * 4; // one word a column

/// Codes of `Bits` bits.
template <int Bits>
struct Packing {
  static constexpr int kFields = 16 / Bits; // to a lane
  static constexpr int kRows = kGroup / 2 / kFields;
  static constexpr int kBytes = kRows * kRowBytes; // of a group
};

size_t scale_bytes(const QuantisedLayout& layout) {
  return layout.f32_scales ? 4 : 2;
}

size_t code_bytes(const QuantisedLayout& layout) {
  return size_t{kBlockColumns} * kGroup * layout.stored_bits / 8;
}

size_t group_bytes(const QuantisedLayout& layout) {
  return code_bytes(layout) +
      kBlockColumns * scale_bytes(layout) * (layout.biases ? 2 : 1);
}

/// Scales and biases of kLanes columns; the biases for centred codes.
struct Affine {
  F32 scale;
  F32 bias;
};

STOMP_INLINE F32
scale_lanes(const QuantisedLayout& layout, const std::byte* p, int column) {
  if (layout.f32_scales) {
    return load<F32>(p + 4 * column);
  }
  return from_f16(reinterpret_cast<const uint16_t*>(p) + column);
}

STOMP_INLINE Affine
affine_lanes(const QuantisedLayout& layout, const std::byte* p, int column) {
  const F32 scale = scale_lanes(layout, p, column);
  if (!layout.biases) {
    return {scale, F32{}};
  }
  const F32 bias =
      scale_lanes(layout, p + kBlockColumns * scale_bytes(layout), column);
  return {scale, bias + scale * static_cast<float>(layout.centre)};
}

/// Two activations to every pair of lanes.
STOMP_INLINE I16 pair(const int16_t* p) {
  int32_t both;
  __builtin_memcpy(&both, p, sizeof both);
  return (I16)splat<I32>(both);
}

/// Fetches what the loop will come to: the packed bytes are read once, in
/// order, faster than the processor foresees by itself.
template <int Bits>
STOMP_INLINE void fetch_ahead(const std::byte* group) {
  constexpr int kAhead = 4096;
  constexpr int kLine = 64;
  STOMP_UNROLL
  for (int i = 0; i <= Packing<Bits>::kBytes; i += kLine) {
    __builtin_prefetch(group + kAhead + i);
  }
}

/// dots[r] = the group's codes times rows[r], for kLanes columns.
template <int Bits, int R>
STOMP_INLINE void group_dots(
    const std::byte* group,
    int column,
    const int16_t* const (&rows)[R],
    I32 (&dots)[R]) {
  using P = Packing<Bits>;
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    dots[r] = I32{};
  }
  STOMP_UNROLL
  for (int t = 0; t < P::kRows; t++) {
    const U16 words = load<U16>(group + t * kRowBytes + column * 4);
    STOMP_UNROLL
    for (int j = 0; j < P::kFields; j++) {
      const I16 codes = (I16)(words << (16 - Bits * (j + 1))) >> (16 - Bits);
      STOMP_UNROLL
      for (int r = 0; r < R; r++) {
        dots[r] = add_products(
            dots[r], codes, pair(rows[r] + 2 * (P::kFields * t + j)));
      }
    }
  }
}

/// R rows times kLanes columns.
template <int Bits, int R>
STOMP_INLINE void tile_columns(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& in,
    int column,
    float* y,
    size_t y_stride) {
  const size_t cols = in.cols;
  const size_t groups = cols / kGroup;
  const size_t bytes = group_bytes(layout);
  const int16_t* rows[R];
  F32 acc[R];
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    rows[r] = reinterpret_cast<const int16_t*>(in.codes) + r * cols;
    acc[r] = F32{};
  }
  for (size_t g = 0; g < groups; g++, block += bytes) {
    fetch_ahead<Bits>(block);
    I32 dots[R];
    group_dots<Bits>(block, column, rows, dots);
    const Affine affine =
        affine_lanes(layout, block + Packing<Bits>::kBytes, column);
    STOMP_UNROLL
    for (int r = 0; r < R; r++) {
      const F32 scale = affine.scale * in.scales[r * groups + g];
      acc[r] += __builtin_convertvector(dots[r], F32) * scale +
          affine.bias * in.sums[r * groups + g];
      rows[r] += kGroup;
    }
  }
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    store(y + r * y_stride + column, acc[r]);
  }
}

template <int Bits, int R>
void tile(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& in,
    float* y,
    size_t y_stride) {
  for (int column = 0; column < kBlockColumns; column += kLanes) {
    tile_columns<Bits, R>(layout, block, in, column, y, y_stride);
  }
}

using Tile = void (*)(
    const QuantisedLayout&,
    const std::byte*,
    const QuantisedRows&,
    float*,
    size_t);

/// The tile for so many rows, or for as many as it can.
template <int Bits>
Tile tile_of(int rows) {
  static_assert(kManyRows == 4 || kManyRows == 8);
  if constexpr (kManyRows == 8) {
    constexpr Tile kTiles[] = {
        tile<Bits, 4>, tile<Bits, 5>, tile<Bits, 6>, tile<Bits, 7>};
    if (rows >= 4 && rows < 8) {
      return kTiles[rows - 4];
    }
  }
  constexpr Tile kFew[] = {tile<Bits, 1>, tile<Bits, 2>, tile<Bits, 3>};
  return rows < 4 ? kFew[rows - 1] : tile<Bits, kManyRows>;
}

/// Every tile of rows unpacks the codes anew: in registers that costs less
/// than fetching them unpacked.
template <int Bits>
void linear(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& rows,
    int n_rows,
    float* y,
    size_t y_stride) {
  for (int r = 0; r < n_rows; r += kManyRows) {
    const int left = n_rows - r;
    const Tile run = tile_of<Bits>(left < kManyRows ? left : kManyRows);
    run(layout,
        block,
        rows.from(r, sizeof(int16_t)),
        y + r * y_stride,
        y_stride);
  }
}

/// Puts a centred code where the kernels look for it.
void put_code(std::byte* group, int bits, int column, int k, int code) {
  const int fields = 16 / bits;
  const int row = k / 2 / fields;
  const int shift = k / 2 % fields * bits;
  std::byte* lane = group + row * kRowBytes + column * 4 + k % 2 * 2;
  uint16_t word;
  __builtin_memcpy(&word, lane, sizeof word);
  word |= static_cast<uint16_t>((code & ((1 << bits) - 1)) << shift);
  __builtin_memcpy(lane, &word, sizeof word);
}

void put_scale(const QuantisedLayout& layout, std::byte* p, float value) {
  if (layout.f32_scales) {
    __builtin_memcpy(p, &value, sizeof value);
  } else {
    uint16_t half;
    to_f16(&value, 1, &half);
    __builtin_memcpy(p, &half, sizeof half);
  }
}

} // namespace

size_t quantised_block_bytes(const QuantisedLayout& layout) {
  return layout.cols / kGroup * group_bytes(layout);
}

void pack_quantised(
    const QuantisedLayout& layout,
    const uint8_t* codes,
    const float* scales,
    const float* biases,
    std::byte* block) {
  const int groups = layout.cols / kGroup;
  const size_t step = scale_bytes(layout);
  for (int g = 0; g < groups; g++, block += group_bytes(layout)) {
    __builtin_memset(block, 0, group_bytes(layout));
    std::byte* affine = block + code_bytes(layout);
    for (int c = 0; c < kBlockColumns; c++) {
      const uint8_t* column = codes + c * layout.cols + g * kGroup;
      for (int k = 0; k < kGroup; k++) {
        put_code(block, layout.stored_bits, c, k, column[k] - layout.centre);
      }
      const int i = c * groups + g;
      put_scale(layout, affine + c * step, scales[i]);
      if (layout.biases) {
        put_scale(layout, affine + (kBlockColumns + c) * step, biases[i]);
      }
    }
  }
}

void linear_quantised(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& rows,
    int n_rows,
    float* y,
    size_t y_stride,
    std::byte*) {
  const auto run = layout.stored_bits == 8 ? linear<8>
      : layout.stored_bits == 4            ? linear<4>
                                           : linear<2>;
  run(layout, block, rows, n_rows, y, y_stride);
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

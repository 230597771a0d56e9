// Quantised linear: int16 activations times packed codes, exact in integers
// within a group, then one f32 addition a group in ascending K.
// See lanes.h for how this is compiled.
//
// A block holds, group after group of kGroup K:
//   planes  1 (4 bits) or 2 (8 bits: high nibbles, then low ones), each of
//           four rows of sixteen 32-bit words, one word a column;
//   scales  kBlockColumns, f16 or f32; then biases likewise, if stored.
// A word is two 16-bit lanes of four nibbles. Nibble j of lane p in row t is
// code K = 8t + 2j + p, so that one 32-bit load of two neighbouring
// activations, repeated for all columns, meets the two lanes.
//
// Codes are centred: nibbles are signed, except the low plane's.
#include "exec/cpu/kernels_parts.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

constexpr int kRowBytes = kBlockColumns * 4; // one word a column
constexpr int kWordRows = 4;
constexpr int kPlaneBytes = kWordRows * kRowBytes;
constexpr int kSteps = kGroup / 2; // pairs of K in a group

// A group unpacked: kSteps rows of lanes for each plane, then f32 scales and
// biases for centred codes.
constexpr int kUnpackedPlane = kSteps * kRowBytes;

constexpr int unpacked_bytes(int planes) {
  return planes * kUnpackedPlane + 2 * kBlockColumns * 4;
}

int planes_of(const QuantisedLayout& layout) {
  return layout.stored_bits / 4;
}

size_t scale_bytes(const QuantisedLayout& layout) {
  return layout.f32_scales ? 4 : 2;
}

size_t group_bytes(const QuantisedLayout& layout) {
  return planes_of(layout) * size_t{kPlaneBytes} +
      kBlockColumns * scale_bytes(layout) * (layout.biases ? 2 : 1);
}

/// The four rows of lanes that one row of words holds.
template <bool Signed>
STOMP_INLINE void nibbles(const std::byte* p, I16 (&out)[4]) {
  const U16 words = load<U16>(p);
  STOMP_UNROLL
  for (int j = 0; j < 4; j++) {
    if constexpr (Signed) {
      out[j] = (I16)(words << (12 - 4 * j)) >> 12;
    } else {
      out[j] = (I16)((words >> (4 * j)) & 15);
    }
  }
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
packed_affine(const QuantisedLayout& layout, const std::byte* p, int column) {
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

struct Chunk {
  const QuantisedLayout& layout;
  const std::byte* groups; // packed or unpacked, the first of the chunk
  size_t group_bytes;
  int first; // group
  int n;
};

/// How the bytes of a group lie, packed or unpacked.
template <int Planes, bool Unpacked>
struct Form {
  static constexpr int kPlane = Unpacked ? kUnpackedPlane : kPlaneBytes;

  template <bool Signed>
  STOMP_INLINE static void
  lanes(const std::byte* plane, int t, int column, I16 (&out)[4]) {
    if constexpr (Unpacked) {
      STOMP_UNROLL
      for (int j = 0; j < 4; j++) {
        out[j] = load<I16>(plane + (4 * t + j) * kRowBytes + column * 4);
      }
    } else {
      nibbles<Signed>(plane + t * kRowBytes + column * 4, out);
    }
  }

  STOMP_INLINE static Affine
  affine(const QuantisedLayout& layout, const std::byte* group, int column) {
    const std::byte* scales = group + Planes * kPlane;
    if constexpr (Unpacked) {
      return {
          load<F32>(scales + column * 4),
          load<F32>(scales + (kBlockColumns + column) * 4)};
    } else {
      return packed_affine(layout, scales, column);
    }
  }
};

/// Fetches what the loop will come to: the packed bytes are read once, in
/// order, faster than the processor foresees by itself.
template <int Planes>
STOMP_INLINE void fetch_ahead(const std::byte* group) {
  constexpr int kAhead = 4096;
  constexpr int kLine = 64;
  STOMP_UNROLL
  for (int i = 0; i <= Planes * kPlaneBytes; i += kLine) {
    __builtin_prefetch(group + kAhead + i);
  }
}

/// dots[r] = the plane's codes times rows[r], for kLanes columns.
template <class F, bool Signed, int R>
STOMP_INLINE void plane_dots(
    const std::byte* plane,
    int column,
    const int16_t* const (&rows)[R],
    I32 (&dots)[R]) {
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    dots[r] = I32{};
  }
  STOMP_UNROLL
  for (int t = 0; t < kWordRows; t++) {
    I16 w[4];
    F::template lanes<Signed>(plane, t, column, w);
    STOMP_UNROLL
    for (int j = 0; j < 4; j++) {
      STOMP_UNROLL
      for (int r = 0; r < R; r++) {
        dots[r] = add_products(dots[r], w[j], pair(rows[r] + 8 * t + 2 * j));
      }
    }
  }
}

/// R rows times kLanes columns, over a chunk of K.
template <int Planes, int R, bool Unpacked>
STOMP_INLINE void tile_columns(
    const Chunk& chunk,
    const QuantisedRows& in,
    int column,
    float* y,
    size_t y_stride) {
  using F = Form<Planes, Unpacked>;
  const size_t cols = in.cols;
  const size_t groups = cols / kGroup;
  const auto* codes =
      reinterpret_cast<const int16_t*>(in.codes) + chunk.first * kGroup;
  const int16_t* rows[R];
  F32 acc[R];
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    rows[r] = codes + r * cols;
    acc[r] = chunk.first ? load<F32>(y + r * y_stride + column) : F32{};
  }
  for (int g = 0; g < chunk.n; g++) {
    const std::byte* group = chunk.groups + g * chunk.group_bytes;
    const size_t at = chunk.first + g;
    if constexpr (!Unpacked) {
      fetch_ahead<Planes>(group);
    }
    I32 dots[R];
    plane_dots<F, true>(group, column, rows, dots);
    if constexpr (Planes == 2) {
      I32 low[R];
      // Loading the activations again is free; keeping them all is not.
      __asm__ volatile("" ::: "memory");
      plane_dots<F, false>(group + F::kPlane, column, rows, low);
      STOMP_UNROLL
      for (int r = 0; r < R; r++) {
        dots[r] = dots[r] * 16 + low[r];
      }
    }
    const Affine affine = F::affine(chunk.layout, group, column);
    STOMP_UNROLL
    for (int r = 0; r < R; r++) {
      const F32 scale = affine.scale * in.scales[r * groups + at];
      acc[r] += __builtin_convertvector(dots[r], F32) * scale +
          affine.bias * in.sums[r * groups + at];
      rows[r] += kGroup;
    }
  }
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    store(y + r * y_stride + column, acc[r]);
  }
}

template <int Planes, int R, bool Unpacked>
void tile(
    const Chunk& chunk,
    const QuantisedRows& in,
    float* y,
    size_t y_stride) {
  for (int column = 0; column < kBlockColumns; column += kLanes) {
    tile_columns<Planes, R, Unpacked>(chunk, in, column, y, y_stride);
  }
}

using Tile = void (*)(const Chunk&, const QuantisedRows&, float*, size_t);

template <int Planes, bool Unpacked>
Tile tile_of(int rows) {
  static_assert(kManyRows == 4 || kManyRows == 8);
  constexpr bool kWider = kManyRows == 8;
  switch (rows) {
    case 1:
      return tile<Planes, 1, Unpacked>;
    case 2:
      return tile<Planes, 2, Unpacked>;
    case 3:
      return tile<Planes, 3, Unpacked>;
    case 4:
      return tile<Planes, 4, Unpacked>;
    case 5:
      return tile < Planes, kWider ? 5 : 4, Unpacked > ;
    case 6:
      return tile < Planes, kWider ? 6 : 4, Unpacked > ;
    case 7:
      return tile < Planes, kWider ? 7 : 4, Unpacked > ;
    default:
      return tile<Planes, kManyRows, Unpacked>;
  }
}

/// Unpacks kLanes columns of one plane.
template <bool Signed>
STOMP_INLINE void unpack_plane(const std::byte* p, int column, std::byte* out) {
  for (int t = 0; t < kWordRows; t++) {
    I16 lanes[4];
    nibbles<Signed>(p + t * kRowBytes + column * 4, lanes);
    STOMP_UNROLL
    for (int j = 0; j < 4; j++) {
      store(out + (4 * t + j) * kRowBytes + column * 4, lanes[j]);
    }
  }
}

template <int Planes>
void unpack(const Chunk& chunk, std::byte* out) {
  for (int g = 0; g < chunk.n; g++, out += unpacked_bytes(Planes)) {
    const std::byte* group = chunk.groups + g * chunk.group_bytes;
    std::byte* scales = out + Planes * kUnpackedPlane;
    for (int column = 0; column < kBlockColumns; column += kLanes) {
      unpack_plane<true>(group, column, out);
      if constexpr (Planes == 2) {
        unpack_plane<false>(group + kPlaneBytes, column, out + kUnpackedPlane);
      }
      const Affine affine =
          packed_affine(chunk.layout, group + Planes * kPlaneBytes, column);
      store(scales + column * 4, affine.scale);
      store(scales + (kBlockColumns + column) * 4, affine.bias);
    }
  }
}

template <int Planes>
void linear(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& rows,
    int n_rows,
    float* y,
    size_t y_stride,
    std::byte* scratch) {
  const int groups = layout.cols / kGroup;
  const size_t bytes = group_bytes(layout);
  // Few rows take the codes straight from the packed bytes, many share them
  // unpacked.
  const bool many = n_rows > kManyRows;
  for (int first = 0; first < groups; first += kChunkGroups) {
    const int n = groups - first < kChunkGroups ? groups - first : kChunkGroups;
    Chunk chunk{layout, block + first * bytes, bytes, first, n};
    if (many) {
      unpack<Planes>(chunk, scratch);
      chunk.groups = scratch;
      chunk.group_bytes = unpacked_bytes(Planes);
    }
    for (int r = 0; r < n_rows; r += kManyRows) {
      const int take = n_rows - r < kManyRows ? n_rows - r : kManyRows;
      const Tile run =
          many ? tile_of<Planes, true>(take) : tile_of<Planes, false>(take);
      run(chunk, rows.from(r, sizeof(int16_t)), y + r * y_stride, y_stride);
    }
  }
}

/// Puts a 4-bit code where the kernels look for it.
void put_nibble(std::byte* plane, int column, int k, int code) {
  std::byte& at =
      plane[k / 8 * kRowBytes + column * 4 + k % 2 * 2 + k % 8 / 2 / 2];
  at |= static_cast<std::byte>((code & 15) << (k % 8 / 2 % 2 * 4));
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
  const int planes = planes_of(layout);
  for (int g = 0; g < groups; g++, block += group_bytes(layout)) {
    __builtin_memset(block, 0, group_bytes(layout));
    std::byte* affine = block + planes * kPlaneBytes;
    for (int c = 0; c < kBlockColumns; c++) {
      const uint8_t* column = codes + c * layout.cols + g * kGroup;
      for (int k = 0; k < kGroup; k++) {
        const int code = column[k] - layout.centre;
        put_nibble(block, c, k, planes == 2 ? code >> 4 : code);
        if (planes == 2) {
          put_nibble(block + kPlaneBytes, c, k, code);
        }
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
    std::byte* scratch) {
  (planes_of(layout) == 2
       ? linear<2>
       : linear<1>)(layout, block, rows, n_rows, y, y_stride, scratch);
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

// Quantised linear: int8 activations times unsigned codes, exact in integers
// within a group, then two fused f32 additions a group in ascending K.
// See lanes.h for how this is compiled, kernels.h for how a block is packed.
#include "exec/cpu/affine.h"
#include "exec/cpu/code_forms.h"
#include "exec/cpu/dot_products.h"
#include "exec/cpu/kernels_parts.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

// Bytes of a block that one K of four takes in one column part.
constexpr int kRowBytes = kBlockColumns * 4;

/// Codes of one form, of kGroup K: rows of kRowBytes, `kFields` quads of K in
/// each byte.
template <class Form>
struct Packing {
  static constexpr int kBits = Form::kBits;
  static constexpr int kFields = 8 / kBits;
  static constexpr int kRows = kGroup / 4 / kFields;
  static constexpr int kBytes = kRows * kRowBytes;

  STOMP_INLINE static U8 field(const U8& bytes, int f) {
    if constexpr (kBits == 8) {
      return Form::values(bytes);
    } else {
      return Form::values(
          (U8)((U16)bytes >> (kBits * f)) &
          static_cast<uint8_t>((1 << kBits) - 1));
    }
  }
};

/// acc += a row's products of one group, and its term of the biases.
STOMP_INLINE void add_row(
    const I32& dots,
    const Affine& affine,
    float scale,
    float sum,
    F32& acc) {
  const F32 products = __builtin_convertvector(dots, F32);
  acc = fma(products, affine.scale * scale, acc);
  acc = fma(affine.bias, splat(sum), acc);
}

// acc[r] += one group of row r times kLanes columns.
#if defined(__AVX512BW__)

/// Row by row: the group's codes stay in registers, of which there are enough.
template <class Form, int R>
STOMP_INLINE void add_group(
    const std::byte* codes,
    const Affine& affine,
    const QuantisedRows& group,
    F32 (&acc)[R]) {
  using P = Packing<Form>;
  U8 fields[kGroup / 4];
  STOMP_UNROLL
  for (int q = 0; q < kGroup / 4; q++) {
    const U8 bytes = load<U8>(codes + q / P::kFields * kRowBytes);
    fields[q] = P::field(bytes, q % P::kFields);
  }
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    Dots<Form::kValueBits> dots;
    STOMP_UNROLL
    for (int q = 0; q < kGroup / 4; q++) {
      dots.add(fields[q], group.codes + r * kGroup + 4 * q);
    }
    add_row(dots.total(), affine, group.scales[r], group.sums[r], acc[r]);
  }
}

#else

/// Four K at a time: their codes stay in a register while all rows pass by.
template <class Form, int R>
STOMP_INLINE void add_group(
    const std::byte* codes,
    const Affine& affine,
    const QuantisedRows& group,
    F32 (&acc)[R]) {
  using P = Packing<Form>;
  Dots<Form::kValueBits> dots[R];
  STOMP_UNROLL
  for (int t = 0; t < P::kRows; t++) {
    const U8 bytes = load<U8>(codes + t * kRowBytes);
    STOMP_UNROLL
    for (int f = 0; f < P::kFields; f++) {
      const U8 field = P::field(bytes, f);
      const int q = t * P::kFields + f;
      STOMP_UNROLL
      for (int r = 0; r < R; r++) {
        dots[r].add(field, group.codes + r * kGroup + 4 * q);
      }
    }
  }
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    add_row(dots[r].total(), affine, group.scales[r], group.sums[r], acc[r]);
  }
}

#endif

/// R rows times kLanes columns.
template <class Form, int R>
STOMP_INLINE void tile_columns(
    const QuantisedLayout& layout,
    const std::byte* block,
    QuantisedRows in,
    int column,
    const LinearOutput& out) {
  const int parts = layout.group / kGroup;
  const size_t affine_bytes = layout.affine_bytes();
  const std::byte* affine = block;
  const std::byte* codes = block + layout.codes_at() + 4 * column;
  const int fetched = static_cast<int>(layout.bytes() / layout.cols) * kGroup;
  // Block after block is read faster than the processor foresees by itself.
  constexpr int kAhead = 4096;
  F32 acc[R] = {};
  for (int i = layout.cols / layout.group; i > 0; i--, affine += affine_bytes) {
    const Affine a = affine_at(layout, affine, column);
    for (int part = 0; part < parts; part++) {
      if (column == 0) {
        fetch(block + kAhead, fetched);
        block += fetched;
      }
      add_group<Form, R>(codes, a, in, acc);
      codes += Packing<Form>::kBytes;
      in = in.next_group();
    }
  }
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    float* y = out.row(r) + column;
    store(y, out.add ? load<F32>(y) + acc[r] : acc[r]);
  }
}

template <class Form, int R>
void tile(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& in,
    const LinearOutput& out) {
  for (int column = 0; column < kBlockColumns; column += kLanes) {
    tile_columns<Form, R>(layout, block, in, column, out);
  }
}

using Tile = void (*)(
    const QuantisedLayout&,
    const std::byte*,
    const QuantisedRows&,
    const LinearOutput&);

/// Rows that one tile takes. Sums that find no register wait in the first-level
/// cache, which costs less than unpacking the codes once more.
#if defined(__AVX2__)
constexpr int kMostRows = 16;
#else
constexpr int kMostRows = 4;
#endif

template <class Form, int... I>
Tile tile_of(int rows, Numbers<I...>) {
  static constexpr Tile kTiles[] = {tile<Form, I + 1>...};
  return kTiles[rows - 1];
}

/// As few tiles of rows as can be, of about the same size. Each unpacks the
/// codes anew: in registers that costs less than fetching them unpacked.
template <class Form>
void linear(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& rows,
    int n_rows,
    const LinearOutput& out) {
  int r = 0;
  for (int tiles = (n_rows + kMostRows - 1) / kMostRows; tiles > 0; tiles--) {
    const int some = (n_rows - r) / tiles;
    const Tile run = tile_of<Form>(some, UpTo<kMostRows>{});
    run(layout, block, rows.from(r), out.from(r));
    r += some;
  }
}

} // namespace

void linear_quantised(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& rows,
    int n_rows,
    const LinearOutput& out) {
  const auto run = layout.e2m1 ? linear<E2m1>
      : layout.bits == 8       ? linear<Plain<8>>
      : layout.bits == 4       ? linear<Plain<4>>
                               : linear<Plain<2>>;
  run(layout, block, rows, n_rows, out);
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

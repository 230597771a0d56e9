// Linear layers on the matrix units: bf16 for prefill rows, with the weights
// widened on the fly.
#include "exec/cpu/affine.h"
#include "exec/cpu/amx_kernels.h"
#include "exec/cpu/amx_tiles.h"
#include "exec/cpu/code_forms.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

constexpr int kLineBytes = 64;
constexpr int kTileBytes = kTileElements * 2;

STOMP_INLINE U8 low_bits(const U8& bytes, int shift, int mask) {
  return (U8)((U16)bytes >> shift) & static_cast<uint8_t>(mask);
}

// ---- widening weights to bf16 ----

/// One quad of K of sixteen columns to two rows of pairs.
STOMP_INLINE void
widen_quad(const U8& codes, const Affine& affine, uint16_t* panel) {
  // Byte i of every lane, alone: in one instruction each.
  constexpr __mmask64 kLowest = 0x1111111111111111;
  const auto byte = [&](int i) __attribute__((always_inline)) {
    const __m512i from = _mm512_set4_epi32(12 + i, 8 + i, 4 + i, i);
    return (I32)_mm512_maskz_shuffle_epi8(kLowest, (__m512i)codes, from);
  };
  const I32 code[4] = {
      (I32)codes & 255, byte(1), byte(2), (I32)((U32)codes >> 24)};
  F32 w[4];
  STOMP_UNROLL
  for (int i = 0; i < 4; i++) {
    w[i] =
        fma(__builtin_convertvector(code[i], F32), affine.scale, affine.bias);
  }
  _mm512_storeu_si512(panel, pairs_of(w[0], w[1]));
  _mm512_storeu_si512(panel + 2 * kBlockColumns, pairs_of(w[2], w[3]));
}

template <class Form>
STOMP_INLINE void
widen_group(const std::byte* codes, const Affine& affine, uint16_t* panel) {
  constexpr int kFields = 8 / Form::kBits;
  constexpr int kMask = (1 << Form::kBits) - 1;
  STOMP_UNROLL
  for (int t = 0; t < kGroup / 4 / kFields; t++) {
    const U8 bytes = load<U8>(codes + t * kLineBytes);
    STOMP_UNROLL
    for (int f = 0; f < kFields; f++) {
      const U8 codes_of_quad = low_bits(bytes, Form::kBits * f, kMask);
      widen_quad(Form::values(codes_of_quad), affine, panel);
      panel += 4 * kBlockColumns;
    }
  }
}

template <class Form>
void widen(
    const QuantisedLayout& layout,
    const std::byte* block,
    int first_k,
    int n_k,
    uint16_t* panel) {
  constexpr int kBytes = kBlockColumns * kGroup * Form::kBits / 8;
  constexpr int kAhead = 2048;
  const int parts = layout.group / kGroup;
  const std::byte* affine = block;
  for (int k = first_k; k < first_k + n_k; k++, panel += kTileElements) {
    const std::byte* codes =
        block + layout.codes_at() + static_cast<ptrdiff_t>(k) * kBytes;
    fetch(codes + kAhead, kBytes);
    const Affine a =
        affine_at(layout, affine + k / parts * layout.affine_bytes(), 0);
    widen_group<Form>(codes, a, panel);
  }
}

STOMP_INLINE F32 dense_row(DenseType type, const std::byte* p) {
  switch (type) {
    case DenseType::kF32:
      return load<F32>(p);
    case DenseType::kF16:
      return from_f16(reinterpret_cast<const uint16_t*>(p));
    default:
      return (F32)(__builtin_convertvector(load<H16>(p), U32) << 16);
  }
}

} // namespace

void widen_quantised(
    const QuantisedLayout& layout,
    const std::byte* block,
    int first_k,
    int n_k,
    uint16_t* panel) {
  const auto run = layout.e2m1 ? widen<E2m1>
      : layout.bits == 8       ? widen<Plain<8>>
      : layout.bits == 4       ? widen<Plain<4>>
                               : widen<Plain<2>>;
  run(layout, block, first_k, n_k, panel);
}

void widen_dense(
    const DenseLayout& layout,
    const std::byte* block,
    int first_k,
    int n_k,
    uint16_t* panel) {
  const size_t row_bytes = kBlockColumns * layout.element_bytes();
  const auto row = [&](int k) __attribute__((always_inline)) {
    return k < layout.cols ? dense_row(layout.type, block + k * row_bytes)
                           : F32{};
  };
  const int end = (first_k + n_k) * kTileK;
  for (int k = first_k * kTileK; k < end; k += 2, panel += 2 * kBlockColumns) {
    _mm512_storeu_si512(panel, pairs_of(row(k), row(k + 1)));
  }
}

// ---- bf16 products ----

void round_row(
    const float* x,
    int n,
    float scale,
    const TileRows& out,
    int row,
    int first) {
  const int at = row % kTileRows * kTileK;
  for (int k = 0; k < n; k += kTileK) {
    F32 half[2] = {};
    for (int h = 0; h < 2; h++) {
      const int from = k + h * kLanes;
      const int left = n - from;
      if (left >= kLanes) {
        half[h] = load<F32>(x + from) * scale;
      } else if (left > 0) {
        const auto mask = static_cast<__mmask16>((1u << left) - 1);
        half[h] = (F32)_mm512_maskz_loadu_ps(mask, x + from) * scale;
      }
    }
    _mm512_storeu_si512(
        out.tile(row / kTileRows, (first + k) / kTileK) + at,
        (__m512i)_mm512_cvtne2ps_pbh((__m512)half[1], (__m512)half[0]));
  }
}

namespace {

template <Activation A>
void round_activated(
    const float* gate_up,
    int n,
    const TileRows& out,
    int first) {
  for (int r = 0; r < n; r++, gate_up += 2 * kBlockColumns) {
    const F32 gate = load<F32>(gate_up);
    const F32 up = load<F32>(gate_up + kBlockColumns);
    const F32 y = activated<A>(gate, up);
    uint16_t* to = out.tile(r / kTileRows, first / kTileK) +
        r % kTileRows * kTileK + first % kTileK;
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh((__m512)y));
  }
}

} // namespace

void round_gated(
    Activation activation,
    const float* gate_up,
    int n,
    const TileRows& out,
    int first) {
  switch (activation) {
    case Activation::kSilu:
      return round_activated<Activation::kSilu>(gate_up, n, out, first);
    case Activation::kGeluTanh:
      return round_activated<Activation::kGeluTanh>(gate_up, n, out, first);
    case Activation::kClampedSwiglu:
      return round_activated<Activation::kClampedSwiglu>(
          gate_up, n, out, first);
  }
}

namespace {

/// One row tile, or two when Two, times both panels.
template <bool Two>
STOMP_INLINE void multiply_tiles(const TileProduct& p, int row_tile) {
  const LinearOutput a = p.out[0].from(row_tile * kTileRows);
  const LinearOutput b = p.out[1].from(row_tile * kTileRows);
  const auto below = [](const LinearOutput& out)
                         __attribute__((always_inline)) {
                           return out.y + kTileRows * out.stride;
                         };
  const size_t a_step = a.stride * sizeof(float);
  const size_t b_step = b.stride * sizeof(float);
  if (a.add) {
    _tile_loadd(0, a.y, a_step);
    _tile_loadd(1, b.y, b_step);
    if constexpr (Two) {
      _tile_loadd(2, below(a), a_step);
      _tile_loadd(3, below(b), b_step);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (Two) {
      _tile_zero(2);
      _tile_zero(3);
    }
  }
  const uint16_t* x = p.rows.tile(row_tile, p.first_k);
  const uint16_t* x_below =
      x + static_cast<size_t>(p.rows.k_tiles) * kTileElements;
  constexpr int kAhead = 4 * kTileElements;
  for (int k = 0; k < p.n_k; k++) {
    const int at = k * kTileElements;
    fetch(x + at + kAhead, kTileBytes);
    if constexpr (Two) {
      fetch(x_below + at + kAhead, kTileBytes);
    }
    _tile_loadd(6, p.panels[0] + at, kLineBytes);
    _tile_loadd(4, x + at, kLineBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, p.panels[1] + at, kLineBytes);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (Two) {
      _tile_loadd(5, x_below + at, kLineBytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, a.y, a_step);
  _tile_stored(1, b.y, b_step);
  if constexpr (Two) {
    _tile_stored(2, below(a), a_step);
    _tile_stored(3, below(b), b_step);
  }
}

} // namespace

void multiply(const TileProduct& product) {
  const TilesInUse tiles;
  int t = 0;
  for (; t + 2 <= product.row_tiles; t += 2) {
    multiply_tiles<true>(product, t);
  }
  if (t < product.row_tiles) {
    multiply_tiles<false>(product, t);
  }
}

// ---- few rows ----

namespace {

STOMP_INLINE float* row_tile_of(const LinearOutput& out, int tile) {
  return out.row(tile * kTileRows);
}

// Tiles 0 to R - 1 hold the sums of R tiles of rows, 7 the weights.

template <int R>
STOMP_INLINE void load_sums(const LinearOutput& out) {
  const size_t step = out.stride * sizeof(float);
  _tile_loadd(0, row_tile_of(out, 0), step);
  if constexpr (R > 1) {
    _tile_loadd(1, row_tile_of(out, 1), step);
  }
  if constexpr (R > 2) {
    _tile_loadd(2, row_tile_of(out, 2), step);
  }
  if constexpr (R > 3) {
    _tile_loadd(3, row_tile_of(out, 3), step);
  }
}

template <int R>
STOMP_INLINE void store_sums(const LinearOutput& out) {
  const size_t step = out.stride * sizeof(float);
  _tile_stored(0, row_tile_of(out, 0), step);
  if constexpr (R > 1) {
    _tile_stored(1, row_tile_of(out, 1), step);
  }
  if constexpr (R > 2) {
    _tile_stored(2, row_tile_of(out, 2), step);
  }
  if constexpr (R > 3) {
    _tile_stored(3, row_tile_of(out, 3), step);
  }
}

template <int R>
STOMP_INLINE void add_products(const TileRows& rows, int k) {
  _tile_loadd(4, rows.tile(0, k), kLineBytes);
  _tile_dpbf16ps(0, 4, 7);
  if constexpr (R > 1) {
    _tile_loadd(5, rows.tile(1, k), kLineBytes);
    _tile_dpbf16ps(1, 5, 7);
  }
  if constexpr (R > 2) {
    _tile_loadd(6, rows.tile(2, k), kLineBytes);
    _tile_dpbf16ps(2, 6, 7);
  }
  if constexpr (R > 3) {
    _tile_loadd(4, rows.tile(3, k), kLineBytes);
    _tile_dpbf16ps(3, 4, 7);
  }
}

/// R tiles of rows times a block. The units multiply one tile of K while the
/// next is widened, in first-level cache.
template <class Form, int R>
void multiply_widening(
    const QuantisedLayout& layout,
    const std::byte* block,
    const TileRows& rows,
    const LinearOutput& out) {
  // The units read what has reached the cache, which takes a while.
  constexpr int kAhead = 2;
  constexpr int kSlots = 4;
  alignas(64) uint16_t panel[kSlots][kTileElements];
  const auto widen_tile = [&](int k) __attribute__((always_inline)) {
    if (k < rows.k_tiles) {
      widen<Form>(layout, block, k, 1, panel[k % kSlots]);
    }
  };
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if (out.add) {
    load_sums<R>(out);
  }
  for (int k = 0; k < kAhead; k++) {
    widen_tile(k);
  }
  for (int k = 0; k < rows.k_tiles; k++) {
    widen_tile(k + kAhead);
    _tile_loadd(7, panel[k % kSlots], kLineBytes);
    add_products<R>(rows, k);
  }
  store_sums<R>(out);
}

template <class Form>
void multiply_few(
    const QuantisedLayout& layout,
    const std::byte* block,
    const TileRows& rows,
    int row_tiles,
    const LinearOutput& out) {
  static_assert(kFewTiles == 4);
  constexpr decltype(&multiply_widening<Form, 1>) kRun[] = {
      multiply_widening<Form, 1>,
      multiply_widening<Form, 2>,
      multiply_widening<Form, 3>,
      multiply_widening<Form, 4>};
  kRun[row_tiles - 1](layout, block, rows, out);
}

} // namespace

void multiply_quantised(
    const QuantisedLayout& layout,
    const std::byte* block,
    const TileRows& rows,
    int row_tiles,
    const LinearOutput& out) {
  const TilesInUse tiles;
  const auto run = layout.e2m1 ? multiply_few<E2m1>
      : layout.bits == 8       ? multiply_few<Plain<8>>
      : layout.bits == 4       ? multiply_few<Plain<4>>
                               : multiply_few<Plain<2>>;
  run(layout, block, rows, row_tiles, out);
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

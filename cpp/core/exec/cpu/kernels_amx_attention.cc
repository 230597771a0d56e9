// Attention of a prompt's rows to one piece of K and V on the matrix units:
// scores and outputs in bf16 products with f32 sums, a softmax in f32 between
// them. A row that does not attend to a position gives it the weight 0.
#include "exec/cpu/amx_kernels.h"
#include "exec/cpu/amx_tiles.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

constexpr int kTileBytes = kTileElements * 2;
constexpr int kTokenTiles = kPieceTokens / kTileTokens;
constexpr int kWeightTiles = kPieceTokens / kTileK;
constexpr int kLineBytes = 64;
constexpr size_t kScoreBytes = sizeof(float) * kTileRows * kPieceTokens;
constexpr size_t kWeightBytes = static_cast<size_t>(kWeightTiles) * kTileBytes;
// Row tiles under way: what one stage has written is read when it has long
// reached the cache, while other row tiles are in the other stages.
constexpr int kUnderWay = 2;

/// The scratch of one call, from the front.
struct Scratch {
  std::byte* k; // (kTokenTiles, head_dim / kTileK) tiles
  std::byte* v; // (kWeightTiles, head_dim / kBlockColumns) tiles
  std::byte* rows;

  Scratch(std::byte* at, int head_dim) {
    const size_t piece = sizeof(uint16_t) * kPieceTokens * head_dim;
    k = at;
    v = k + piece;
    rows = v + piece;
  }
  /// (kTileRows, kPieceTokens)
  float* scores(int row_tile) const {
    return reinterpret_cast<float*>(rows + row_tile % kUnderWay * kScoreBytes);
  }
  /// kWeightTiles tiles
  std::byte* weights(int row_tile) const {
    return rows + kUnderWay * kScoreBytes + row_tile % kUnderWay * kWeightBytes;
  }
};

STOMP_INLINE F32 codes_at(const void* tile, int i) {
  return from_i8(static_cast<const int8_t*>(tile) + i);
}

STOMP_INLINE const uint8_t* bytes_at(const void* tile, int i) {
  return static_cast<const uint8_t*>(tile) + i;
}

STOMP_INLINE F32 halves_at(const void* tile, int i) {
  return from_f16(static_cast<const uint16_t*>(tile) + i);
}

/// K of a tile of tokens, (head_dim, kTileTokens), to pairs of dimensions.
void widen_k(const AttentionPiece& piece, int tile, std::byte* to) {
  const void* keys = piece.k[tile];
  F32 scale{};
  F32 bias{};
  for (int d = 0; d < piece.head_dim; d += 2, to += kLineBytes) {
    if (piece.element != KvElement::kF16 && d % kKvGroup == 0) {
      const uint16_t* at =
          piece.k_scales[tile] + d / kKvGroup * piece.scale_stride;
      scale = from_f16(at);
      if (piece.element == KvElement::kCode8) {
        scale = scale * (1.0f / kKvCodes);
      } else {
        bias = from_f16(at + piece.biases_at());
      }
    }
    F32 even;
    F32 odd;
    switch (piece.element) {
      case KvElement::kF16:
        even = halves_at(keys, d * kTileTokens);
        odd = halves_at(keys, (d + 1) * kTileTokens);
        break;
      case KvElement::kCode8:
        even = codes_at(keys, d * kTileTokens) * scale;
        odd = codes_at(keys, (d + 1) * kTileTokens) * scale;
        break;
      case KvElement::kCode4: {
        const uint8_t* both = bytes_at(keys, d / 2 * kTileTokens);
        even = fma(from_halves(both, false), scale, bias);
        odd = fma(from_halves(both, true), scale, bias);
        break;
      }
    }
    _mm512_storeu_si512(to, pairs_of(even, odd));
  }
}

/// Sixteen dimensions of V of kTileK tokens to pairs of tokens; tokens that
/// were never written become zeros.
STOMP_INLINE void
widen_v(const AttentionPiece& piece, int first_token, int dim, std::byte* to) {
  const auto row = [&](int token) __attribute__((always_inline)) {
    const void* values = piece.v[token / kTileTokens];
    if (token >= piece.n_tokens || !values) {
      return F32{};
    }
    const int in_tile = token % kTileTokens;
    const int i = in_tile * piece.head_dim + dim;
    if (piece.element == KvElement::kF16) {
      return halves_at(values, i);
    }
    const uint16_t* at = piece.v_scales[token / kTileTokens] +
        dim / kKvGroup * piece.scale_stride;
    const F32 scales = from_f16(at);
    if (piece.element == KvElement::kCode8) {
      return codes_at(values, i) * (scales * (1.0f / kKvCodes))[in_tile];
    }
    const F32 biases = from_f16(at + piece.biases_at());
    return fma(
        from_pairs(bytes_at(values, i / 2)),
        splat(scales[in_tile]),
        splat(biases[in_tile]));
  };
  for (int t = first_token; t < first_token + kTileK; t += 2) {
    _mm512_storeu_si512(to, pairs_of(row(t), row(t + 1)));
    to += kLineBytes;
  }
}

void widen(const AttentionPiece& piece, const Scratch& scratch) {
  const int dim = piece.head_dim;
  const size_t k_bytes = static_cast<size_t>(dim / kTileK) * kTileBytes;
  for (int t = 0; t < kTokenTiles; t++) {
    std::byte* to = scratch.k + t * k_bytes;
    if (piece.k[t]) {
      widen_k(piece, t, to);
    } else {
      __builtin_memset(to, 0, k_bytes);
    }
  }
  std::byte* to = scratch.v;
  for (int t = 0; t < kPieceTokens; t += kTileK) {
    for (int d = 0; d < dim; d += kBlockColumns, to += kTileBytes) {
      widen_v(piece, t, d, to);
    }
  }
}

/// Fetches the next piece in `times` parts: all at once would wait for each
/// other.
class Ahead {
 public:
  STOMP_INLINE Ahead(const AttentionPiece& piece, int times)
      : bytes_(kv_bytes(piece.element, piece.head_dim * kTileTokens)) {
    for (int t = 0; piece.next && t < kTokenTiles; t++) {
      if (piece.next->k[t]) {
        tiles_[n_++] = static_cast<const std::byte*>(piece.next->k[t]);
        tiles_[n_++] = static_cast<const std::byte*>(piece.next->v[t]);
      }
    }
    lines_ = (n_ * bytes_ / kLineBytes + times - 1) / times;
  }

  STOMP_INLINE void fetch_part() {
    for (int i = 0; i < lines_; i++, at_ += kLineBytes) {
      if (at_ == end_) {
        if (tile_ == n_) {
          return;
        }
        at_ = tiles_[tile_++];
        end_ = at_ + bytes_;
      }
      __builtin_prefetch(at_);
    }
  }

 private:
  const std::byte* tiles_[2 * kTokenTiles];
  int bytes_; // of a tile
  int n_ = 0; // tiles
  int tile_ = 0;
  int lines_ = 0; // of a part
  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
};

/// scores = a row tile of q times the piece's K.
STOMP_INLINE void
score(const TileRows& q, int row_tile, const Scratch& scratch) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const size_t step = static_cast<size_t>(q.k_tiles) * kTileBytes;
  for (int k = 0; k < q.k_tiles; k++) {
    const std::byte* keys = scratch.k + static_cast<size_t>(k) * kTileBytes;
    _tile_loadd(4, q.tile(row_tile, k), kLineBytes);
    _tile_loadd(5, keys, kLineBytes);
    _tile_dpbf16ps(0, 4, 5);
    _tile_loadd(6, keys + step, kLineBytes);
    _tile_dpbf16ps(1, 4, 6);
    _tile_loadd(5, keys + 2 * step, kLineBytes);
    _tile_dpbf16ps(2, 4, 5);
    _tile_loadd(6, keys + 3 * step, kLineBytes);
    _tile_dpbf16ps(3, 4, 6);
  }
  constexpr int kStep = kPieceTokens * sizeof(float);
  float* const scores = scratch.scores(row_tile);
  _tile_stored(0, scores, kStep);
  _tile_stored(1, scores + kTileTokens, kStep);
  _tile_stored(2, scores + 2 * kTileTokens, kStep);
  _tile_stored(3, scores + 3 * kTileTokens, kStep);
}

/// 2^x within 3e-06 for x <= 0, not below 2^-126, NaN for NaN.
STOMP_INLINE F32 exp2(const F32& value) {
  const F32 x = value < -126.0f ? splat(-126.0f) : value;
  const __m512 whole = _mm512_roundscale_ps((__m512)x, 8);
  const F32 f = x - (F32)whole;
  // 2^f on [-1/2, 1/2], interpolated at Chebyshev nodes.
  F32 p = splat(9.666368515e-03f);
  p = fma(p, f, splat(5.592197584e-02f));
  p = fma(p, f, splat(2.402234904e-01f));
  p = fma(p, f, splat(6.931210452e-01f));
  p = fma(p, f, splat(1.000000000e+00f));
  return (F32)_mm512_scalef_ps((__m512)p, whole);
}

/// Which of sixteen positions from `at` on lie in [first, last].
STOMP_INLINE __mmask16 seen(int at, int first, int last) {
  const __m512i position = _mm512_add_epi32(
      _mm512_set1_epi32(at),
      _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  return _mm512_cmpge_epi32_mask(position, _mm512_set1_epi32(first)) &
      _mm512_cmple_epi32_mask(position, _mm512_set1_epi32(last));
}

STOMP_INLINE F32 larger(const F32& a, const F32& b) {
  return (F32)_mm512_max_ps((__m512)a, (__m512)b);
}

/// Turns a row's scores into weights, in bf16 at `weights` and one tile on,
/// and returns what the row's earlier outputs must be multiplied by.
template <bool Masked>
STOMP_INLINE float softmax_row(
    const float* scores,
    int position,
    int first,
    int last,
    float& top,
    float& total,
    std::byte* weights) {
  F32 s[kTokenTiles];
  __mmask16 mask[kTokenTiles];
  STOMP_UNROLL
  for (int i = 0; i < kTokenTiles; i++) {
    s[i] = load<F32>(scores + i * kTileTokens);
    if constexpr (Masked) {
      mask[i] = seen(position + i * kTileTokens, first, last);
      s[i] = (F32)_mm512_mask_mov_ps(
          _mm512_set1_ps(-__builtin_inff()), mask[i], (__m512)s[i]);
    }
  }
  const float piece_top = _mm512_reduce_max_ps(
      (__m512)larger(larger(s[0], s[1]), larger(s[2], s[3])));
  const float new_top = piece_top > top ? piece_top : top;
  F32 sum{};
  STOMP_UNROLL
  for (int i = 0; i < kTokenTiles; i++) {
    s[i] = exp2(s[i] - new_top);
    if constexpr (Masked) {
      s[i] = (F32)_mm512_maskz_mov_ps(mask[i], (__m512)s[i]);
    }
    sum += s[i];
  }
  STOMP_UNROLL
  for (int i = 0; i < kWeightTiles; i++) {
    _mm512_storeu_si512(
        weights + static_cast<size_t>(i) * kTileBytes,
        (__m512i)_mm512_cvtne2ps_pbh((__m512)s[2 * i + 1], (__m512)s[2 * i]));
  }
  const float added = _mm512_reduce_add_ps((__m512)sum);
  if (new_top == top) {
    total += added;
    return 1;
  }
  const float factor = exp2(splat(top - new_top))[0];
  total = __builtin_fmaf(total, factor, added);
  top = new_top;
  return factor;
}

STOMP_INLINE void scale_row(float* out, int head_dim, float factor) {
  for (int d = 0; d < head_dim; d += kLanes) {
    store(out + d, load<F32>(out + d) * factor);
  }
}

/// Weights of a row tile; false if none of its rows attends to the piece.
bool weigh(
    const AttentionPiece& piece,
    const AttentionRows& rows,
    int row_tile,
    const Scratch& scratch,
    Ahead& ahead) {
  const float* scores = scratch.scores(row_tile);
  const int begin = piece.position;
  const int end = begin + kPieceTokens - 1;
  bool any = false;
  for (int i = 0; i < kTileRows; i++) {
    const int r = row_tile * kTileRows + i;
    std::byte* weights = scratch.weights(row_tile) + i * kLineBytes;
    if (r >= rows.n || rows.last[r] < begin || rows.first[r] > end) {
      for (int t = 0; t < kWeightTiles; t++) {
        _mm512_storeu_si512(
            weights + static_cast<size_t>(t) * kTileBytes,
            _mm512_setzero_si512());
      }
      continue;
    }
    any = true;
    ahead.fetch_part();
    const bool whole = rows.first[r] <= begin && rows.last[r] >= end;
    const auto run = whole ? softmax_row<false> : softmax_row<true>;
    const float factor =
        run(scores + i * kPieceTokens,
            begin,
            rows.first[r],
            rows.last[r],
            rows.max[r],
            rows.sum[r],
            weights);
    if (factor != 1) {
      scale_row(
          rows.out + static_cast<size_t>(r) * piece.head_dim,
          piece.head_dim,
          factor);
    }
  }
  return any;
}

/// out += weights times the piece's V.
STOMP_INLINE void mix(
    float* out,
    int head_dim,
    const std::byte* weights,
    const std::byte* values) {
  const int step = head_dim * static_cast<int>(sizeof(float));
  const size_t half =
      static_cast<size_t>(head_dim / kBlockColumns) * kTileBytes;
  _tile_loadd(4, weights, kLineBytes);
  _tile_loadd(5, weights + kTileBytes, kLineBytes);
  for (int d = 0; d < head_dim; d += 2 * kBlockColumns) {
    _tile_loadd(0, out + d, step);
    _tile_loadd(6, values, kLineBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(1, out + d + kBlockColumns, step);
    _tile_loadd(7, values + kTileBytes, kLineBytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(6, values + half, kLineBytes);
    _tile_dpbf16ps(0, 5, 6);
    _tile_stored(0, out + d, step);
    _tile_loadd(7, values + half + kTileBytes, kLineBytes);
    _tile_dpbf16ps(1, 5, 7);
    _tile_stored(1, out + d + kBlockColumns, step);
    values += 2 * kTileBytes;
  }
}

} // namespace

size_t attend_scratch_bytes(int head_dim) {
  return 2 * sizeof(uint16_t) * kPieceTokens * head_dim +
      kUnderWay * (kScoreBytes + kWeightBytes);
}

void attend_tiles(
    const AttentionPiece& piece,
    const TileAttention& rows,
    std::byte* scratch_bytes) {
  const Scratch scratch(scratch_bytes, piece.head_dim);
  const TilesInUse tiles;
  widen(piece, scratch);
  const int n = (rows.state.n + kTileRows - 1) / kTileRows;
  const auto mix_rows = [&](int t) __attribute__((always_inline)) {
    float* out =
        rows.state.out + static_cast<size_t>(t) * kTileRows * piece.head_dim;
    mix(out, piece.head_dim, scratch.weights(t), scratch.v);
  };
  Ahead ahead(piece, rows.state.n);
  score(rows.q, 0, scratch);
  bool weighed = false; // the row tile before this one
  for (int t = 0; t < n; t++) {
    if (t + 1 < n) {
      score(rows.q, t + 1, scratch);
    }
    const bool any = weigh(piece, rows.state, t, scratch, ahead);
    if (weighed) {
      mix_rows(t - 1);
    }
    weighed = any;
  }
  if (weighed) {
    mix_rows(n - 1);
  }
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

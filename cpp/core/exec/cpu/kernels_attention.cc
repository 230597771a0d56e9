// Attention of a few query rows to one piece of K and V. See lanes.h for how
// this is compiled.
//
// Scores have one position a lane and are added up over head_dim; outputs have
// one dimension a lane and are added up over positions, both ascending and
// fused. A row that does not attend to a position gives it the weight 0, which
// changes no sum: what other rows share the call is of no consequence.
#include "exec/cpu/kernels_parts.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

// Query rows whose sums fit the registers.
constexpr int kRows = kVectorBytes == 64 ? 6 : 2;
constexpr int kVectors = 4; // of positions or dimensions, side by side
constexpr int kStretch = kVectors * kLanes;

// What a piece's elements must be multiplied by is left for when products have
// been added up over a group of kKvGroup dimensions.

/// Scales of kLanes tokens from `token` on, for one group of dimensions.
STOMP_INLINE F32
scales_at(const AttentionPiece& piece, const uint16_t* tops, int g, int token) {
  if (!tops) {
    return F32{};
  }
  return from_f16(tops + g * piece.top_stride + token % kTileTokens) *
      (1.0f / kKvCodes);
}

/// The piece in f32: for rows enough to share the conversion.
template <bool Codes>
struct Widened {
  static constexpr bool kCodes = Codes;
  const AttentionPiece& piece;
  const float* k; // (head_dim, kPieceTokens)
  const float* v; // (kPieceTokens, padded)
  int head_dim;
  int padded;
  int n_tokens;

  STOMP_INLINE void fetch_k(int) const {}
  STOMP_INLINE void fetch_v(int) const {}
  STOMP_INLINE F32 k_lanes(int d, int token) const {
    return load<F32>(k + d * kPieceTokens + token);
  }
  STOMP_INLINE F32 v_lanes(int token, int d) const {
    return load<F32>(v + token * padded + d);
  }
};

/// kLanes elements of the pool.
STOMP_INLINE F32 elements(const uint16_t* p) {
  return from_f16(p);
}
STOMP_INLINE F32 elements(const int8_t* p) {
  return from_i8(p);
}

template <bool Codes>
struct ElementOf {
  using Type = uint16_t;
};
template <>
struct ElementOf<true> {
  using Type = int8_t;
};

/// The piece as it lies in the pool: for a few rows, which convert it as they
/// go. REQUIRES: all tiles there are, head_dim a multiple of kBlockColumns.
template <bool Codes>
struct Stored {
  static constexpr bool kCodes = Codes;
  using Element = typename ElementOf<Codes>::Type;
  static constexpr int kLine = 64 / sizeof(Element);
  const AttentionPiece& piece;
  const AttentionPiece& next; // to fetch, line by line, meanwhile
  int head_dim;
  int padded;
  int n_tokens;

  STOMP_INLINE static const Element* at(const void* tile, int i) {
    return static_cast<const Element*>(tile) + i;
  }
  STOMP_INLINE void fetch_k(int d) const {
    if (d * kTileTokens % kLine == 0) {
      STOMP_UNROLL
      for (int i = 0; i < kPieceTokens / kTileTokens; i++) {
        __builtin_prefetch(at(next.k[i], d * kTileTokens));
      }
    }
  }
  STOMP_INLINE void fetch_v(int token) const {
    const int row = (token % kTileTokens) * head_dim;
    for (int d = 0; d < head_dim; d += kLine) {
      __builtin_prefetch(at(next.v[token / kTileTokens], row + d));
    }
  }
  STOMP_INLINE F32 k_lanes(int d, int token) const {
    const int i = d * kTileTokens + token % kTileTokens;
    return elements(at(piece.k[token / kTileTokens], i));
  }
  STOMP_INLINE F32 v_lanes(int token, int d) const {
    const int i = (token % kTileTokens) * head_dim + d;
    return elements(at(piece.v[token / kTileTokens], i));
  }
};

/// One row of V; lanes past head_dim become zero.
template <class Element>
STOMP_INLINE void
widen_v(const Element* from, int head_dim, int padded, float* to) {
  int d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) {
    store(to + d, elements(from + d));
  }
  if (d < head_dim) {
    Element rest[kLanes] = {};
    __builtin_memcpy(rest, from + d, (head_dim - d) * sizeof(Element));
    store(to + d, elements(rest));
    d += kLanes;
  }
  for (; d < padded; d++) {
    to[d] = 0;
  }
}

template <class Element>
void widen_k(const Element* from, int head_dim, float* to) {
  for (int d = 0; d < head_dim; d++, to += kPieceTokens) {
    STOMP_UNROLL
    for (int i = 0; i < kTileTokens; i += kLanes) {
      store(to + i, from ? elements(from + d * kTileTokens + i) : F32{});
    }
  }
}

/// Tiles that are not there become zeros: with weight 0 they add nothing.
template <class Element>
void widen(const AttentionPiece& piece, int padded, float* k, float* v) {
  const int dim = piece.head_dim;
  for (int tile = 0; tile * kTileTokens < kPieceTokens; tile++) {
    const int first = tile * kTileTokens;
    if (piece.next && piece.next->k[tile]) {
      const int bytes = dim * kTileTokens * static_cast<int>(sizeof(Element));
      fetch(piece.next->k[tile], bytes);
      fetch(piece.next->v[tile], bytes);
    }
    widen_k(static_cast<const Element*>(piece.k[tile]), dim, k + first);
    const auto* values = static_cast<const Element*>(piece.v[tile]);
    for (int t = 0; t < kTileTokens && first + t < piece.n_tokens; t++) {
      float* to = v + (first + t) * padded;
      if (values) {
        widen_v(values + t * dim, dim, padded, to);
      } else {
        __builtin_memset(to, 0, padded * sizeof(float));
      }
    }
  }
}

/// acc[r] += dimensions [d, end) of q[r] . K for kStretch positions.
template <int R, class Piece>
STOMP_INLINE void add_scores(
    const Piece& piece,
    const float* const (&q)[R],
    int at,
    int d,
    int end,
    F32 (&acc)[R][kVectors]) {
  for (; d < end; d++) {
    F32 lanes[kVectors];
    if (at == 0) {
      piece.fetch_k(d);
    }
    STOMP_UNROLL
    for (int i = 0; i < kVectors; i++) {
      lanes[i] = piece.k_lanes(d, at + i * kLanes);
    }
    STOMP_UNROLL
    for (int r = 0; r < R; r++) {
      STOMP_UNROLL
      for (int i = 0; i < kVectors; i++) {
        acc[r][i] = fma(lanes[i], splat(q[r][d]), acc[r][i]);
      }
    }
  }
}

/// The same for codes: group after group of dimensions, each with its scales.
template <int R, class Piece>
STOMP_INLINE void add_scaled_scores(
    const Piece& piece,
    const float* const (&q)[R],
    int at,
    F32 (&acc)[R][kVectors]) {
  for (int d = 0; d < piece.head_dim; d += kKvGroup) {
    const int left = piece.head_dim - d;
    const int end = left < kKvGroup ? piece.head_dim : d + kKvGroup;
    F32 own[R][kVectors] = {};
    add_scores(piece, q, at, d, end, own);
    STOMP_UNROLL
    for (int i = 0; i < kVectors; i++) {
      const int token = at + i * kLanes;
      const uint16_t* tops = piece.piece.k_tops[token / kTileTokens];
      const F32 scale = scales_at(piece.piece, tops, d / kKvGroup, token);
      STOMP_UNROLL
      for (int r = 0; r < R; r++) {
        acc[r][i] = fma(own[r][i], scale, acc[r][i]);
      }
    }
  }
}

/// weights[r] = q[r] . K for every position of the piece.
template <int R, class Piece>
STOMP_INLINE void
scores(const Piece& piece, const float* const (&q)[R], float* weights) {
  for (int at = 0; at < kPieceTokens; at += kStretch) {
    F32 acc[R][kVectors] = {};
    if constexpr (Piece::kCodes) {
      add_scaled_scores(piece, q, at, acc);
    } else {
      add_scores(piece, q, at, 0, piece.head_dim, acc);
    }
    STOMP_UNROLL
    for (int r = 0; r < R; r++) {
      STOMP_UNROLL
      for (int i = 0; i < kVectors; i++) {
        store(weights + r * kPieceTokens + at + i * kLanes, acc[r][i]);
      }
    }
  }
}

/// Scores outside [first, last] become minus infinity.
STOMP_INLINE void mask(float* weights, int position, int first, int last) {
  if (first <= position && last >= position + kPieceTokens - 1) {
    return;
  }
  for (int i = 0; i < kPieceTokens; i++) {
    const bool seen = position + i >= first && position + i <= last;
    weights[i] = seen ? weights[i] : -__builtin_inff();
  }
}

STOMP_INLINE F32 larger(const F32& a, const F32& b) {
  return a > b ? a : b;
}

STOMP_INLINE float largest(const float* weights) {
  F32 top = load<F32>(weights);
  STOMP_UNROLL
  for (int i = kLanes; i < kPieceTokens; i += kLanes) {
    top = larger(load<F32>(weights + i), top);
  }
  return folded(
      top, [](const F32& a, const F32& b) __attribute__((always_inline)) {
        return larger(a, b);
      });
}

STOMP_INLINE F32 plus(const F32& a, const F32& b) {
  return a + b;
}

/// Turns a row's scores into weights relative to the largest score so far and
/// returns what the row's earlier outputs must be multiplied by.
float softmax_step(float* weights, float& top, float& total) {
  const float piece_top = largest(weights);
  const float new_top = piece_top > top ? piece_top : top;
  const auto add = [](const F32& a, const F32& b)
                       __attribute__((always_inline)) { return plus(a, b); };
  for (int i = 0; i < kPieceTokens; i += kLanes) {
    store(weights + i, exp(load<F32>(weights + i) - new_top));
  }
  const Wide sums = each(
      add,
      each(add, Wide::at(weights), Wide::at(weights + 16)),
      each(add, Wide::at(weights + 32), Wide::at(weights + 48)));
  const float factor = exp(splat(top - new_top))[0];
  total = __builtin_fmaf(total, factor, sum(sums));
  top = new_top;
  return factor;
}

/// out[r] = out[r] * factor[r] + weights[r] . V, for N vectors of dimensions.
template <int R, int N, class Piece>
STOMP_INLINE void mix_stretch(
    const Piece& piece,
    const float* weights,
    const float* factor,
    int dim,
    float* out) {
  F32 acc[R][N];
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    STOMP_UNROLL
    for (int i = 0; i < N; i++) {
      acc[r][i] =
          load<F32>(out + r * piece.padded + dim + i * kLanes) * factor[r];
    }
  }
  for (int t = 0; t < piece.n_tokens; t++) {
    F32 lanes[N];
    if (dim == 0) {
      piece.fetch_v(t);
    }
    STOMP_UNROLL
    for (int i = 0; i < N; i++) {
      lanes[i] = piece.v_lanes(t, dim + i * kLanes);
    }
    STOMP_UNROLL
    for (int r = 0; r < R; r++) {
      STOMP_UNROLL
      for (int i = 0; i < N; i++) {
        acc[r][i] =
            fma(lanes[i], splat(weights[r * kPieceTokens + t]), acc[r][i]);
      }
    }
  }
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    STOMP_UNROLL
    for (int i = 0; i < N; i++) {
      store(out + r * piece.padded + dim + i * kLanes, acc[r][i]);
    }
  }
}

/// out = weights times the scales of V in one group of dimensions. Positions
/// that were never written have no scales, and take no part.
STOMP_INLINE void scale_weights(
    const AttentionPiece& piece,
    const float* weights,
    int n,
    int g,
    float* out) {
  for (int t = 0; t < piece.n_tokens; t += kLanes) {
    const uint16_t* tops = piece.v_tops[t / kTileTokens];
    const F32 scale = scales_at(piece, tops, g, t);
    for (int r = 0; r < n; r++) {
      const int i = r * kPieceTokens + t;
      store(out + i, load<F32>(weights + i) * scale);
    }
  }
}

template <int R, class Piece>
STOMP_INLINE void
mix(const Piece& piece, const float* weights, const float* factor, float* out) {
  float scaled[Piece::kCodes ? R * kPieceTokens : 1];
  const auto own = [&](int dim) __attribute__((always_inline)) {
    if constexpr (Piece::kCodes) {
      if (dim % kKvGroup == 0) {
        scale_weights(piece.piece, weights, R, dim / kKvGroup, scaled);
      }
      return scaled;
    } else {
      return weights;
    }
  };
  int dim = 0;
  for (; dim + kStretch <= piece.padded; dim += kStretch) {
    mix_stretch<R, kVectors>(piece, own(dim), factor, dim, out);
  }
  for (; dim < piece.padded; dim += kLanes) {
    mix_stretch<R, 1>(piece, own(dim), factor, dim, out);
  }
}

template <int R, class Piece>
void attend(
    const Piece& piece,
    int position,
    const AttentionRows& rows,
    int at) {
  const float* q[R];
  for (int r = 0; r < R; r++) {
    q[r] = rows.q[at + r];
  }
  float weights[R * kPieceTokens];
  float factor[R];
  scores(piece, q, weights);
  for (int r = 0; r < R; r++) {
    float* own = weights + r * kPieceTokens;
    const int first = rows.first[at + r];
    const int last = rows.last[at + r];
    if (last < position || first >= position + kPieceTokens) {
      // Nothing here for this row: its running softmax stays as it is.
      __builtin_memset(own, 0, kPieceTokens * sizeof(float));
      factor[r] = 1;
      continue;
    }
    mask(own, position, first, last);
    factor[r] = softmax_step(own, rows.max[at + r], rows.sum[at + r]);
  }
  float* out = rows.out + static_cast<size_t>(at) * piece.padded;
  mix<R>(piece, weights, factor, out);
}

template <class Piece>
void attend_all(const Piece& piece, int position, const AttentionRows& rows) {
  int at = 0;
  for (; at + kRows <= rows.n; at += kRows) {
    attend<kRows>(piece, position, rows, at);
  }
  const int left = rows.n - at;
  if constexpr (kRows == 6) {
    using Attend = void (*)(const Piece&, int, const AttentionRows&, int);
    constexpr Attend kFew[] = {
        attend<2, Piece>, attend<3, Piece>, attend<4, Piece>, attend<5, Piece>};
    if (left >= 2) {
      return kFew[left - 2](piece, position, rows, at);
    }
  }
  if (left > 0) {
    attend<1>(piece, position, rows, at);
  }
}

bool whole(const AttentionPiece& piece) {
  bool all = true;
  for (const void* tile : piece.k) {
    all = all && tile;
  }
  return all;
}

bool as_stored(const AttentionPiece& piece, int n_rows) {
  // Above, storing the f32 values once is cheaper than converting them again.
  constexpr int kFewRows = kVectorBytes == 16 ? kRows : 4;
  return n_rows <= kFewRows && piece.head_dim % kBlockColumns == 0 &&
      whole(piece);
}

template <bool Codes>
void attend_as(
    const AttentionPiece& piece,
    const AttentionRows& rows,
    float* scratch) {
  const int dim = piece.head_dim;
  const int padded = padded_head_dim(dim);
  if (as_stored(piece, rows.n)) {
    const bool more = piece.next && whole(*piece.next);
    const AttentionPiece& next = more ? *piece.next : piece;
    const Stored<Codes> stored{piece, next, dim, padded, piece.n_tokens};
    return attend_all(stored, piece.position, rows);
  }
  float* v = scratch + static_cast<size_t>(kPieceTokens) * padded;
  widen<typename ElementOf<Codes>::Type>(piece, padded, scratch, v);
  const Widened<Codes> widened{piece, scratch, v, dim, padded, piece.n_tokens};
  attend_all(widened, piece.position, rows);
}

} // namespace

void attend_piece(
    const AttentionPiece& piece,
    const AttentionRows& rows,
    float* scratch) {
  (piece.codes ? attend_as<true> : attend_as<false>)(piece, rows, scratch);
}

void merge_rows(
    const AttentionRows& from,
    const AttentionRows& into,
    int head_dim) {
  const int padded = padded_head_dim(head_dim);
  const float nothing = -__builtin_inff();
  for (int r = 0; r < from.n; r++) {
    const float* x = from.out + static_cast<size_t>(r) * padded;
    float* y = into.out + static_cast<size_t>(r) * padded;
    // A sum of NaN is something: it must reach the result.
    if (from.max[r] == nothing && from.sum[r] == 0) {
      continue;
    }
    const float top = from.max[r] > into.max[r] ? from.max[r] : into.max[r];
    const F32 x_factor = splat(exp(splat(from.max[r] - top))[0]);
    const F32 y_factor = splat(exp(splat(into.max[r] - top))[0]);
    for (int d = 0; d < padded; d += kLanes) {
      const F32 own = load<F32>(y + d) * y_factor;
      store(y + d, fma(load<F32>(x + d), x_factor, own));
    }
    into.sum[r] =
        __builtin_fmaf(from.sum[r], x_factor[0], into.sum[r] * y_factor[0]);
    into.max[r] = top;
  }
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

// Attention of a few query rows to one piece of K and V. See lanes.h for how
// this is compiled.
//
// Scores have one position a lane and are added up over head_dim; outputs have
// one dimension a lane and are added up over positions, both ascending. A row
// that does not attend to a position gives it the weight 0, which changes no
// sum: what other rows share the call is of no consequence.
#include "exec/cpu/kernels_parts.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

// Query rows whose sums fit the registers.
constexpr int kRows = kVectorBytes == 64 ? 4 : 2;
constexpr int kVectors = 4; // of positions or dimensions, side by side
constexpr int kStretch = kVectors * kLanes;

/// The piece in f32: for rows enough to share the conversion.
struct Widened {
  const float* k; // (head_dim, kPieceTokens)
  const float* v; // (kPieceTokens, padded)
  int head_dim;
  int padded;
  int n_tokens;

  STOMP_INLINE F32 k_lanes(int d, int token) const {
    return load<F32>(k + d * kPieceTokens + token);
  }
  STOMP_INLINE F32 v_lanes(int token, int d) const {
    return load<F32>(v + token * padded + d);
  }
};

/// The piece as it lies in the pool: for a few rows, which convert it as they
/// go. REQUIRES: all tiles there are, head_dim a multiple of kBlockColumns.
struct Stored {
  const AttentionPiece& piece;
  int head_dim;
  int padded;
  int n_tokens;

  STOMP_INLINE F32 k_lanes(int d, int token) const {
    const uint16_t* tile = piece.k[token / kTileTokens];
    return from_f16(tile + d * kTileTokens + token % kTileTokens);
  }
  STOMP_INLINE F32 v_lanes(int token, int d) const {
    const uint16_t* tile = piece.v[token / kTileTokens];
    return from_f16(tile + (token % kTileTokens) * head_dim + d);
  }
};

/// One row of V; lanes past head_dim become zero.
STOMP_INLINE void
widen_v(const uint16_t* from, int head_dim, int padded, float* to) {
  int d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) {
    store(to + d, from_f16(from + d));
  }
  if (d < head_dim) {
    uint16_t rest[kLanes] = {};
    __builtin_memcpy(rest, from + d, (head_dim - d) * sizeof(uint16_t));
    store(to + d, from_f16(rest));
    d += kLanes;
  }
  for (; d < padded; d++) {
    to[d] = 0;
  }
}

void widen_k(const uint16_t* from, int head_dim, float* to) {
  for (int d = 0; d < head_dim; d++, to += kPieceTokens) {
    STOMP_UNROLL
    for (int i = 0; i < kTileTokens; i += kLanes) {
      store(to + i, from ? from_f16(from + d * kTileTokens + i) : F32{});
    }
  }
}

/// The next piece lies in other pages, which the processor does not foresee.
STOMP_INLINE void fetch(const uint16_t* tile, int head_dim) {
  constexpr int kLine = 64 / sizeof(uint16_t);
  for (int i = 0; i < head_dim * kTileTokens; i += kLine) {
    __builtin_prefetch(tile + i);
  }
}

/// Tiles that are not there become zeros: with weight 0 they add nothing.
void widen(const AttentionPiece& piece, int padded, float* k, float* v) {
  const int dim = piece.head_dim;
  for (int tile = 0; tile * kTileTokens < kPieceTokens; tile++) {
    const int first = tile * kTileTokens;
    if (piece.next) {
      fetch(piece.next->k[tile], dim);
      fetch(piece.next->v[tile], dim);
    }
    widen_k(piece.k[tile], dim, k + first);
    for (int t = 0; t < kTileTokens && first + t < piece.n_tokens; t++) {
      float* to = v + (first + t) * padded;
      if (piece.v[tile]) {
        widen_v(piece.v[tile] + t * dim, dim, padded, to);
      } else {
        __builtin_memset(to, 0, padded * sizeof(float));
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
    for (int d = 0; d < piece.head_dim; d++) {
      F32 lanes[kVectors];
      STOMP_UNROLL
      for (int i = 0; i < kVectors; i++) {
        lanes[i] = piece.k_lanes(d, at + i * kLanes);
      }
      STOMP_UNROLL
      for (int r = 0; r < R; r++) {
        STOMP_UNROLL
        for (int i = 0; i < kVectors; i++) {
          acc[r][i] += lanes[i] * q[r][d];
        }
      }
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
  float lane[kLanes];
  store(lane, top);
  STOMP_UNROLL
  for (int n = kLanes / 2; n > 0; n /= 2) {
    STOMP_UNROLL
    for (int i = 0; i < n; i++) {
      lane[i] = lane[i] > lane[i + n] ? lane[i] : lane[i + n];
    }
  }
  return lane[0];
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
  total = total * factor + sum(sums);
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
    STOMP_UNROLL
    for (int i = 0; i < N; i++) {
      lanes[i] = piece.v_lanes(t, dim + i * kLanes);
    }
    STOMP_UNROLL
    for (int r = 0; r < R; r++) {
      STOMP_UNROLL
      for (int i = 0; i < N; i++) {
        acc[r][i] += lanes[i] * weights[r * kPieceTokens + t];
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
  int dim = 0;
  for (; dim + kStretch <= piece.padded; dim += kStretch) {
    mix_stretch<R, kVectors>(piece, weights, factor, dim, out);
  }
  for (; dim < piece.padded; dim += kLanes) {
    mix_stretch<R, 1>(piece, weights, factor, dim, out);
  }
}

template <class Piece>
void attend_all(const Piece& piece, int position, const AttentionRows& rows) {
  int at = 0;
  for (; at + kRows <= rows.n; at += kRows) {
    attend<kRows>(piece, position, rows, at);
  }
  if constexpr (kRows == 4) {
    if (rows.n - at == 3) {
      return attend<3>(piece, position, rows, at);
    }
    if (rows.n - at == 2) {
      return attend<2>(piece, position, rows, at);
    }
  }
  if (at < rows.n) {
    attend<1>(piece, position, rows, at);
  }
}

bool as_stored(const AttentionPiece& piece, int n_rows) {
  // Above, storing the f32 values once is cheaper than converting them again.
  constexpr int kFewRows = kVectorBytes == 16 ? kRows : 4;
  bool whole = n_rows <= kFewRows && piece.head_dim % kBlockColumns == 0;
  for (const uint16_t* tile : piece.k) {
    whole = whole && tile;
  }
  return whole;
}

} // namespace

void attend_piece(
    const AttentionPiece& piece,
    const AttentionRows& rows,
    float* scratch) {
  const int dim = piece.head_dim;
  const int padded = padded_head_dim(dim);
  if (as_stored(piece, rows.n)) {
    const Stored stored{piece, dim, padded, piece.n_tokens};
    return attend_all(stored, piece.position, rows);
  }
  float* v = scratch + static_cast<size_t>(kPieceTokens) * padded;
  widen(piece, padded, scratch, v);
  const Widened widened{scratch, v, dim, padded, piece.n_tokens};
  attend_all(widened, piece.position, rows);
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
      store(y + d, load<F32>(y + d) * y_factor + load<F32>(x + d) * x_factor);
    }
    into.sum[r] = into.sum[r] * y_factor[0] + from.sum[r] * x_factor[0];
    into.max[r] = top;
  }
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

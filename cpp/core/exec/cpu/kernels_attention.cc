// Attention of a few query rows to one piece of K and V. See lanes.h for how
// this is compiled.
//
// Scores have one position a lane and are added up over head_dim; outputs have
// one dimension a lane and are added up over positions, both ascending and
// fused. A row that does not attend to a position gives it the weight 0, which
// changes no sum: what other rows share the call is of no consequence.
#include "exec/cpu/kernels_parts.h"
#include "exec/cpu/kv_lanes.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

// Query rows whose sums fit the registers.
constexpr int kRows = kVectorBytes == 64 ? 6 : 2;
constexpr int kVectors = 4; // of positions or dimensions, side by side
constexpr int kStretch = kVectors * kLanes;

// A head of 1024 dimensions is the largest there is.
constexpr int kMostGroups = 1024 / kKvGroup;

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

STOMP_INLINE F32 plus(const F32& a, const F32& b) {
  return a + b;
}

/// The sum of each group of a query, which a group's bias is multiplied by.
STOMP_INLINE void group_sums(const float* q, int head_dim, float* sums) {
  for (int first = 0; first < head_dim; first += kKvGroup, sums++) {
    const int left = head_dim - first;
    const int n = left < kKvGroup ? left : kKvGroup;
    float own[kKvGroup] = {};
    __builtin_memcpy(own, q + first, n * sizeof(float));
    Wide total = Wide::at(own);
    STOMP_UNROLL
    for (int i = 16; i < kKvGroup; i += 16) {
      total = each(
          [](const F32& a, const F32& b)
              __attribute__((always_inline)) { return plus(a, b); },
          total,
          Wide::at(own + i));
    }
    *sums = sum(total);
  }
}

/// The same for codes: group after group of dimensions, each with its scales.
template <int R, class Piece>
STOMP_INLINE void add_scaled_scores(
    const Piece& piece,
    const float* const (&q)[R],
    const float (*sums)[kMostGroups],
    int at,
    F32 (&acc)[R][kVectors]) {
  constexpr KvElement kElement = Piece::kElement;
  for (int d = 0; d < piece.head_dim; d += kKvGroup) {
    const int left = piece.head_dim - d;
    const int end = left < kKvGroup ? piece.head_dim : d + kKvGroup;
    F32 own[R][kVectors] = {};
    add_scores(piece, q, at, d, end, own);
    STOMP_UNROLL
    for (int i = 0; i < kVectors; i++) {
      const int token = at + i * kLanes;
      const uint16_t* scales = piece.piece.k_scales[token / kTileTokens];
      const int g = d / kKvGroup;
      const F32 scale = scales_at<kElement>(piece.piece, scales, g, token);
      STOMP_UNROLL
      for (int r = 0; r < R; r++) {
        acc[r][i] = fma(own[r][i], scale, acc[r][i]);
      }
      if constexpr (kElement == KvElement::kCode4) {
        const F32 bias = biases_at(piece.piece, scales, g, token);
        STOMP_UNROLL
        for (int r = 0; r < R; r++) {
          acc[r][i] = fma(bias, splat(sums[r][g]), acc[r][i]);
        }
      }
    }
  }
}

/// weights[r] = q[r] . K for every position of the piece.
template <int R, class Piece>
STOMP_INLINE void
scores(const Piece& piece, const float* const (&q)[R], float* weights) {
  constexpr bool kBiased = Piece::kElement == KvElement::kCode4;
  float sums[kBiased ? R : 1][kMostGroups];
  for (int r = 0; kBiased && r < R; r++) {
    group_sums(q[r], piece.head_dim, sums[r]);
  }
  for (int at = 0; at < kPieceTokens; at += kStretch) {
    F32 acc[R][kVectors] = {};
    if constexpr (Piece::kElement != KvElement::kF16) {
      add_scaled_scores(piece, q, sums, at, acc);
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

template <int R, int N, class Piece>
STOMP_INLINE void
store_stretch(const Piece& piece, const F32 (&acc)[R][N], int dim, float* out) {
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    STOMP_UNROLL
    for (int i = 0; i < N; i++) {
      store(out + r * piece.padded + dim + i * kLanes, acc[r][i]);
    }
  }
}

/// out[r] = out[r] * factor[r] + added[r] + weights[r] . V, for N vectors of
/// dimensions. Nothing is added but for codes that have biases.
template <int R, int N, class Piece>
STOMP_INLINE void mix_stretch(
    const Piece& piece,
    const float* weights,
    const float* factor,
    const float* added,
    int dim,
    float* out) {
  F32 acc[R][N];
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    STOMP_UNROLL
    for (int i = 0; i < N; i++) {
      acc[r][i] =
          load<F32>(out + r * piece.padded + dim + i * kLanes) * factor[r];
      if constexpr (Piece::kElement == KvElement::kCode4) {
        acc[r][i] += splat(added[r]);
      }
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
        // The analyser does not see that a weight is there for every token.
        // NOLINTBEGIN(clang-analyzer-core.CallAndMessage)
        acc[r][i] =
            fma(lanes[i], splat(weights[r * kPieceTokens + t]), acc[r][i]);
        // NOLINTEND(clang-analyzer-core.CallAndMessage)
      }
    }
  }
  store_stretch<R, N>(piece, acc, dim, out);
}

/// out = weights times the scales of V in one group of dimensions. Positions
/// that were never written have no scales, and take no part.
template <KvElement E>
STOMP_INLINE void scale_weights(
    const AttentionPiece& piece,
    const float* weights,
    int n,
    int g,
    float* out) {
  for (int t = 0; t < piece.n_tokens; t += kLanes) {
    const uint16_t* scales = piece.v_scales[t / kTileTokens];
    const F32 scale = scales_at<E>(piece, scales, g, t);
    for (int r = 0; r < n; r++) {
      const int i = r * kPieceTokens + t;
      store(out + i, load<F32>(weights + i) * scale);
    }
  }
}

/// added[r] = weights[r] . biases of V in one group of dimensions.
STOMP_INLINE void weigh_biases(
    const AttentionPiece& piece,
    const float* weights,
    int n,
    int g,
    float* added) {
  float biases[kPieceTokens];
  STOMP_UNROLL
  for (int t = 0; t < kPieceTokens; t += kLanes) {
    const uint16_t* scales = piece.v_scales[t / kTileTokens];
    store(biases + t, biases_at(piece, scales, g, t));
  }
  for (int t = piece.n_tokens; t < kPieceTokens; t++) {
    biases[t] = 0;
  }
  for (int r = 0; r < n; r++) {
    Wide total = Wide::zero();
    STOMP_UNROLL
    for (int t = 0; t < kPieceTokens; t += 16) {
      total = each(
          [](const F32& w, const F32& bias, const F32& so_far)
              __attribute__((always_inline)) { return fma(w, bias, so_far); },
          Wide::at(weights + r * kPieceTokens + t),
          Wide::at(biases + t),
          total);
    }
    added[r] = sum(total);
  }
}

template <int R, class Piece>
STOMP_INLINE void
mix(const Piece& piece, const float* weights, const float* factor, float* out) {
  constexpr KvElement kElement = Piece::kElement;
  constexpr bool kCodes = kElement != KvElement::kF16;
  float scaled[kCodes ? R * kPieceTokens : 1];
  float added[R] = {};
  const auto own = [&](int dim) __attribute__((always_inline)) {
    if constexpr (kCodes) {
      const int g = dim / kKvGroup;
      if (dim % kKvGroup == 0) {
        scale_weights<kElement>(piece.piece, weights, R, g, scaled);
        if constexpr (kElement == KvElement::kCode4) {
          weigh_biases(piece.piece, weights, R, g, added);
        }
      }
      return scaled;
    } else {
      return weights;
    }
  };
  int dim = 0;
  for (; dim + kStretch <= piece.padded; dim += kStretch) {
    mix_stretch<R, kVectors>(piece, own(dim), factor, added, dim, out);
  }
  for (; dim < piece.padded; dim += kLanes) {
    mix_stretch<R, 1>(piece, own(dim), factor, added, dim, out);
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

template <KvElement E>
void attend_as(
    const AttentionPiece& piece,
    const AttentionRows& rows,
    float* scratch) {
  const int dim = piece.head_dim;
  const int padded = padded_head_dim(dim);
  if (as_stored(piece, rows.n)) {
    const bool more = piece.next && whole(*piece.next);
    const AttentionPiece& next = more ? *piece.next : piece;
    const Stored<E> stored{piece, next, dim, padded, piece.n_tokens};
    return attend_all(stored, piece.position, rows);
  }
  float* v = scratch + static_cast<size_t>(kPieceTokens) * padded;
  widen<E>(piece, padded, scratch, v);
  const Widened<E> widened{piece, scratch, v, dim, padded, piece.n_tokens};
  attend_all(widened, piece.position, rows);
}

} // namespace

void attend_piece(
    const AttentionPiece& piece,
    const AttentionRows& rows,
    float* scratch) {
  switch (piece.element) {
    case KvElement::kF16:
      return attend_as<KvElement::kF16>(piece, rows, scratch);
    case KvElement::kCode8:
      return attend_as<KvElement::kCode8>(piece, rows, scratch);
    case KvElement::kCode4:
      return attend_as<KvElement::kCode4>(piece, rows, scratch);
  }
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

// Dense linear: f32 activations times f32, f16 or bf16 weights, one column a
// lane, fused additions in ascending K. See lanes.h for how this is compiled.
#include "exec/cpu/kernels_parts.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

namespace {

// Rows whose sums fit the registers next to one row of weights.
constexpr int kRows = Wide::kParts == 1 ? 8 : Wide::kParts == 2 ? 4 : 2;

template <DenseType Type>
STOMP_INLINE F32 weights_at(const std::byte* p) {
  if constexpr (Type == DenseType::kF32) {
    return load<F32>(p);
  } else if constexpr (Type == DenseType::kF16) {
    return from_f16(reinterpret_cast<const uint16_t*>(p));
  } else {
    return (F32)(from_u16(p) << 16);
  }
}

/// Weights of row k of a block, or of a chunk of it.
template <DenseType Type>
STOMP_INLINE Wide row_at(const std::byte* block, int k) {
  constexpr size_t kBytes = DenseLayout{0, Type}.element_bytes();
  Wide w;
  STOMP_UNROLL
  for (int i = 0; i < Wide::kParts; i++) {
    w.part[i] = weights_at<Type>(
        block + (static_cast<size_t>(k) * kBlockColumns + i * kLanes) * kBytes);
  }
  return w;
}

struct Chunk {
  const std::byte* weights; // of row `first`
  int first;
  int n;
  bool add; // to what y holds: earlier chunks' sums, or the caller's
};

template <DenseType Type, int R>
void tile(
    const Chunk& chunk,
    const float* rows,
    size_t cols,
    const LinearOutput& out) {
  const float* x[R];
  Wide acc[R];
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    x[r] = rows + r * cols + chunk.first;
    acc[r] = chunk.add ? Wide::at(out.row(r)) : Wide::zero();
  }
  for (int k = 0; k < chunk.n; k++) {
    const Wide w = row_at<Type>(chunk.weights, k);
    STOMP_UNROLL
    for (int r = 0; r < R; r++) {
      STOMP_UNROLL
      for (int i = 0; i < Wide::kParts; i++) {
        acc[r].part[i] = fma(w.part[i], splat(x[r][k]), acc[r].part[i]);
      }
    }
  }
  STOMP_UNROLL
  for (int r = 0; r < R; r++) {
    __builtin_memcpy(out.row(r), &acc[r], sizeof acc[r]);
  }
}

using Tile = void (*)(const Chunk&, const float*, size_t, const LinearOutput&);

template <DenseType Type>
Tile tile_of(int rows) {
  if (rows >= kRows) {
    return tile<Type, kRows>;
  }
  switch (rows) {
    case 1:
      return tile<Type, 1>;
    case 2:
      return tile<Type, (kRows > 2 ? 2 : 1)>;
    case 3:
      return tile<Type, (kRows > 3 ? 3 : 1)>;
    default:
      return tile<Type, (kRows > 4 ? 4 : 1)>;
  }
}

template <DenseType Type>
void unpack(const Chunk& chunk, float* out) {
  for (int k = 0; k < chunk.n; k++) {
    const Wide w = row_at<Type>(chunk.weights, k);
    __builtin_memcpy(out + k * kBlockColumns, &w, sizeof w);
  }
}

template <DenseType Type>
void linear(
    const DenseLayout& layout,
    const std::byte* block,
    const float* rows,
    int n_rows,
    const LinearOutput& out,
    std::byte* scratch) {
  const bool share = Type != DenseType::kF32 && n_rows > kRows;
  const size_t row_bytes = kBlockColumns * layout.element_bytes();
  for (int first = 0; first < layout.cols; first += kDenseChunk) {
    const int left = layout.cols - first;
    Chunk chunk{
        block + first * row_bytes,
        first,
        left < kDenseChunk ? left : kDenseChunk,
        out.add || first > 0};
    if (share) {
      unpack<Type>(chunk, reinterpret_cast<float*>(scratch));
      chunk.weights = scratch;
    }
    for (int r = 0; r < n_rows;) {
      const int some = n_rows - r;
      const int take = some >= kRows ? kRows : some > 4 ? 4 : some;
      const Tile run =
          share ? tile_of<DenseType::kF32>(take) : tile_of<Type>(take);
      const float* x = rows + static_cast<size_t>(r) * layout.cols;
      run(chunk, x, layout.cols, out.from(r));
      r += take;
    }
  }
}

} // namespace

void linear_dense(
    const DenseLayout& layout,
    const std::byte* block,
    const float* rows,
    int n_rows,
    const LinearOutput& out,
    std::byte* scratch) {
  const auto run = layout.type == DenseType::kF32 ? linear<DenseType::kF32>
      : layout.type == DenseType::kF16            ? linear<DenseType::kF16>
                                                  : linear<DenseType::kBF16>;
  run(layout, block, rows, n_rows, out, scratch);
}

} // namespace stomp::cpu::STOMP_KERNEL_ISA

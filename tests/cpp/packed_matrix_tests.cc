// Packed weights hold what the file holds, where kernels.h says: read here by
// an independent hand, in double precision, and compared without tolerance.
#include <cstring>
#include <memory>
#include <vector>

#include "base/half.h"
#include "base/thread_pool.h"
#include "check.h"
#include "exec/cpu/packed_matrix.h"
#include "reference_llama.h"

using namespace stomp::cpu;
using stomp::WeightFormat;
using stomp::WeightMatrix;

namespace {

double float_at(const std::byte* p, bool f32) {
  if (f32) {
    float x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  uint16_t half;
  std::memcpy(&half, p, sizeof half);
  return stomp::f16_to_f32(half);
}

double
weight_at(const QuantisedLayout& l, const std::byte* block, int column, int k) {
  const int fields = 8 / l.bits;
  const int quad = k / 4;
  const int size = l.f32_scales ? 4 : 2;
  const int row = size * kBlockColumns; // of scales or of biases
  const size_t group_bytes = static_cast<size_t>(l.biases ? 2 : 1) * row;
  const size_t codes_at = (l.cols / l.group * group_bytes + 63) / 64 * 64;
  const size_t byte =
      codes_at + size_t{64} * (quad / fields) + 4 * column + k % 4;
  const int code =
      std::to_integer<int>(block[byte]) >> (quad % fields * l.bits) &
      ((1 << l.bits) - 1);
  const std::byte* affine =
      block + static_cast<size_t>(k / l.group) * group_bytes;
  const double scale = float_at(affine + column * size, l.f32_scales);
  const double bias = l.biases
      ? float_at(affine + row + column * size, l.f32_scales)
      : -l.centre * scale;
  // 12 more than twice what E2M1 says.
  constexpr int kE2m1[16] = {
      12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
  return scale * (l.e2m1 ? kE2m1[code] : code) + bias;
}

double
weight_at(const DenseLayout& l, const std::byte* block, int column, int k) {
  const size_t i = static_cast<size_t>(k) * kBlockColumns + column;
  if (l.type == DenseType::kBF16) {
    uint16_t half;
    std::memcpy(&half, block + 2 * i, sizeof half);
    return stomp::bf16_to_f32(half);
  }
  const bool f32 = l.type == DenseType::kF32;
  return float_at(block + (f32 ? 4 : 2) * i, f32);
}

double weight_at(const PackedBlock& block, int column, int k) {
  return block.part->quantised
      ? weight_at(block.part->quantised_layout, block.bytes, column, k)
      : weight_at(block.part->dense_layout, block.bytes, column, k);
}

/// Every weight of `packed`, and zeros where `parts` have none.
void check_packed(
    const PackedMatrix& packed,
    const std::vector<const WeightMatrix*>& parts) {
  int block = 0;
  for (size_t p = 0; p < parts.size(); p++) {
    const WeightMatrix& w = *parts[p];
    const PackedPart& part = packed.part(static_cast<int>(p));
    CHECK_EQUAL(part.first_column(), block * kBlockColumns);
    CHECK_EQUAL(part.blocks, (w.rows + kBlockColumns - 1) / kBlockColumns);
    for (int b = 0; b < part.blocks; b++, block++) {
      const PackedBlock at = packed.block(block);
      CHECK(at.part == &part);
      CHECK_EQUAL(reinterpret_cast<uintptr_t>(at.bytes) % 64, uintptr_t{0});
      for (int c = 0; c < kBlockColumns; c++) {
        const int row = b * kBlockColumns + c;
        const auto want = row < w.rows ? reference::decode_row(w, row)
                                       : std::vector<double>(w.cols);
        for (int k = 0; k < w.cols; k++) {
          CHECK_EQUAL(weight_at(at, c, k), want[k]);
        }
      }
    }
  }
  CHECK_EQUAL(packed.blocks(), block);
  CHECK_EQUAL(packed.columns(), block * kBlockColumns);
}

reference::Shape shape_of(WeightFormat format) {
  reference::Shape shape;
  shape.n_layers = 1;
  shape.d_model = 256;
  shape.d_ff = 128;
  shape.format = format;
  return shape;
}

/// Three parts of a random model: whole blocks, blocks and a bit, one row.
void check_format(const reference::Shape& shape, stomp::ThreadPool& threads) {
  const auto model = reference::random_model(shape);
  const stomp::LayerWeights& layer = model->weights.layers[0];
  WeightMatrix whole = layer.gate;
  WeightMatrix partly = layer.up;
  WeightMatrix row = layer.q;
  whole.rows = 48;
  partly.rows = 41;
  row.rows = 1;
  const std::vector<const WeightMatrix*> parts = {&whole, &partly, &row};
  stomp::PageArena arena;
  const PackedMatrix packed(parts, threads, arena);
  CHECK_EQUAL(packed.cols(), shape.d_model);
  CHECK_EQUAL(packed.any_quantised(), whole.quantised());
  CHECK_EQUAL(packed.any_dense(), !whole.quantised());
  check_packed(packed, parts);
}

} // namespace

TEST("packed matrix: every format keeps its values, padding is zero") {
  stomp::ThreadPool threads(2);
  for (WeightFormat format :
       {WeightFormat::kF32,
        WeightFormat::kF16,
        WeightFormat::kBF16,
        WeightFormat::kQ4_0,
        WeightFormat::kQ4_1,
        WeightFormat::kQ8_0,
        WeightFormat::kMxfp4,
        WeightFormat::kMxfp4Blocks}) {
    check_format(shape_of(format), threads);
  }
  reference::Shape shape = shape_of(WeightFormat::kAffine);
  for (int bits : {2, 3, 4, 5, 6, 8}) {
    for (int group : {32, 64, 128}) {
      for (WeightFormat scales :
           {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kBF16}) {
        shape.bits = bits;
        shape.group = group;
        shape.scale_format = scales;
        check_format(shape, threads);
      }
    }
  }
}

TEST("packed matrix: parts of different formats stand side by side") {
  stomp::ThreadPool threads(2);
  const auto q4 = reference::random_model(shape_of(WeightFormat::kQ4_1));
  const auto q8 = reference::random_model(shape_of(WeightFormat::kQ8_0));
  const auto f16 = reference::random_model(shape_of(WeightFormat::kF16));
  const std::vector<const WeightMatrix*> parts = {
      &q4->weights.layers[0].q,
      &f16->weights.layers[0].k,
      &q8->weights.layers[0].v};
  stomp::PageArena arena;
  const PackedMatrix packed(parts, threads, arena);
  CHECK(packed.any_quantised() && packed.any_dense());
  check_packed(packed, parts);
}

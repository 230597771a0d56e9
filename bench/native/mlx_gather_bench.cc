// What the MLX executor pays in each step to read blocks: it gathers the keys
// and values of a sequence into one array a layer (exec/mlx/kv_pool.h).
//
//   stomp_mlx_gather_bench LAYERS KV_HEADS HEAD_DIM TOKENS
//
// prints JSON objects, {"name", "value", "unit"}; medians of several rounds.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include "exec/mlx/device.h"
#include "exec/mlx/kv_pool.h"
#include "measure.h"

namespace {

using namespace stomp;
using namespace stomp::mlx_exec;

constexpr int kBlockTokens = 64;

struct Shape {
  int layers, kv_heads, head_dim, tokens;
  int blocks() const { return tokens / kBlockTokens; }
};

mlx_dtype dtype_of(const Device& device) {
  return device.gpu() ? MLX_FLOAT16 : MLX_FLOAT32;
}

ModelCacheSpec spec_of(const Shape& shape, mlx_dtype dtype) {
  ModelCacheSpec spec;
  spec.n_layers = shape.layers;
  spec.n_kv_heads = shape.kv_heads;
  spec.key_dim = spec.value_dim = shape.head_dim;
  spec.block_tokens = kBlockTokens;
  spec.kv = kv_format(16, shape.head_dim, dtype);
  spec.groups.resize(1);
  spec.groups[0].layers.resize(shape.layers);
  std::iota(spec.groups[0].layers.begin(), spec.groups[0].layers.end(), 0);
  return spec;
}

/// What a layer's keys or values are after a step has written a row.
Planes appended(KvPool& pool, const Shape& shape, int layer, Part part) {
  const std::vector<float> row(
      static_cast<size_t>(shape.kv_heads) * shape.head_dim, 0.5F);
  const bool half = pool.spec().kv.element_bytes == 2;
  const std::vector<uint16_t> half_row(row.size(), 0x3800);
  const Array rows = Array::from_bytes(
      half ? static_cast<const void*>(half_row.data()) : row.data(),
      {1, shape.kv_heads, shape.head_dim},
      half ? MLX_FLOAT16 : MLX_FLOAT32);
  const int32_t slot = 0;
  return pool.append(layer, part, rows, Array::from_ints({&slot, 1}));
}

/// A sequence's blocks as they lie after agents have come and gone.
Array scattered_blocks(int n) {
  std::vector<int32_t> ids(n);
  std::iota(ids.begin(), ids.end(), 0);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(7));
  return Array::from_ints(ids);
}

void measure(const Shape& shape) {
  Device device("");
  const Graph graph(device.stream());
  const ModelCacheSpec spec = spec_of(shape, dtype_of(device));
  KvPool pool(
      graph, spec, {shape.blocks()}, dtype_of(device), device.in_place());
  std::vector<Planes> values;
  for (int layer = 0; layer < shape.layers; layer++) {
    values.push_back(appended(pool, shape, layer, Part::kKeys));
    values.push_back(appended(pool, shape, layer, Part::kValues));
  }
  Arrays started;
  pool.settle(started);
  evaluate(started);
  const Array blocks = scattered_blocks(shape.blocks());
  const double ns = bench::nanoseconds(1, [&] {
    Arrays gathered;
    for (const Planes& value : values) {
      gathered.add(pool.gather(value, blocks, 0, shape.tokens));
    }
    evaluate(gathered);
  });
  bench::print("mlx gather: all layers", ns);
  std::printf(
      R"({"name":"mlx gather: moved","value":%zu,"unit":"bytes"})"
      "\n",
      spec.token_layer_bytes() * shape.layers * shape.tokens);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(
        stderr,
        "usage: stomp_mlx_gather_bench LAYERS KV_HEADS HEAD_DIM TOKENS\n");
    return 2;
  }
  try {
    install_error_handler();
    measure(
        {std::atoi(argv[1]),
         std::atoi(argv[2]),
         std::atoi(argv[3]),
         std::atoi(argv[4])});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "stomp_mlx_gather_bench: %s\n", e.what());
    return 1;
  }
  return 0;
}

// Codes of the append kernel against those of MLX on its CPU device, which the
// pool's codec makes.
#include <algorithm>
#include <cmath>

#include "append_case.h"
#include "check.h"
#include "exec/mlx/kv_codec.h"
#include "seeds.h"

using namespace paged_rig;
using namespace stomp::mlx_exec;

namespace {

/// A stream of MLX's CPU device.
class CpuStream {
 public:
  CpuStream() {
    install_error_handler();
    stream_ = mlx_default_cpu_stream_new();
  }
  CpuStream(const CpuStream&) = delete;
  CpuStream& operator=(const CpuStream&) = delete;
  ~CpuStream() { mlx_stream_free(stream_); }
  Graph graph() const { return Graph(stream_); }

 private:
  mlx_stream stream_;
};

constexpr mlx_dtype kTypes[] = {MLX_FLOAT16, MLX_BFLOAT16, MLX_FLOAT32};

KvCodec codec_of(const CpuStream& stream, const CacheShape& shape) {
  const mlx_dtype type = kTypes[static_cast<int>(shape.element)];
  stomp::KvFormat format = kv_format(shape.bits, shape.head_dim, type);
  format.group = shape.group;
  return KvCodec(stream.graph(), format, type);
}

/// The case's rows, packed by MLX: codes, scales, biases.
std::vector<Array> packed(const CpuStream& stream, const AppendCase& c) {
  std::vector<float> rows;
  c.for_elements([&](int row, int head, int d) {
    rows.push_back(static_cast<float>(c.row_value(row, head, d)));
  });
  const Graph graph = stream.graph();
  const Array array = graph.cast(
      graph.reshape(
          Array::from_floats(rows),
          {c.n_rows, c.shape.kv_heads, c.shape.head_dim}),
      kTypes[static_cast<int>(c.shape.element)]);
  std::vector<Array> planes = codec_of(stream, c.shape).pack(array);
  for (const Array& plane : planes) {
    plane.wait();
  }
  return planes;
}

/// What the case's slots hold of a plane, in the order of rows.
std::vector<std::byte> rows_of(const AppendCase& c, const Guarded& plane) {
  const size_t row_bytes = plane.size() / c.pool_slots();
  std::vector<std::byte> rows;
  for (int slot : c.slots) {
    const std::byte* from = plane.data() + slot * row_bytes;
    rows.insert(rows.end(), from, from + row_bytes);
  }
  return rows;
}

bool same(const std::vector<std::byte>& a, const Array& b) {
  return a.size() == b.bytes() && std::equal(a.begin(), a.end(), b.host());
}

} // namespace

TEST("metal: appended codes, scales and biases are MLX's to the bit") {
  const CpuStream stream;
  for_seeds(1, 100, [&](Random& random) {
    AppendCase c(random, random_coded_shape(random));
    c.append();
    const std::vector<Array> mlx = packed(stream, c);
    CHECK(same(rows_of(c, c.planes.elements()), mlx[0]));
    CHECK(same(rows_of(c, c.planes.scales()), mlx[1]));
    CHECK(same(rows_of(c, c.planes.biases()), mlx[2]));
  });
}

TEST("metal: rows of zeros and of one value have MLX's codes") {
  const CpuStream stream;
  for_seeds(1000, 20, [&](Random& random) {
    AppendCase c(random, random_coded_shape(random));
    const double value = random.pick({0.0, 1.0, -1.0, 1e-7, -60000.0});
    for (int row = 0; row < c.n_rows; row++) {
      for (int i = 0; i < c.row_size(); i++) {
        c.rows.set(size_t(row) * c.stride + i, value);
      }
    }
    c.append();
    const std::vector<Array> mlx = packed(stream, c);
    CHECK(same(rows_of(c, c.planes.elements()), mlx[0]));
    CHECK(same(rows_of(c, c.planes.scales()), mlx[1]));
    CHECK(same(rows_of(c, c.planes.biases()), mlx[2]));
  });
}

// See append.h. The only file that goes around mlx-c: an mlx_array's ctx is an
// mlx::core::array, and the mlx-c sources in use are pinned to MLX's version.
#include "exec/mlx/append.h"

#include <cstring>
#include <memory>
#include <stdexcept>

#include "mlx/backend/cpu/encoder.h"
#include "mlx/c/private/mlx.h"
#include "mlx/primitives.h"

namespace stomp::mlx_exec {

namespace {

namespace core = ::mlx::core;

class AppendInPlace : public core::UnaryPrimitive {
 public:
  explicit AppendInPlace(core::Stream stream) : UnaryPrimitive(stream) {}

  void eval_cpu(const std::vector<core::array>& inputs, core::array& out)
      override {
    const core::array& pool = inputs[0];
    const core::array& rows = inputs[1];
    const core::array& slots = inputs[2];
    if (!rows.flags().row_contiguous || !slots.flags().row_contiguous) {
      throw std::invalid_argument("append needs contiguous rows and slots");
    }
    out.copy_shared_buffer(pool);
    if (rows.size() == 0) {
      return;
    }
    // MLX keeps the inputs until this task is done.
    const size_t row_bytes = rows.nbytes() / rows.shape(0);
    core::cpu::get_command_encoder(stream()).dispatch(
        [to = out.data<char>(),
         from = rows.data<char>(),
         slot = slots.data<int32_t>(),
         n = rows.shape(0),
         row_bytes]() {
          for (int i = 0; i < n; i++) {
            std::memcpy(
                to + slot[i] * row_bytes, from + i * row_bytes, row_bytes);
          }
        });
  }

  void eval_gpu(const std::vector<core::array>&, core::array&) override {
    throw std::runtime_error("the in-place append has no GPU kernel");
  }

  const char* name() const override { return "StompAppendInPlace"; }

  std::vector<core::Shape> output_shapes(
      const std::vector<core::array>& inputs) override {
    return {inputs[0].shape()};
  }
};

size_t bytes_of(const std::vector<int>& shape, mlx_dtype dtype) {
  size_t bytes = core::size_of(mlx_dtype_to_cpp(dtype));
  for (int dim : shape) {
    bytes *= dim;
  }
  return bytes;
}

Error cannot_be_had(size_t bytes, const std::string& reason) {
  return {
      Code::kInvalidRequest,
      "the cache budget of " + std::to_string(bytes) +
          " bytes for each of K and V in a layer cannot be had (" + reason +
          "); lower it"};
}

} // namespace

Array append_in_place(
    const Graph& graph,
    const Array& pool,
    const Array& rows,
    const Array& slots) {
  try {
    const core::array& target = mlx_array_get_(pool.get());
    return Array::adopt(
        mlx_array_new_(core::array(
            target.shape(),
            target.dtype(),
            std::make_shared<AppendInPlace>(mlx_stream_get_(graph.stream())),
            {target, mlx_array_get_(rows.get()), mlx_array_get_(slots.get())})),
        "append to the cache");
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(
        Code::kGenerationFailed,
        std::string("MLX could not append to the cache: ") + e.what());
  }
}

Array append_by_scatter(
    const Graph& graph,
    const Array& pool,
    const Array& rows,
    const Array& slots) {
  return graph.scatter(pool, slots, rows);
}

Array uninitialised(const std::vector<int>& shape, mlx_dtype dtype) {
  const core::Dtype type = mlx_dtype_to_cpp(dtype);
  const size_t bytes = bytes_of(shape, dtype);
  // Some of MLX's allocators throw, some return null.
  std::string reason = "out of memory";
  try {
    const core::allocator::Buffer buffer = core::allocator::malloc(bytes);
    if (buffer.ptr()) {
      return Array::adopt(
          mlx_array_new_(core::array(
              buffer, core::Shape(shape.begin(), shape.end()), type)),
          "reserve the cache");
    }
  } catch (const std::exception& e) {
    reason = e.what();
  }
  throw cannot_be_had(bytes, reason);
}

Array zeroed(
    const Graph& graph,
    const std::vector<int>& shape,
    mlx_dtype dtype) {
  try {
    Array zeros = graph.zeros(shape, dtype);
    zeros.wait();
    return zeros;
  } catch (const Error& e) {
    throw cannot_be_had(bytes_of(shape, dtype), e.what());
  }
}

} // namespace stomp::mlx_exec

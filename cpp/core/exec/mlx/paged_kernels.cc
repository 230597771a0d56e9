// See paged_kernels.h. Goes around mlx-c, as append.cc does: what mlx-c cannot
// say is a result that lies in an operand's buffer.
#include "exec/mlx/paged_kernels.h"

#include <functional>
#include <stdexcept>

#include "mlx/c/private/mlx.h"
#include "mlx/primitives.h"

namespace stomp::mlx_exec {

namespace {

namespace core = ::mlx::core;

using Access = Launcher::Access;
using Buffer = Launcher::Buffer;
using Inputs = std::vector<core::array>;

/// What one node of the graph launches when it is evaluated. Gives its outputs
/// their memory before.
using Work = std::function<void(
    Launcher&,
    core::Stream,
    const Inputs& inputs,
    std::vector<core::array>& outputs)>;

/// A node that does nothing but launch kernels, on whatever the launcher runs
/// them.
class Launches : public core::Primitive {
 public:
  Launches(core::Stream stream, const char* name, Launcher& launcher, Work work)
      : Primitive(stream),
        name_(name),
        launcher_(launcher),
        work_(std::move(work)) {}

  void eval_cpu(const Inputs& inputs, std::vector<core::array>& outputs)
      override {
    work_(launcher_, stream(), inputs, outputs);
  }
  void eval_gpu(const Inputs& inputs, std::vector<core::array>& outputs)
      override {
    work_(launcher_, stream(), inputs, outputs);
  }
  const char* name() const override { return name_; }

 private:
  const char* name_;
  Launcher& launcher_;
  Work work_;
};

template <typename Params>
std::span<const std::byte> bytes_of(const Params& params) {
  return std::as_bytes(std::span(&params, 1));
}

const core::array& core_of(const Array& array) {
  return mlx_array_get_(array.get());
}

Inputs inputs_of(std::initializer_list<const Planes*> lists) {
  Inputs inputs;
  for (const Planes* list : lists) {
    for (const Array& array : *list) {
      inputs.push_back(core_of(array));
    }
  }
  return inputs;
}

/// Throws as the executor does.
template <typename F>
auto told(const char* what, F&& body) {
  try {
    return body();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(
        Code::kGenerationFailed,
        std::string("MLX could not ") + what + ": " + e.what());
  }
}

Array adopt(core::array array, const char* what) {
  return Array::adopt(mlx_array_new_(std::move(array)), what);
}

/// One array of this type and shape.
Array one_output(
    const char* name,
    const Graph& graph,
    Launcher& launcher,
    core::Shape shape,
    core::Dtype dtype,
    Inputs inputs,
    Work work) {
  return told(name, [&] {
    const core::Stream stream = mlx_stream_get_(graph.stream());
    return adopt(
        core::array(
            std::move(shape),
            dtype,
            std::make_shared<Launches>(stream, name, launcher, std::move(work)),
            std::move(inputs)),
        name);
  });
}

void allocate(core::array& array) {
  array.set_data(core::allocator::malloc(array.nbytes()));
}

core::array scratch(size_t bytes) {
  return core::array(
      core::allocator::malloc(bytes),
      core::Shape{static_cast<int>(bytes / sizeof(float))},
      core::float32);
}

metal::Element element_of(const core::array& array) {
  if (array.dtype() == core::float16) {
    return metal::Element::kF16;
  }
  return array.dtype() == core::bfloat16 ? metal::Element::kBf16
                                         : metal::Element::kF32;
}

constexpr const char* kPlaneNames[] = {"elements", "scales", "biases"};
constexpr const char* kKeyNames[] = {"keys", "key_scales", "key_biases"};
constexpr const char* kValueNames[] = {
    "values",
    "value_scales",
    "value_biases"};

/// Adds inputs [first, first + n), the planes of K or V.
void add_planes(
    std::vector<Buffer>& buffers,
    const Inputs& inputs,
    size_t first,
    size_t n,
    const char* const* names) {
  for (size_t i = 0; i < n; i++) {
    buffers.push_back({names[i], inputs[first + i], Access::kReadShared});
  }
}

/// A table's rows of ints; empty for an empty table.
template <typename Row>
Array table(const std::vector<Row>& rows) {
  static_assert(sizeof(Row) % sizeof(int32_t) == 0);
  constexpr int fields = sizeof(Row) / sizeof(int32_t);
  return rows.empty()
      ? Array()
      : Array::from_bytes(
            rows.data(), {static_cast<int>(rows.size()), fields}, MLX_INT32);
}

/// What attention is evaluated from: where its inputs are among all of them.
struct AttendInputs {
  size_t planes = 1; // of K, and of V
  bool sinks = false;
  bool decode = false;
  bool prefill = false;
};

std::vector<Buffer> attend_buffers(
    const AttendInputs& where,
    const Inputs& inputs,
    const core::array& out) {
  size_t next = 0;
  std::vector<Buffer> buffers{{"queries", inputs[next++]}};
  add_planes(buffers, inputs, next, where.planes, kKeyNames);
  next += where.planes;
  add_planes(buffers, inputs, next, where.planes, kValueNames);
  next += where.planes;
  buffers.push_back({"block_ids", inputs[next++]});
  if (where.sinks) {
    buffers.push_back({"sinks", inputs[next++]});
  }
  if (where.decode) {
    buffers.push_back({"rows", inputs[next++]});
  }
  if (where.prefill) {
    buffers.push_back({"spans", inputs[next++]});
    buffers.push_back({"tiles", inputs[next++]});
  }
  buffers.push_back({"out", out, Access::kWrite});
  return buffers;
}

void launch_decode(
    Launcher& launcher,
    core::Stream stream,
    const metal::DecodePlan& plan,
    std::vector<Buffer> buffers) {
  const core::array out = scratch(plan.partial_out_bytes);
  const core::array sum = scratch(plan.partial_sum_bytes);
  buffers.push_back({"partial_out", out, Access::kWrite});
  buffers.push_back({"partial_sum", sum, Access::kWrite});
  launcher.run(stream, plan.decode, buffers, bytes_of(plan.params));
  buffers.end()[-1].access = buffers.end()[-2].access = Access::kRead;
  launcher.run(stream, plan.combine, std::move(buffers), bytes_of(plan.params));
  launcher.keep(stream, {out, sum});
}

} // namespace

Planes PagedKernels::append(
    const Planes& planes,
    const Array& rows,
    const Array& slots) const {
  const Array whole = graph_.contiguous(rows);
  Inputs inputs = inputs_of({&planes});
  inputs.push_back(core_of(whole));
  inputs.push_back(core_of(slots));
  std::vector<core::Shape> shapes;
  std::vector<core::Dtype> dtypes;
  for (const Array& plane : planes) {
    shapes.push_back(core_of(plane).shape());
    dtypes.push_back(core_of(plane).dtype());
  }
  const metal::CacheShape cache = cache_;
  Work work = [cache](
                  Launcher& launcher,
                  core::Stream stream,
                  const Inputs& in,
                  std::vector<core::array>& outputs) {
    const size_t n = outputs.size();
    const core::array& rows = in[n];
    std::vector<Buffer> buffers{{"rows", rows}, {"slots", in[n + 1]}};
    for (size_t i = 0; i < n; i++) {
      outputs[i].copy_shared_buffer(in[i]);
      buffers.push_back({kPlaneNames[i], outputs[i], Access::kWrite});
    }
    if (rows.size() == 0) {
      return;
    }
    metal::CacheShape shape = cache;
    shape.element = element_of(rows);
    const auto plan = metal::plan_append(
        shape, rows.shape(0), static_cast<int>(rows.size() / rows.shape(0)));
    launcher.run(
        stream, plan.launch, std::move(buffers), bytes_of(plan.params));
  };
  return told("append to the cache", [&] {
    const core::Stream stream = mlx_stream_get_(graph_.stream());
    const std::vector<core::array> results = core::array::make_arrays(
        std::move(shapes),
        dtypes,
        std::make_shared<Launches>(
            stream, "StompPagedAppend", *launcher_, std::move(work)),
        inputs);
    Planes appended;
    for (const core::array& result : results) {
      appended.push_back(adopt(result, "append to the cache"));
    }
    return appended;
  });
}

Array PagedKernels::put(
    const Array& plane,
    const Array& rows,
    const Array& slots) const {
  const metal::CacheShape cache = cache_;
  Work work = [cache](
                  Launcher& launcher,
                  core::Stream stream,
                  const Inputs& in,
                  std::vector<core::array>& outputs) {
    outputs[0].copy_shared_buffer(in[0]);
    const int n = in[1].shape(0);
    const auto plan = metal::plan_put(cache, in[1].nbytes() / n, n);
    launcher.run(
        stream,
        plan.launch,
        {{"rows", in[1]},
         {"slots", in[2]},
         {"plane", outputs[0], Access::kWrite}},
        bytes_of(plan.params));
  };
  const core::array& target = core_of(plane);
  return one_output(
      "StompPagedPut",
      graph_,
      *launcher_,
      target.shape(),
      target.dtype(),
      {target, core_of(graph_.contiguous(rows)), core_of(slots)},
      std::move(work));
}

Array PagedKernels::copy(const Array& plane, std::span<const BlockCopy> copies)
    const {
  std::vector<paged::BlockMove> moves;
  for (const BlockCopy& copy : copies) {
    moves.push_back(
        {.src = copy.src, .dst = copy.dst, .tokens = copy.n_tokens});
  }
  const core::array& target = core_of(plane);
  const size_t token_bytes = target.nbytes() / target.shape(0);
  const auto plan = metal::plan_copy(cache_, token_bytes, moves);
  Work work = [plan](
                  Launcher& launcher,
                  core::Stream stream,
                  const Inputs& in,
                  std::vector<core::array>& outputs) {
    outputs[0].copy_shared_buffer(in[0]);
    launcher.run(
        stream,
        plan.launch,
        {{"moves", in[1]}, {"plane", outputs[0], Access::kWrite}},
        bytes_of(plan.params));
  };
  return one_output(
      "StompPagedCopy",
      graph_,
      *launcher_,
      target.shape(),
      target.dtype(),
      {target, core_of(table(moves))},
      std::move(work));
}

Array PagedKernels::gather(
    const Planes& planes,
    const Array& blocks,
    int begin,
    int end,
    mlx_dtype dtype) const {
  const size_t n = planes.size();
  Inputs inputs = inputs_of({&planes});
  inputs.push_back(core_of(blocks));
  const metal::CacheShape cache = cache_;
  Work work = [cache, n, begin, end](
                  Launcher& launcher,
                  core::Stream stream,
                  const Inputs& in,
                  std::vector<core::array>& outputs) {
    allocate(outputs[0]);
    metal::CacheShape shape = cache;
    shape.element = element_of(outputs[0]);
    const auto plan = metal::plan_gather(shape, begin, end - begin);
    std::vector<Buffer> buffers{
        {"blocks", in[n]}, {"out", outputs[0], Access::kWrite}};
    add_planes(buffers, in, 0, n, kPlaneNames);
    launcher.run(
        stream, plan.launch, std::move(buffers), bytes_of(plan.params));
  };
  return one_output(
      "StompPagedGather",
      graph_,
      *launcher_,
      {1, cache_.kv_heads, end - begin, cache_.head_dim},
      mlx_dtype_to_cpp(dtype),
      std::move(inputs),
      std::move(work));
}

PagedKernels::Tables PagedKernels::tables_of(metal::AttendTables host) {
  Tables tables;
  tables.rows = table(host.rows);
  tables.spans = table(host.spans);
  tables.tiles = table(host.tiles);
  tables.block_ids = Array::from_ints(host.block_ids);
  tables.host = std::move(host);
  return tables;
}

Array PagedKernels::attend(
    const metal::Attention& attention,
    const std::shared_ptr<const Tables>& tables,
    const Array& queries,
    const Planes& keys,
    const Planes& values,
    const Array& sinks) const {
  const Array whole = graph_.contiguous(queries);
  AttendInputs where{
      .planes = keys.size(),
      .sinks = !sinks.empty(),
      .decode = tables->host.any_decode(),
      .prefill = tables->host.any_prefill()};
  Planes lists[] = {{whole}, keys, values, {tables->block_ids}};
  if (where.sinks) {
    lists[3].push_back(graph_.contiguous(sinks));
  }
  if (where.decode) {
    lists[3].push_back(tables->rows);
  }
  if (where.prefill) {
    lists[3].push_back(tables->spans);
    lists[3].push_back(tables->tiles);
  }
  Work work = [attention, tables, where](
                  Launcher& launcher,
                  core::Stream stream,
                  const Inputs& in,
                  std::vector<core::array>& outputs) {
    allocate(outputs[0]);
    metal::Attention shape = attention;
    shape.cache.element = element_of(in[0]);
    const std::vector<Buffer> buffers = attend_buffers(where, in, outputs[0]);
    if (where.decode) {
      launch_decode(
          launcher,
          stream,
          metal::plan_decode(shape, tables->host.rows),
          buffers);
    }
    if (where.prefill) {
      const auto plan = metal::plan_prefill(
          shape, static_cast<int>(tables->host.tiles.size()));
      launcher.run(stream, plan.launch, buffers, bytes_of(plan.params));
    }
  };
  const core::array& q = core_of(whole);
  return one_output(
      "StompPagedAttention",
      graph_,
      *launcher_,
      {q.shape(0), q.shape(1) * q.shape(2)},
      q.dtype(),
      inputs_of({&lists[0], &lists[1], &lists[2], &lists[3]}),
      std::move(work));
}

} // namespace stomp::mlx_exec

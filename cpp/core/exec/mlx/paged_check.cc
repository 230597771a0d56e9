// See paged_check.h.
#include "exec/mlx/paged_check.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <random>

#include "exec/mlx/attention.h"

namespace stomp::mlx_exec {

namespace {

constexpr int kBlocks = 12;
constexpr BlockId kFreeBlock = 0;
constexpr int kRounds = 5;

/// One sequence: so many tokens are there before, so many rows come.
struct Sequence {
  int before;
  int rows;
};
// Rows alone, one of them of a context that is split; a few at once, a prompt
// from its beginning, one that goes on.
constexpr Sequence kSequences[] =
    {{37, 1}, {5, 1}, {700, 1}, {20, 3}, {0, 21}, {11, 9}};

ModelConfig config_of(const CheckShape& shape) {
  ModelConfig config;
  config.n_layers = 1;
  config.n_heads = shape.n_heads;
  config.n_kv_heads = shape.cache.kv_heads;
  config.head_dim = shape.cache.head_dim;
  return config;
}

ModelCacheSpec spec_of(const CheckShape& shape, mlx_dtype dtype) {
  ModelCacheSpec spec;
  spec.n_layers = 1;
  spec.n_kv_heads = shape.cache.kv_heads;
  spec.key_dim = spec.value_dim = shape.cache.head_dim;
  spec.block_tokens = shape.cache.block_tokens;
  spec.kv = kv_format(shape.cache.bits, shape.cache.head_dim, dtype);
  LayerGroup& group = spec.groups.emplace_back();
  group.kind =
      shape.window > 0 ? AttentionKind::kSliding : AttentionKind::kGlobal;
  group.window = shape.window;
  group.layers = {0};
  return spec;
}

/// Numbers that no case before had: a kernel that writes nothing leaves what
/// lay in its memory, and that may be the right result of another check.
uint32_t new_seed() {
  static std::atomic<uint32_t> cases = 0;
  return cases++;
}

/// What is tried, as the executor would put it together.
struct Subject {
  const PagedKernels* kernels = nullptr; // null: they do not fill the pool
  std::function<std::unique_ptr<Attention>(const ModelConfig&, const KvPool&)>
      attention;
};

/// Both ways' caches and what is put into them.
class Case {
 public:
  Case(
      const Graph& graph,
      const Subject& subject,
      const CheckShape& shape,
      mlx_dtype dtype)
      : graph_(graph),
        shape_(shape),
        dtype_(dtype),
        config_(config_of(shape)),
        spec_(spec_of(shape, dtype)),
        paged_(graph, spec_, blocks(), dtype, false, subject.kernels),
        stock_(graph, spec_, blocks(), dtype, false),
        paged_attention_(subject.attention(config_, paged_)),
        stock_attention_(make_stock_attention(graph, config_, stock_)) {
    lay_out();
  }

  /// The largest difference, as a share of the largest number of its row; NaN
  /// counts as the worst.
  double difference() {
    fill();
    // The kernels first, so that no right result lies in memory yet.
    const std::vector<float> found = attend(true);
    const double attended =
        relative(found, attend(false), shape_.n_heads * dim());
    const std::vector<BlockCopy> copies{
        {.group = 0,
         .src = plan_.spans[0].keys[0].blocks[0],
         .dst = kFreeBlock,
         .n_tokens = copied_tokens()}};
    paged_.copy(copies);
    const std::vector<float> found_copied = copied(paged_);
    stock_.copy(copies);
    return worse(attended, relative(found_copied, copied(stock_), dim()));
  }

  double attend_microseconds() {
    std::vector<double> times;
    for (int i = 0; i < kRounds; i++) {
      const auto start = std::chrono::steady_clock::now();
      static_cast<void>(attend(true));
      const std::chrono::duration<double, std::micro> took =
          std::chrono::steady_clock::now() - start;
      times.push_back(took.count());
    }
    std::sort(times.begin(), times.end());
    return times[kRounds / 2];
  }

 private:
  size_t dim() const { return shape_.cache.head_dim; }

  std::vector<int> blocks() const {
    const int block = shape_.cache.block_tokens;
    int n = 1;
    for (const Sequence& sequence : kSequences) {
      n += (sequence.before + sequence.rows + block - 1) / block;
    }
    return {std::max(n, kBlocks)};
  }

  /// Blocks from the last one down, so that they are not in order.
  void lay_out() {
    const int block = shape_.cache.block_tokens;
    int next = blocks()[0] - 1;
    for (const Sequence& sequence : kSequences) {
      const int length = sequence.before + sequence.rows;
      Span span{
          .first = rows_, .size = sequence.rows, .length = length, .keys = {}};
      SpanKeys keys{
          .first = 0, .begin = 0, .window = shape_.window, .blocks = {}};
      if (shape_.window > 0) {
        keys.first = std::max(0, sequence.before + 1 - shape_.window);
      }
      for (int i = 0; i < length; i += block) {
        keys.blocks.push_back(next--);
      }
      for (int i = 0; i < length; i++) {
        all_slots_.push_back(keys.blocks[i / block] * block + i % block);
      }
      span.keys.push_back(std::move(keys));
      plan_.spans.push_back(std::move(span));
      rows_ += sequence.rows;
    }
  }

  /// The same numbers for the same stream.
  Array random(int n, int heads, uint32_t stream) const {
    std::seed_seq seed{seed_, stream};
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal;
    std::vector<float> numbers(size_t(n) * heads * shape_.cache.head_dim);
    std::generate(
        numbers.begin(), numbers.end(), [&] { return normal(engine); });
    return graph_.cast(
        graph_.reshape(
            Array::from_floats(numbers), {n, heads, shape_.cache.head_dim}),
        dtype_);
  }

  void fill() {
    const int n = static_cast<int>(all_slots_.size());
    const int heads = shape_.cache.kv_heads;
    const Array slots = Array::from_ints(all_slots_);
    for (KvPool* pool : {&paged_, &stock_}) {
      pool->append(0, Part::kKeys, random(n, heads, 1), slots);
      pool->append(0, Part::kValues, random(n, heads, 2), slots);
      Arrays started;
      pool->settle(started);
      evaluate(started);
    }
  }

  std::vector<float> attend(bool paged) {
    Attention& attention = paged ? *paged_attention_ : *stock_attention_;
    KvPool& pool = paged ? paged_ : stock_;
    attention.begin(plan_);
    const Array sinks = shape_.sinks
        ? graph_.reshape(
              graph_.slice(random(1, shape_.n_heads, 4), 2, 0, 1),
              {shape_.n_heads})
        : Array();
    return numbers_of(attention.attend(
        random(rows_, shape_.n_heads, 3),
        0,
        pool.value(0, Part::kKeys),
        pool.value(0, Part::kValues),
        sinks));
  }

  /// Of the first sequence's first block.
  int copied_tokens() const {
    return std::min(shape_.cache.block_tokens, plan_.spans[0].length);
  }

  std::vector<float> copied(KvPool& pool) const {
    const int32_t block = kFreeBlock;
    return numbers_of(pool.gather(
        pool.value(0, Part::kKeys),
        Array::from_ints({&block, 1}),
        0,
        copied_tokens()));
  }

  std::vector<float> numbers_of(const Array& array) const {
    const Array floats = graph_.contiguous(graph_.cast(array, MLX_FLOAT32));
    floats.wait();
    const auto* from = reinterpret_cast<const float*>(floats.host());
    return {from, from + floats.bytes() / sizeof(float)};
  }

  /// The larger; NaN stays.
  static double worse(double a, double b) {
    return std::isnan(a) || b <= a ? a : b;
  }

  static double relative(
      const std::vector<float>& found,
      const std::vector<float>& expected,
      size_t row) {
    double most = 0;
    for (size_t first = 0; first < expected.size(); first += row) {
      double largest = 0;
      for (size_t i = first; i < first + row; i++) {
        largest = std::max(largest, std::abs(double(expected[i])));
      }
      for (size_t i = first; i < first + row; i++) {
        const double difference =
            std::abs(double(found[i]) - expected[i]) / largest;
        most = worse(most, difference);
      }
    }
    return most;
  }

  const uint32_t seed_ = new_seed();
  Graph graph_;
  CheckShape shape_;
  mlx_dtype dtype_;
  ModelConfig config_;
  ModelCacheSpec spec_;
  KvPool paged_;
  KvPool stock_;
  std::unique_ptr<Attention> paged_attention_;
  std::unique_ptr<Attention> stock_attention_;
  StepPlan plan_;
  std::vector<int32_t> all_slots_; // of all tokens, sequence by sequence
  int rows_ = 0;
};

/// Both ways round their results to the type that they compute in.
double tolerance_of(mlx_dtype dtype) {
  switch (dtype) {
    case MLX_FLOAT32:
      return 1e-4;
    case MLX_FLOAT16:
      return 5e-3;
    default:
      return 4e-2;
  }
}

KernelCheck compare(
    const Graph& graph,
    const Subject& subject,
    const CheckShape& shape,
    mlx_dtype dtype) {
  KernelCheck check{
      .name = shape.name(), .failure = "", .difference = 0, .microseconds = 0};
  try {
    Case both(graph, subject, shape, dtype);
    check.difference = both.difference();
    check.microseconds = both.attend_microseconds();
    if (!(check.difference <= tolerance_of(dtype))) {
      check.failure = "results differ by " + std::to_string(check.difference);
    }
  } catch (const std::exception& e) {
    check.failure = e.what();
  }
  return check;
}

} // namespace

std::string CheckShape::name() const {
  std::string name = std::to_string(n_heads) + "/" +
      std::to_string(cache.kv_heads) + " heads of " +
      std::to_string(cache.head_dim) + ", blocks of " +
      std::to_string(cache.block_tokens) + ", " + std::to_string(cache.bits) +
      " bits";
  if (window > 0) {
    name += ", window " + std::to_string(window);
  }
  return sinks ? name + ", sinks" : name;
}

KernelCheck check_kernels(
    const Graph& graph,
    Launcher& launcher,
    const CheckShape& shape,
    mlx_dtype dtype) {
  const PagedKernels kernels(graph, launcher, shape.cache);
  return compare(
      graph,
      {.kernels = &kernels,
       .attention =
           [&](const ModelConfig& config, const KvPool& pool) {
             return make_paged_attention(config, pool.spec(), kernels);
           }},
      shape,
      dtype);
}

KernelCheck check_kernels(
    const Graph& graph,
    CudaLauncher& launcher,
    const CheckShape& shape,
    mlx_dtype dtype) {
  return compare(
      graph,
      {.attention =
           [&](const ModelConfig& config, const KvPool& pool) {
             return make_cuda_attention(graph, config, pool, launcher);
           }},
      shape,
      dtype);
}

std::vector<CheckShape> check_shapes() {
  std::vector<CheckShape> shapes;
  for (const int head_dim : {64, 80, 96, 128, 256}) {
    for (const int bits : {16, 8, 4}) {
      if (bits < 16 && head_dim % 32 != 0) {
        continue;
      }
      const int group = head_dim % 64 == 0 ? 64 : 32;
      const metal::CacheShape cache{
          .element = metal::Element::kF16,
          .kv_heads = 2,
          .head_dim = head_dim,
          .block_tokens = 16,
          .bits = bits,
          .group = group};
      shapes.push_back({cache, 8, 0, false});
      shapes.push_back({cache, 6, 16, true});
    }
  }
  return shapes;
}

} // namespace stomp::mlx_exec

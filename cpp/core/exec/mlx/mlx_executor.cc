// See mlx_executor.h.
#include "exec/mlx/mlx_executor.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace stomp::mlx_exec {

namespace {

// One runs, one waits, one is being read: a graph kept longer keeps its
// intermediate arrays.
constexpr size_t kMaxPending = 4;

/// Whether any of its weights are MXFP4, as of models that were made in bf16:
/// what their layers yield may be beyond f16.
bool has_mxfp4(const ModelWeights& w) {
  const ExpertWeights& experts = w.layers.back().experts;
  return w.embedding.mxfp4() || w.layers.back().q.mxfp4() ||
      (!experts.empty() && experts.down[0].mxfp4());
}

/// GPUs compute in the format the weights were made for.
mlx_dtype compute_dtype(const Device& device, const Model& model) {
  if (!device.gpu()) {
    return MLX_FLOAT32;
  }
  const WeightMatrix& w = model.weights.embedding;
  const WeightFormat format =
      w.format == WeightFormat::kAffine ? w.scale_format : w.format;
  const bool wide = format == WeightFormat::kBF16 ||
      format == WeightFormat::kF32 || has_mxfp4(model.weights);
  return wide ? MLX_BFLOAT16 : MLX_FLOAT16;
}

const char* dtype_name(mlx_dtype dtype) {
  switch (dtype) {
    case MLX_FLOAT16:
      return "f16";
    case MLX_BFLOAT16:
      return "bf16";
    default:
      return "f32";
  }
}

metal::CacheShape cache_shape(const ModelCacheSpec& spec) {
  return {
      .element = metal::Element::kF16,
      .kv_heads = spec.n_kv_heads,
      .head_dim = spec.key_dim,
      .block_tokens = spec.block_tokens,
      .bits = spec.kv.bits,
      .group = spec.kv.group};
}

/// What a cache of so many bits adds to the numerics.
const char* kv_name(int bits) {
  return bits == 16 ? "" : bits == 8 ? "-kv-q8" : "-kv-q4";
}

} // namespace

MlxExecutor::MlxExecutor(const ExecutorOptions& options)
    : options_(options),
      device_(options.device),
      graph_(device_.stream()),
      launcher_(make_launcher(device_)),
      cuda_launcher_(make_cuda_launcher(device_)) {}

MlxExecutor::~MlxExecutor() {
  // What is queued writes into the pool, which goes next.
  device_.synchronise();
}

ExecutorInfo MlxExecutor::info() const {
  ExecutorInfo info;
  info.name = "mlx";
  info.device = device_.name();
  info.isa = "MLX " + mlx_runtime_version() + ", " + dtype_name(dtype_);
  if (own_kernels_) {
    info.isa += kernels_ ? ", paged attention" : ", paged decode attention";
  } else if (!fallback_.empty()) {
    info.isa += ", stock attention (" + fallback_ + ")";
  }
  info.numerics = std::string("mlx-") +
      (device_.gpu() ? device_.name().substr(4) + "-" : "") +
      dtype_name(dtype_) + "-v1" + kv_name(options_.kv_bits);
  info.threads = 1;
  info.kv = kv_;
  return info;
}

ExecutorMemory MlxExecutor::memory() const {
  size_t active = 0;
  size_t cached = 0;
  check(mlx_get_active_memory(&active), "count its memory");
  check(mlx_get_cache_memory(&cached), "count its memory");
  ExecutorMemory memory;
  memory.weights_bytes = ops_ ? ops_->weight_bytes() : 0;
  memory.pool_bytes = pool_ ? pool_->bytes() : 0;
  // MLX counts for the whole process; another executor's share shows here.
  const size_t known = memory.weights_bytes + memory.pool_bytes;
  memory.scratch_bytes = std::max(active + cached, known) - known;
  return memory;
}

void MlxExecutor::load(
    std::shared_ptr<const Model> model,
    const std::function<void(double)>& progress) {
  dtype_ = compute_dtype(device_, *model);
  kv_ = kv_format(options_.kv_bits, model->config.head_dim, dtype_);
  config_ = model->config;
  ops_.emplace(graph_, model->config, dtype_);
  decoder_.emplace(*ops_, *model, [&](int done, int total) {
    if (progress) {
      progress(static_cast<double>(done) / total);
    }
  });
  device_.keep_resident(ops_->weight_bytes());
}

void MlxExecutor::allocate_pool(
    const ModelCacheSpec& spec,
    const std::vector<int>& blocks_per_group) {
  if (!ops_ || !spec.kv.same_as(kv_)) {
    throw Error(
        Code::kInvalidRequest,
        "the cache's elements are not the executor's; load a model first and "
        "take what info() says of them");
  }
  own_kernels_ = wants_kernels(spec);
  kernels_.reset();
  if (own_kernels_ && launcher_) {
    kernels_.emplace(graph_, *launcher_, cache_shape(spec));
  }
  pool_.emplace(
      graph_,
      spec,
      blocks_per_group,
      dtype_,
      device_.in_place(),
      kernels_ ? &*kernels_ : nullptr);
  attention_ = make_attention();
  ops_->use_pool(*pool_, *attention_);
}

std::unique_ptr<Attention> MlxExecutor::make_attention() {
  if (kernels_) {
    return make_paged_attention(config_, pool_->spec(), *kernels_);
  }
  if (own_kernels_) {
    return make_cuda_attention(graph_, config_, *pool_, *cuda_launcher_);
  }
  return make_stock_attention(graph_, config_, *pool_);
}

KernelCheck MlxExecutor::check_one(const CheckShape& shape, mlx_dtype dtype)
    const {
  return launcher_
      ? mlx_exec::check_kernels(graph_, *launcher_, shape, dtype)
      : mlx_exec::check_kernels(graph_, *cuda_launcher_, shape, dtype);
}

bool MlxExecutor::wants_kernels(const ModelCacheSpec& spec) {
  fallback_.clear();
  if (!has_kernels()) {
    return false;
  }
  const char* wanted = std::getenv("STOMP_MLX_ATTENTION");
  if (wanted && wanted == std::string_view("stock")) {
    fallback_ = "as STOMP_MLX_ATTENTION asks";
    return false;
  }
  const metal::CacheShape cache = cache_shape(spec);
  if (spec.key_dim != spec.value_dim || !metal::supports(cache)) {
    fallback_ = "no kernels for such heads";
    return false;
  }
  for (const LayerGroup& group : spec.groups) {
    const CheckShape shape{
        .cache = cache,
        .n_heads = config_.n_heads,
        .window = group.window,
        .sinks = config_.sinks};
    const std::string failure = check_one(shape, dtype_).failure;
    fallback_ = failure.substr(0, failure.find('\n')); // compilers write pages
    if (!fallback_.empty()) {
      return false;
    }
  }
  return true;
}

std::vector<KernelCheck> MlxExecutor::check_kernels() {
  std::vector<KernelCheck> checks;
  if (has_kernels()) {
    for (const CheckShape& shape : check_shapes()) {
      checks.push_back(
          check_one(shape, device_.gpu() ? MLX_FLOAT16 : MLX_FLOAT32));
    }
  }
  return checks;
}

KvPool& MlxExecutor::pool() {
  if (!pool_) {
    throw Error(
        Code::kGenerationFailed,
        "the executor has no pool yet; call load() and allocate_pool() first");
  }
  if (lost_) {
    throw Error(
        Code::kGenerationFailed,
        "the cache was lost when an earlier step failed; load the model again");
  }
  return *pool_;
}

template <class F>
auto MlxExecutor::computing(F&& body) {
  try {
    return body();
  } catch (...) {
    lost_ = lost_ || !pool_ || !pool_->in_place();
    throw;
  }
}

Array MlxExecutor::tokens_of(Ticket ticket, std::span<const int32_t> slices)
    const {
  const auto step = std::find_if(
      pending_.begin(), pending_.end(), [&](const Pending& pending) {
        return pending.ticket == ticket;
      });
  std::vector<int32_t> indices;
  for (int32_t slice : slices) {
    const bool known = step != pending_.end() && slice >= 0 &&
        slice < static_cast<int>(step->wanted.size()) &&
        step->wanted[slice].size > 0;
    if (!known) {
      throw Error(
          Code::kInvalidRequest,
          "a step was refused: the token it continues is not on the device");
    }
    // Slices without output have no token.
    indices.push_back(static_cast<int32_t>(std::count_if(
        step->wanted.begin(),
        step->wanted.begin() + slice,
        [](const Wanted& wanted) { return wanted.size > 0; })));
  }
  return graph_.cast(
      graph_.take(step->result.tokens, Array::from_ints(indices)), MLX_INT32);
}

Ticket MlxExecutor::submit(const Step& step) {
  KvPool& pool = this->pool();
  if (pending_.size() >= kMaxPending) {
    throw Error(
        Code::kGenerationFailed,
        "too many steps are under way; collect the oldest first");
  }
  const StepPlan plan = plan_step(
      step,
      pool.spec(),
      pool.blocks_per_group(),
      config_.vocab_size,
      options_.max_step_tokens);
  Pending pending;
  pending.wanted = plan.wanted;
  Arrays started;
  {
    const KvPool::Undo undo{pool};
    ops_->begin(plan, [this](Ticket ticket, std::span<const int32_t> slices) {
      return tokens_of(ticket, slices);
    });
    decoder_->forward(*ops_);
    pending.result = ops_->take_result();
    pool.settle(started);
  }
  if (!pending.result.tokens.empty()) {
    started.add(pending.result.tokens);
    started.add(pending.result.logits);
  }
  computing([&] { start(started); });
  const bool read_logits = std::any_of(
      plan.wanted.begin(), plan.wanted.end(), [](const Wanted& wanted) {
        return wanted.output >= Output::kLogits;
      });
  if (!read_logits) {
    pending.result.logits = Array();
  }
  pending.ticket = ++last_ticket_;
  pending_.push_back(std::move(pending));
  return last_ticket_;
}

void MlxExecutor::collect(Ticket ticket, StepResult& result) {
  if (pending_.empty() || pending_.front().ticket != ticket) {
    throw Error(
        Code::kGenerationFailed,
        "steps are collected once each, in the order of their submission");
  }
  const Pending step = std::move(pending_.front());
  pending_.pop_front();
  computing([&] { read(step, result); });
}

void MlxExecutor::read(const Pending& step, StepResult& out) {
  const MlxOps::Result& result = step.result;
  out.tokens.assign(step.wanted.size(), -1);
  out.logits.assign(step.wanted.size(), {});
  last_logits_ = result.logits;
  if (result.tokens.empty()) {
    result.last_rows.wait();
    return;
  }
  result.tokens.wait();
  const auto* tokens = reinterpret_cast<const uint32_t*>(result.tokens.host());
  std::span<const float> logits; // (R, vocab), or none where none wants them
  if (!last_logits_.empty()) {
    last_logits_.wait();
    logits = {
        reinterpret_cast<const float*>(last_logits_.host()),
        last_logits_.bytes() / sizeof(float)};
  }
  for (size_t i = 0; i < step.wanted.size(); i++) {
    const Wanted& wanted = step.wanted[i];
    if (wanted.size == 0) {
      continue;
    }
    out.tokens[i] = static_cast<int32_t>(*tokens++);
    if (wanted.output >= Output::kLogits) {
      out.logits[i] = logits.subspan(
          size_t(wanted.first) * config_.vocab_size,
          size_t(wanted.size) * config_.vocab_size);
    }
  }
}

void MlxExecutor::copy_blocks(std::span<const BlockCopy> copies) {
  if (copies.empty()) {
    return;
  }
  KvPool& pool = this->pool();
  computing([&] { pool.copy(copies); });
}

void MlxExecutor::read_block(
    int group,
    BlockId id,
    int n_tokens,
    std::span<std::byte> bytes) {
  pool().read(group, id, n_tokens, bytes);
}

void MlxExecutor::write_block(
    int group,
    BlockId id,
    int n_tokens,
    std::span<const std::byte> bytes) {
  KvPool& pool = this->pool();
  computing([&] { pool.write(group, id, n_tokens, bytes); });
}

} // namespace stomp::mlx_exec

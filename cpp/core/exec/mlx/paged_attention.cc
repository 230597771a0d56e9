// See attention.h.
#include "exec/mlx/attention.h"

namespace stomp::mlx_exec {

namespace {

class PagedAttention : public Attention {
 public:
  PagedAttention(
      const ModelConfig& config,
      const ModelCacheSpec& spec,
      const PagedKernels& kernels)
      : config_(config), spec_(spec), kernels_(kernels) {}

  void begin(const StepPlan& plan) override {
    tables_.clear();
    const int ratio = config_.n_heads / config_.n_kv_heads;
    for (size_t group = 0; group < spec_.groups.size(); group++) {
      tables_.push_back(std::make_shared<const PagedKernels::Tables>(
          PagedKernels::tables_of(metal::attend_tables(
              plan.spans, static_cast<int>(group), ratio))));
    }
  }

  Array attend(
      const Array& q,
      int group,
      const Planes& keys,
      const Planes& values,
      const Array& sinks) override {
    const metal::Attention attention{
        .cache = kernels_.cache(),
        .n_heads = config_.n_heads,
        .query_stride = config_.n_heads * config_.head_dim,
        .window = spec_.groups[group].window,
        .sinks = !sinks.empty(),
        .scale = config_.query_scale()};
    return kernels_.attend(attention, tables_[group], q, keys, values, sinks);
  }

 private:
  const ModelConfig& config_;
  const ModelCacheSpec& spec_;
  const PagedKernels& kernels_;
  std::vector<std::shared_ptr<const PagedKernels::Tables>> tables_; // [group]
};

} // namespace

std::unique_ptr<Attention> make_paged_attention(
    const ModelConfig& config,
    const ModelCacheSpec& spec,
    const PagedKernels& kernels) {
  return std::make_unique<PagedAttention>(config, spec, kernels);
}

} // namespace stomp::mlx_exec

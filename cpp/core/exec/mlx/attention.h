// How the rows of a step attend to the pool: the stock way, which any device
// has, or kernels that read blocks where they lie. Engine thread only.
#pragma once

#include <memory>

#include "exec/mlx/cuda_launcher.h"
#include "exec/mlx/kv_pool.h"
#include "exec/mlx/step_plan.h"
#include "model/config.h"

namespace stomp::mlx_exec {

class Attention {
 public:
  Attention() = default;
  Attention(const Attention&) = delete;
  Attention& operator=(const Attention&) = delete;
  virtual ~Attention() = default;

  /// REQUIRES: `plan` outlives the step.
  virtual void begin(const StepPlan& plan) = 0;

  /// Each row of q (N, n_heads, dim) over what its span sees of a layer of
  /// `group`, as (N, n_heads * dim). `keys` and `values`: the layer's planes
  /// with the step's rows in them, as KvPool::append() yields them. sinks
  /// (n_heads): scores that nothing stands behind; empty: none.
  virtual Array attend(
      const Array& q,
      int group,
      const Planes& keys,
      const Planes& values,
      const Array& sinks) = 0;
};

/// All spans of a step at once, by kernels that follow block tables.
/// REQUIRES: `kernels` outlives it, and were made for the pool.
std::unique_ptr<Attention> make_paged_attention(
    const ModelConfig& config,
    const ModelCacheSpec& spec,
    const PagedKernels& kernels);

/// Rows that come alone all at once, by kernels that follow block tables;
/// prompts the stock way. REQUIRES: `pool` and `launcher` outlive it;
/// metal::supports() the pool's heads.
std::unique_ptr<Attention> make_cuda_attention(
    const Graph& graph,
    const ModelConfig& config,
    const KvPool& pool,
    CudaLauncher& launcher);

/// Span by span, each over its keys gathered from their blocks.
/// REQUIRES: `pool` outlives it.
std::unique_ptr<Attention> make_stock_attention(
    const Graph& graph,
    const ModelConfig& config,
    const KvPool& pool);

} // namespace stomp::mlx_exec

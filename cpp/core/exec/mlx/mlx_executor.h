// The executor over MLX: the default on Apple and NVIDIA GPUs, and on MLX's
// CPU device, in f32, the reference for the others. One user: the engine
// thread, which creates, calls and destroys it.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "exec/executor.h"
#include "exec/mlx/device.h"
#include "exec/mlx/mlx_ops.h"
#include "exec/mlx/paged_check.h"
#include "model/decoder.h"

namespace stomp::mlx_exec {

class MlxExecutor : public Executor {
 public:
  /// Throws kExecutorUnavailable.
  explicit MlxExecutor(const ExecutorOptions& options);
  ~MlxExecutor() override;

  ExecutorInfo info() const override;
  ExecutorMemory memory() const override;
  void load(
      std::shared_ptr<const Model> model,
      const std::function<void(double)>& progress) override;
  void allocate_pool(
      const ModelCacheSpec& spec,
      const std::vector<int>& blocks_per_group) override;
  Ticket submit(const Step& step) override;
  using Executor::collect;
  void collect(Ticket ticket, StepResult& result) override;
  std::vector<KernelCheck> check_kernels() override;
  void copy_blocks(std::span<const BlockCopy> copies) override;
  void read_block(
      int group,
      BlockId id,
      int n_tokens,
      std::span<std::byte> bytes) override;
  void write_block(
      int group,
      BlockId id,
      int n_tokens,
      std::span<const std::byte> bytes) override;

 private:
  /// A step on its way.
  struct Pending {
    Ticket ticket = kNoTicket;
    std::vector<Wanted> wanted; // by slice
    MlxOps::Result result;      // started
  };

  bool has_kernels() const { return launcher_ || cuda_launcher_; }
  /// Whether the device has kernels for such a cache and they do what they
  /// should; else fallback_ says why not.
  bool wants_kernels(const ModelCacheSpec& spec);
  KernelCheck check_one(const CheckShape& shape, mlx_dtype dtype) const;
  /// The one place that chooses by device. REQUIRES: pool_.
  std::unique_ptr<Attention> make_attention();
  KvPool& pool();
  Array tokens_of(Ticket ticket, std::span<const int32_t> slices) const;
  void read(const Pending& step, StepResult& out);
  /// Runs what computes on the pool. Where the pool's values are replaced, one
  /// that failed to be computed is lost: then nothing more is accepted.
  template <class F>
  auto computing(F&& body);

  ExecutorOptions options_;
  Device device_;
  Graph graph_;
  mlx_dtype dtype_ = MLX_FLOAT32;
  KvFormat kv_{4};
  std::optional<MlxOps> ops_;
  std::optional<Decoder<MlxOps>> decoder_;
  // One of them at most; null: no kernels of our own.
  std::unique_ptr<Launcher> launcher_;
  std::unique_ptr<CudaLauncher> cuda_launcher_;
  bool own_kernels_ = false; // attend to the pool
  std::optional<PagedKernels> kernels_;
  std::string fallback_; // why the device's kernels are not used
  std::optional<KvPool> pool_;
  std::unique_ptr<Attention> attention_;
  ModelConfig config_;
  Ticket last_ticket_ = kNoTicket;
  std::deque<Pending> pending_; // submitted, not collected; oldest first
  Array last_logits_;           // what the last StepResult points into
  bool lost_ = false;
};

} // namespace stomp::mlx_exec

// The kernels of metal/ as operations of a graph: what is written, is written
// in the pool's own buffers. Lazy; engine thread only.
#pragma once

#include <memory>
#include <span>

#include "exec/executor.h"
#include "exec/mlx/kv_codec.h"
#include "exec/mlx/launcher.h"

namespace stomp::mlx_exec {

class PagedKernels {
 public:
  /// REQUIRES: metal::supports(cache); `launcher` outlives what is evaluated.
  PagedKernels(
      const Graph& graph,
      Launcher& launcher,
      const metal::CacheShape& cache)
      : graph_(graph), launcher_(&launcher), cache_(cache) {}

  const metal::CacheShape& cache() const { return cache_; }

  /// What `planes` of K or of V are with rows (n, kv_heads, dim) in slots (n).
  /// They lie where `planes` do: see append_in_place().
  Planes append(const Planes& planes, const Array& rows, const Array& slots)
      const;
  /// The same of one plane and rows that are as it keeps them.
  Array put(const Array& plane, const Array& rows, const Array& slots) const;
  /// What a plane is with blocks copied. REQUIRES: no block is the target of
  /// two, or of one and the source of another.
  Array copy(const Array& plane, std::span<const BlockCopy> copies) const;
  /// Tokens [begin, end) of those in `blocks` as (1, kv_heads, end - begin,
  /// dim).
  Array gather(
      const Planes& planes,
      const Array& blocks,
      int begin,
      int end,
      mlx_dtype dtype) const;

  /// A step's tables of one group of layers, on the device.
  struct Tables {
    metal::AttendTables host;
    Array rows, spans, tiles, block_ids; // empty where there are none
  };
  static Tables tables_of(metal::AttendTables host);

  /// queries (n, n_heads, dim) to (n, n_heads * dim).
  Array attend(
      const metal::Attention& attention,
      const std::shared_ptr<const Tables>& tables,
      const Array& queries,
      const Planes& keys,
      const Planes& values,
      const Array& sinks) const;

 private:
  Graph graph_;
  Launcher* launcher_;
  metal::CacheShape cache_;
};

} // namespace stomp::mlx_exec

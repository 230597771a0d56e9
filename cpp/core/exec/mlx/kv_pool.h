// The pool's bytes: for each layer the planes of K and those of V (kv_codec.h),
// row-major (blocks * block_tokens, kv_heads, width). Engine thread only.
//
// Writes are values: append() yields what the layer's planes are from then on,
// and readers depend on it. Where the device allows it the value shares the
// pool's buffer and pool_ never changes; elsewhere settle() makes the new
// value the pool. In both cases a stream runs in order, so that a step never
// sees what a later one writes.
#pragma once

#include <vector>

#include "cache/block_table.h"
#include "cache/cache_spec.h"
#include "exec/mlx/kv_codec.h"
#include "exec/mlx/paged_kernels.h"

namespace stomp::mlx_exec {

enum class Part { kKeys = 0, kValues = 1 };

class KvPool {
 public:
  /// `kernels`: write and read the pool where the device has them; they outlive
  /// it. Throws kInvalidRequest when the machine cannot give that much.
  KvPool(
      Graph graph,
      ModelCacheSpec spec,
      std::vector<int> blocks_per_group,
      mlx_dtype dtype,
      bool in_place,
      const PagedKernels* kernels = nullptr);

  const ModelCacheSpec& spec() const { return spec_; }
  /// Whether keys are kept spread, see KeySpread: whoever appends them and
  /// whoever looks for them does that.
  bool spreads_keys() const { return spec_.kv.bits == 4; }
  const std::vector<int>& blocks_per_group() const { return blocks_; }
  /// Whether rows are written into the pool's own buffers.
  bool in_place() const { return in_place_; }
  int group_of(int layer) const { return group_of_[layer]; }
  size_t bytes() const;

  /// The layer's planes as they are by now.
  const Planes& value(int layer, Part part) const {
    return current(layer, part);
  }

  /// The layer's planes with rows (N, kv_heads, dim) at slots (N).
  Planes append(int layer, Part part, const Array& rows, const Array& slots);

  /// Tokens [begin, end) of those in blocks (n) of what append() yielded, as
  /// (1, kv_heads, end - begin, dim).
  Array gather(const Planes& value, const Array& blocks, int begin, int end)
      const;

  /// All values appended since the last settle(), for the caller to start. On
  /// devices that do not write in place they are the pool from here on, and
  /// this waits for the steps before it.
  void settle(Arrays& started);
  /// Forgets the values appended since the last settle().
  void abandon();

  /// Forgets what was appended but not settled when its scope is left early.
  struct Undo {
    KvPool& pool;
    ~Undo() { pool.abandon(); }
  };

  /// These start what they write before they return.
  void copy(std::span<const BlockCopy> copies);
  void read(int group, BlockId id, int n_tokens, std::span<std::byte> bytes);
  void
  write(int group, BlockId id, int n_tokens, std::span<const std::byte> bytes);

 private:
  struct Layer {
    Planes pool[2]; // by Part
    Planes next[2]; // appended, not settled; else empty
  };

  int dim(Part part) const;
  const Planes& current(int layer, Part part) const;
  /// What the layer's planes are from then on, until settle() or abandon().
  const Planes& becomes(int layer, Part part, Planes value);
  Planes put(int layer, Part part, const Planes& packed, const Array& slots);
  void copy_one(int layer, Part part, const BlockCopy& copy);
  Array gather_plane(
      const Array& plane,
      const Array& blocks,
      int begin,
      int end) const;
  void check_block(int group, BlockId id, int n_tokens, size_t bytes) const;
  std::vector<int32_t> slots_of(BlockId id, int n_tokens) const;
  void start_pending();

  Graph graph_;
  ModelCacheSpec spec_;
  std::vector<int> blocks_;
  KvCodec codec_;
  mlx_dtype dtype_;
  bool in_place_;
  const PagedKernels* kernels_;
  std::vector<int> group_of_;
  std::vector<Layer> layers_;
};

} // namespace stomp::mlx_exec

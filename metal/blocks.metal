// Blocks that move: from one block to another within a plane, and from the pool
// into one contiguous array.
#include "paged_kernel.h"

/// A plane of any kind, in units of the largest size that divides what a token
/// takes in it. Moves are done in any order: no block is the target of two, or
/// both source and target.
template <typename Unit>
[[kernel]] void block_copy(
    const device paged::BlockMove* moves [[buffer(0)]],
    device Unit* plane [[buffer(1)]], // (slots, token_units)
    constant paged::CopyParams& params [[buffer(2)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  const paged::BlockMove move = moves[group.y];
  const size_t block_units = size_t(block_tokens) * params.token_units;
  const device Unit* from = plane + move.src * block_units;
  device Unit* to = plane + move.dst * block_units;
  const int units = move.tokens * params.token_units;
  for (int i = int(group.x * simds * kLanes + thread_index); i < units;
       i += params.stride) {
    to[i] = from[i];
  }
}

PAGED_KERNEL("block_copy_2", block_copy, ushort)
PAGED_KERNEL("block_copy_4", block_copy, uint)
PAGED_KERNEL("block_copy_16", block_copy, uint4)

/// Tokens as a plane keeps them, to slots of it: threadgroup (x, row).
template <typename Unit>
[[kernel]] void rows_put(
    const device Unit* rows [[buffer(0)]], // (rows, token_units)
    const device int* slots [[buffer(1)]],
    device Unit* plane [[buffer(2)]], // (slots, token_units)
    constant paged::CopyParams& params [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  const device Unit* from = rows + size_t(group.y) * params.token_units;
  device Unit* to = plane + size_t(slots[group.y]) * params.token_units;
  for (int i = int(group.x * simds * kLanes + thread_index);
       i < params.token_units;
       i += params.stride) {
    to[i] = from[i];
  }
}

PAGED_KERNEL("rows_put_2", rows_put, ushort)
PAGED_KERNEL("rows_put_4", rows_put, uint)
PAGED_KERNEL("rows_put_16", rows_put, uint4)

/// Tokens of one sequence, as elements whatever the pool keeps: a SIMD-group
/// reads one head of one token.
template <typename T>
[[kernel]] void block_gather(
    const device T* elements [[buffer(0)]],
    const device half* scales [[buffer(1)]],
    const device half* biases [[buffer(2)]],
    const device int* blocks [[buffer(3)]],
    device T* out [[buffer(4)]], // (kv_heads, tokens, head_dim)
    constant paged::GatherParams& params [[buffer(5)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  const int unit = int(group.x * simds + simd);
  if (unit >= params.tokens * params.kv_heads) {
    return;
  }
  const int token = unit / params.kv_heads;
  const int head = unit % params.kv_heads;
  const size_t row =
      slot_of(blocks, params.begin + token) * params.kv_heads + head;
  device vec<T, 4>* to = reinterpret_cast<device vec<T, 4>*>(
      out + (size_t(head) * params.tokens + token) * head_dim);
  const KvPlanes<T> planes = {elements, scales, biases};
  for (int chunk = int(lane); chunk < head_chunks(); chunk += kLanes) {
    to[chunk] = vec<T, 4>(read_chunk(planes, row, chunk));
  }
}

PAGED_KERNEL_FOR_ELEMENTS("block_gather", block_gather)

// See kv_pool.h.
#include "exec/mlx/kv_pool.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <string>

#include "exec/mlx/append.h"

namespace stomp::mlx_exec {

namespace {

constexpr Part kParts[] = {Part::kKeys, Part::kValues};

int index(Part part) {
  return static_cast<int>(part);
}

} // namespace

KvPool::KvPool(
    Graph graph,
    ModelCacheSpec spec,
    std::vector<int> blocks_per_group,
    mlx_dtype dtype,
    bool in_place)
    : graph_(graph),
      spec_(std::move(spec)),
      blocks_(std::move(blocks_per_group)),
      dtype_(dtype),
      in_place_(in_place),
      group_of_(spec_.n_layers),
      layers_(spec_.n_layers) {
  for (size_t g = 0; g < spec_.groups.size(); g++) {
    const int64_t slots = int64_t{blocks_[g]} * spec_.block_tokens;
    if (slots > INT_MAX) {
      throw Error(
          Code::kInvalidRequest,
          "the cache budget asks for more tokens than MLX can index; lower it");
    }
    for (int layer : spec_.groups[g].layers) {
      group_of_[layer] = static_cast<int>(g);
      for (Part part : kParts) {
        layers_[layer].pool[index(part)] = uninitialised(
            {static_cast<int>(slots), spec_.n_kv_heads, dim(part)}, dtype);
      }
    }
  }
}

int KvPool::dim(Part part) const {
  return part == Part::kKeys ? spec_.key_dim : spec_.value_dim;
}

size_t KvPool::row_bytes(Part part) const {
  return size_t(spec_.n_kv_heads) * dim(part) * mlx_dtype_size(dtype_);
}

size_t KvPool::bytes() const {
  size_t total = 0;
  for (const Layer& layer : layers_) {
    total += layer.pool[0].bytes() + layer.pool[1].bytes();
  }
  return total;
}

const Array& KvPool::current(int layer, Part part) const {
  const Array& next = layers_[layer].next[index(part)];
  return next.empty() ? layers_[layer].pool[index(part)] : next;
}

Array KvPool::append(
    int layer,
    Part part,
    const Array& rows,
    const Array& slots) {
  const Array packed = graph_.contiguous(rows);
  const Array& target = current(layer, part);
  Array value = in_place_ ? append_in_place(graph_, target, packed, slots)
                          : append_by_scatter(graph_, target, packed, slots);
  layers_[layer].next[index(part)] = value;
  return value;
}

Array KvPool::gather(
    const Array& value,
    const Array& blocks,
    int begin,
    int end) const {
  const int heads = value.dim(1);
  const int width = value.dim(2);
  const int block = spec_.block_tokens;
  const Array by_block =
      graph_.reshape(value, {value.dim(0) / block, block, heads, width});
  const Array taken = graph_.take(by_block, blocks);
  const Array tokens =
      graph_.reshape(taken, {1, blocks.dim(0) * block, heads, width});
  return graph_.transpose(graph_.slice(tokens, 1, begin, end), {0, 2, 1, 3});
}

void KvPool::settle(Arrays& started) {
  if (!in_place_) {
    // A step under way still refers to the buffers that scatter() is to take
    // over; starting now would copy all of them.
    check(mlx_synchronize(graph_.stream()), "finish a step");
  }
  for (Layer& layer : layers_) {
    for (Part part : kParts) {
      Array& next = layer.next[index(part)];
      if (next.empty()) {
        continue;
      }
      started.add(next);
      if (in_place_) {
        next = Array();
      } else {
        layer.pool[index(part)] = std::move(next);
      }
    }
  }
}

void KvPool::abandon() {
  for (Layer& layer : layers_) {
    layer.next[0] = Array();
    layer.next[1] = Array();
  }
}

void KvPool::start_pending() {
  Arrays started;
  settle(started);
  start(started);
}

void KvPool::check_block(int group, BlockId id, int n_tokens, size_t bytes)
    const {
  const bool exists = group >= 0 && group < static_cast<int>(blocks_.size()) &&
      id >= 0 && id < blocks_[group];
  if (!exists || n_tokens < 1 || n_tokens > spec_.block_tokens) {
    throw Error(
        Code::kInvalidRequest, "the cache has no such block or tokens in it");
  }
  const size_t expected = n_tokens * spec_.groups[group].layers.size() *
      (row_bytes(Part::kKeys) + row_bytes(Part::kValues));
  if (bytes != expected) {
    throw Error(
        Code::kInvalidRequest,
        "a block of " + std::to_string(n_tokens) + " tokens has " +
            std::to_string(expected) + " bytes, not " + std::to_string(bytes));
  }
}

std::vector<int32_t> KvPool::slots_of(BlockId id, int n_tokens) const {
  std::vector<int32_t> slots(n_tokens);
  for (int i = 0; i < n_tokens; i++) {
    slots[i] = id * spec_.block_tokens + i;
  }
  return slots;
}

void KvPool::copy(std::span<const BlockCopy> copies) {
  const Undo undo{*this};
  for (const BlockCopy& c : copies) {
    const std::vector<int>& layers = spec_.groups.at(c.group).layers;
    const size_t bytes = c.n_tokens * layers.size() *
        (row_bytes(Part::kKeys) + row_bytes(Part::kValues));
    check_block(c.group, c.src, c.n_tokens, bytes);
    check_block(c.group, c.dst, c.n_tokens, bytes);
    const Array from = Array::from_ints(slots_of(c.src, c.n_tokens));
    const Array to = Array::from_ints(slots_of(c.dst, c.n_tokens));
    for (int layer : layers) {
      for (Part part : kParts) {
        append(layer, part, graph_.take(current(layer, part), from), to);
      }
    }
  }
  start_pending();
}

void KvPool::read(
    int group,
    BlockId id,
    int n_tokens,
    std::span<std::byte> bytes) {
  check_block(group, id, n_tokens, bytes.size());
  const Array slots = Array::from_ints(slots_of(id, n_tokens));
  std::vector<Array> rows;
  Arrays all;
  for (int layer : spec_.groups[group].layers) {
    for (Part part : kParts) {
      rows.push_back(
          graph_.contiguous(graph_.take(current(layer, part), slots)));
      all.add(rows.back());
    }
  }
  evaluate(all);
  std::byte* to = bytes.data();
  for (const Array& part : rows) {
    std::memcpy(to, part.host(), part.bytes());
    to += part.bytes();
  }
}

void KvPool::write(
    int group,
    BlockId id,
    int n_tokens,
    std::span<const std::byte> bytes) {
  check_block(group, id, n_tokens, bytes.size());
  const Undo undo{*this};
  const Array slots = Array::from_ints(slots_of(id, n_tokens));
  const std::byte* from = bytes.data();
  for (int layer : spec_.groups[group].layers) {
    for (Part part : kParts) {
      const Array rows = Array::from_bytes(
          from, {n_tokens, spec_.n_kv_heads, dim(part)}, dtype_);
      append(layer, part, rows, slots);
      from += rows.bytes();
    }
  }
  start_pending();
}

} // namespace stomp::mlx_exec

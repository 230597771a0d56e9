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
    bool in_place,
    const PagedKernels* kernels)
    : graph_(graph),
      spec_(std::move(spec)),
      blocks_(std::move(blocks_per_group)),
      codec_(graph, spec_.kv, dtype),
      dtype_(dtype),
      in_place_(in_place || kernels),
      kernels_(kernels),
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
        for (const KvCodec::Plane& plane : codec_.planes(dim(part))) {
          const std::vector<int> shape = {
              static_cast<int>(slots), spec_.n_kv_heads, plane.width};
          layers_[layer].pool[index(part)].push_back(
              in_place_ ? uninitialised(shape, plane.dtype)
                        : zeroed(graph_, shape, plane.dtype));
        }
      }
    }
  }
}

int KvPool::dim(Part part) const {
  return part == Part::kKeys ? spec_.key_dim : spec_.value_dim;
}

size_t KvPool::bytes() const {
  size_t total = 0;
  for (const Layer& layer : layers_) {
    for (Part part : kParts) {
      for (const Array& plane : layer.pool[index(part)]) {
        total += plane.bytes();
      }
    }
  }
  return total;
}

const Planes& KvPool::current(int layer, Part part) const {
  const Planes& next = layers_[layer].next[index(part)];
  return next.empty() ? layers_[layer].pool[index(part)] : next;
}

const Planes& KvPool::becomes(int layer, Part part, Planes value) {
  return layers_[layer].next[index(part)] = std::move(value);
}

Planes
KvPool::append(int layer, Part part, const Array& rows, const Array& slots) {
  if (kernels_) {
    return becomes(
        layer, part, kernels_->append(current(layer, part), rows, slots));
  }
  return put(layer, part, codec_.pack(rows), slots);
}

/// append() of rows that were packed, planes that are row-contiguous.
Planes
KvPool::put(int layer, Part part, const Planes& packed, const Array& slots) {
  const Planes& target = current(layer, part);
  Planes value;
  for (size_t i = 0; i < packed.size(); i++) {
    value.push_back(
        kernels_ ? kernels_->put(target[i], packed[i], slots)
            : in_place_
            ? append_in_place(graph_, target[i], packed[i], slots)
            : append_by_scatter(graph_, target[i], packed[i], slots));
  }
  return becomes(layer, part, std::move(value));
}

Array KvPool::gather(
    const Planes& value,
    const Array& blocks,
    int begin,
    int end) const {
  if (kernels_) {
    return kernels_->gather(value, blocks, begin, end, dtype_);
  }
  Planes taken;
  for (const Array& plane : value) {
    taken.push_back(gather_plane(plane, blocks, begin, end));
  }
  return graph_.transpose(codec_.unpack(taken), {0, 2, 1, 3});
}

/// (1, end - begin, kv_heads, width)
Array KvPool::gather_plane(
    const Array& plane,
    const Array& blocks,
    int begin,
    int end) const {
  const int heads = plane.dim(1);
  const int width = plane.dim(2);
  const int block = spec_.block_tokens;
  const Array by_block =
      graph_.reshape(plane, {plane.dim(0) / block, block, heads, width});
  const Array taken = graph_.take(by_block, blocks);
  const Array tokens =
      graph_.reshape(taken, {1, blocks.dim(0) * block, heads, width});
  return graph_.slice(tokens, 1, begin, end);
}

void KvPool::settle(Arrays& started) {
  if (!in_place_) {
    // A step under way still refers to the buffers that scatter() is to take
    // over; starting now would copy all of them.
    check(mlx_synchronize(graph_.stream()), "finish a step");
  }
  for (Layer& layer : layers_) {
    for (Part part : kParts) {
      Planes& next = layer.next[index(part)];
      if (next.empty()) {
        continue;
      }
      for (const Array& plane : next) {
        started.add(plane);
      }
      if (!in_place_) {
        layer.pool[index(part)] = std::move(next);
      }
      next.clear();
    }
  }
}

void KvPool::abandon() {
  for (Layer& layer : layers_) {
    layer.next[0].clear();
    layer.next[1].clear();
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
  const size_t expected =
      n_tokens * spec_.groups[group].layers.size() * spec_.token_layer_bytes();
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

void KvPool::copy_one(int layer, Part part, const BlockCopy& copy) {
  Planes value;
  if (kernels_) {
    for (const Array& plane : current(layer, part)) {
      value.push_back(kernels_->copy(plane, {&copy, 1}));
    }
    becomes(layer, part, std::move(value));
    return;
  }
  const Array from = Array::from_ints(slots_of(copy.src, copy.n_tokens));
  for (const Array& plane : current(layer, part)) {
    value.push_back(graph_.contiguous(graph_.take(plane, from)));
  }
  put(layer, part, value, Array::from_ints(slots_of(copy.dst, copy.n_tokens)));
}

void KvPool::copy(std::span<const BlockCopy> copies) {
  const Undo undo{*this};
  for (const BlockCopy& c : copies) {
    const std::vector<int>& layers = spec_.groups.at(c.group).layers;
    const size_t bytes = c.n_tokens * layers.size() * spec_.token_layer_bytes();
    check_block(c.group, c.src, c.n_tokens, bytes);
    check_block(c.group, c.dst, c.n_tokens, bytes);
    for (int layer : layers) {
      for (Part part : kParts) {
        copy_one(layer, part, c);
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
      for (const Array& plane : current(layer, part)) {
        rows.push_back(graph_.contiguous(graph_.take(plane, slots)));
        all.add(rows.back());
      }
    }
  }
  evaluate(all);
  std::byte* to = bytes.data();
  for (const Array& plane : rows) {
    std::memcpy(to, plane.host(), plane.bytes());
    to += plane.bytes();
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
      Planes planes;
      for (const KvCodec::Plane& plane : codec_.planes(dim(part))) {
        planes.push_back(Array::from_bytes(
            from, {n_tokens, spec_.n_kv_heads, plane.width}, plane.dtype));
        from += planes.back().bytes();
      }
      put(layer, part, planes, slots);
    }
  }
  start_pending();
}

} // namespace stomp::mlx_exec

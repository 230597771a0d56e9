#include "exec/cpu/kv_pool.h"

#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "exec/cpu/kernels.h"

namespace stomp::cpu {

namespace {

/// Element d of the token at `column` of a tile of K.
size_t tile_at(int d, int column) {
  return static_cast<size_t>(d) * kTileTokens + column;
}

void require(bool condition, const char* what) {
  if (!condition) {
    throw std::logic_error(what);
  }
}

} // namespace

KvPool::KvPool(
    const ModelCacheSpec& spec,
    const std::vector<int>& blocks_per_group)
    : spec_(spec), places_(spec.n_layers), capacity_(blocks_per_group) {
  if (spec.element_bytes != 2 || spec.key_dim != spec.value_dim ||
      spec.block_tokens % kTileTokens != 0) {
    throw Error(
        Code::kInvalidRequest,
        "the CPU executor keeps K and V as f16, of equal size, in blocks of a "
        "multiple of 16 tokens: choose such a cache");
  }
  require(
      blocks_per_group.size() == spec.groups.size(),
      "one number of blocks for each layer group");
  for (size_t g = 0; g < spec.groups.size(); g++) {
    const std::vector<int>& layers = spec.groups[g].layers;
    for (size_t i = 0; i < layers.size(); i++) {
      places_[layers[i]] = {static_cast<int>(g), static_cast<int>(i)};
    }
    const size_t bytes =
        blocks_per_group[g] * block_elements(static_cast<int>(g)) * 2;
    try {
      buffers_.emplace_back(bytes);
    } catch (const std::bad_alloc&) {
      throw Error(
          Code::kInvalidRequest,
          "the system refuses to reserve " + std::to_string(bytes >> 20) +
              " MB for the KV cache; lower the cache budget");
    }
  }
}

size_t KvPool::bytes() const {
  size_t n = 0;
  for (const PageBuffer& buffer : buffers_) {
    n += buffer.size();
  }
  return n;
}

size_t KvPool::head_elements() const {
  return size_t{2} * spec_.block_tokens * spec_.key_dim;
}

size_t KvPool::block_elements(int group) const {
  return head_elements() * spec_.n_kv_heads * spec_.groups[group].layers.size();
}

const uint16_t*
KvPool::head(int group, BlockId id, int layer_index, int kv_head) const {
  return buffers_[group].as<uint16_t>() + id * block_elements(group) +
      (static_cast<size_t>(layer_index) * spec_.n_kv_heads + kv_head) *
      head_elements();
}

uint16_t* KvPool::head(int group, BlockId id, int layer_index, int kv_head) {
  return const_cast<uint16_t*>(
      std::as_const(*this).head(group, id, layer_index, kv_head));
}

KvPool::Place
KvPool::at(const BlockTable& table, int layer, int kv_head, int position) {
  const LayerPlace& place = places_[layer];
  const BlockId id = table.blocks[place.group][position / spec_.block_tokens];
  const int token = position % spec_.block_tokens;
  const int dim = spec_.key_dim;
  uint16_t* base = head(place.group, id, place.index, kv_head);
  return {
      base + static_cast<size_t>(token / kTileTokens) * kTileTokens * dim,
      token % kTileTokens,
      base + static_cast<size_t>(spec_.block_tokens + token) * dim};
}

KvPool::Tile KvPool::tile(
    const BlockTable& table,
    int layer,
    int kv_head,
    int position) const {
  const LayerPlace& place = places_[layer];
  const std::vector<BlockId>& blocks = table.blocks[place.group];
  const size_t index = position / spec_.block_tokens;
  if (index >= blocks.size() || blocks[index] == kNoBlock) {
    return {};
  }
  const int token = position % spec_.block_tokens;
  const uint16_t* base = head(place.group, blocks[index], place.index, kv_head);
  const size_t dim = spec_.key_dim;
  return {base + token * dim, base + (spec_.block_tokens + token) * dim};
}

void KvPool::check(int group, BlockId id, int n_tokens, size_t bytes) const {
  require(
      group >= 0 && group < static_cast<int>(capacity_.size()) && id >= 0 &&
          id < capacity_[group],
      "no such block");
  require(
      n_tokens >= 1 && n_tokens <= spec_.block_tokens, "tokens of one block");
  require(
      bytes ==
          n_tokens * spec_.groups[group].layers.size() *
              spec_.token_layer_bytes(),
      "bytes of the block's tokens");
}

void KvPool::copy(const BlockCopy& copy) {
  const int group = copy.group;
  const int layers = static_cast<int>(spec_.groups[group].layers.size());
  const size_t dim = spec_.key_dim;
  const size_t k_bytes = round_up(copy.n_tokens, kTileTokens) * dim * 2;
  const size_t v_bytes = copy.n_tokens * dim * 2;
  const size_t v_offset = spec_.block_tokens * dim;
  for (int layer = 0; layer < layers; layer++) {
    for (int h = 0; h < spec_.n_kv_heads; h++) {
      const uint16_t* from = head(group, copy.src, layer, h);
      uint16_t* to = head(group, copy.dst, layer, h);
      std::memcpy(to, from, k_bytes);
      std::memcpy(to + v_offset, from + v_offset, v_bytes);
    }
  }
}

void KvPool::read(
    int group,
    BlockId id,
    int n_tokens,
    std::span<std::byte> bytes) const {
  check(group, id, n_tokens, bytes.size());
  const int dim = spec_.key_dim;
  const int heads = spec_.n_kv_heads;
  std::byte* out = bytes.data();
  const auto put = [&out](const uint16_t* from, int n) {
    std::memcpy(out, from, n * sizeof *from);
    out += n * sizeof *from;
  };
  std::vector<uint16_t> row(dim);
  const int layers = static_cast<int>(spec_.groups[group].layers.size());
  for (int layer = 0; layer < layers; layer++) {
    for (int t = 0; t < n_tokens; t++) {
      for (int h = 0; h < heads; h++) {
        const uint16_t* tile = head(group, id, layer, h) +
            static_cast<size_t>(t / kTileTokens) * kTileTokens * dim;
        for (int d = 0; d < dim; d++) {
          row[d] = tile[tile_at(d, t % kTileTokens)];
        }
        put(row.data(), dim);
      }
    }
    for (int t = 0; t < n_tokens; t++) {
      for (int h = 0; h < heads; h++) {
        put(head(group, id, layer, h) +
                static_cast<size_t>(spec_.block_tokens + t) * dim,
            dim);
      }
    }
  }
}

void KvPool::write(
    int group,
    BlockId id,
    int n_tokens,
    std::span<const std::byte> bytes) {
  check(group, id, n_tokens, bytes.size());
  const int dim = spec_.key_dim;
  const int heads = spec_.n_kv_heads;
  const std::byte* in = bytes.data();
  const auto take = [&in](uint16_t* to, int n) {
    std::memcpy(to, in, n * sizeof *to);
    in += n * sizeof *to;
  };
  std::vector<uint16_t> row(dim);
  const int layers = static_cast<int>(spec_.groups[group].layers.size());
  for (int layer = 0; layer < layers; layer++) {
    for (int t = 0; t < n_tokens; t++) {
      for (int h = 0; h < heads; h++) {
        uint16_t* tile = head(group, id, layer, h) +
            static_cast<size_t>(t / kTileTokens) * kTileTokens * dim;
        take(row.data(), dim);
        for (int d = 0; d < dim; d++) {
          tile[tile_at(d, t % kTileTokens)] = row[d];
        }
      }
    }
    for (int t = 0; t < n_tokens; t++) {
      for (int h = 0; h < heads; h++) {
        take(
            head(group, id, layer, h) +
                static_cast<size_t>(spec_.block_tokens + t) * dim,
            dim);
      }
    }
  }
}

} // namespace stomp::cpu

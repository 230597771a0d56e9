#include "exec/cpu/kv_pool.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "base/half.h"
#include "exec/cpu/kv_tiles.h"

namespace stomp::cpu {

namespace {

static_assert(kKvGroup == stomp::kKvGroup);
constexpr int kMaxHeadDim = 1024;

void require(bool condition, const char* what) {
  if (!condition) {
    throw std::logic_error(what);
  }
}

} // namespace

KvPool::KvPool(
    const ModelCacheSpec& spec,
    const std::vector<int>& blocks_per_group,
    const Kernels& kernels)
    : spec_(spec),
      kernels_(&kernels),
      places_(spec.n_layers),
      capacity_(blocks_per_group) {
  if (spec.element_bytes != 2 || spec.key_dim != spec.value_dim ||
      spec.key_dim > kMaxHeadDim || spec.block_tokens % kTileTokens != 0) {
    throw Error(
        Code::kInvalidRequest,
        "the CPU executor takes K and V as f16, of equal size up to 1024, in "
        "blocks of a multiple of 16 tokens: choose such a cache");
  }
  require(
      blocks_per_group.size() == spec.groups.size(),
      "one number of blocks for each layer group");
  for (size_t g = 0; g < spec.groups.size(); g++) {
    const std::vector<int>& layers = spec.groups[g].layers;
    for (size_t i = 0; i < layers.size(); i++) {
      places_[layers[i]] = {static_cast<int>(g), static_cast<int>(i)};
    }
    const size_t bytes = blocks_per_group[g] * block_bytes(static_cast<int>(g));
    try {
      buffers_.emplace_back(bytes, true);
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

int KvPool::top_groups() const {
  return codes() ? (spec_.key_dim + kKvGroup - 1) / kKvGroup : 0;
}

size_t KvPool::head_bytes() const {
  return size_t{2} * spec_.block_tokens *
      (spec_.key_dim * element_bytes() + top_groups() * sizeof(uint16_t));
}

size_t KvPool::block_bytes(int group) const {
  return head_bytes() * spec_.n_kv_heads * spec_.groups[group].layers.size();
}

KvPool::Head KvPool::head(int group, BlockId id, int layer_index, int kv_head)
    const {
  const size_t at = id * block_bytes(group) +
      (static_cast<size_t>(layer_index) * spec_.n_kv_heads + kv_head) *
          head_bytes();
  const size_t half =
      static_cast<size_t>(spec_.block_tokens) * spec_.key_dim * element_bytes();
  // The pool's bytes change under readers that do not own it: see append().
  auto* k = const_cast<std::byte*>(buffers_[group].data()) + at;
  Head head{k, k + half, nullptr, nullptr};
  if (codes()) {
    head.k_tops = reinterpret_cast<uint16_t*>(head.v + half);
    head.v_tops =
        head.k_tops + static_cast<size_t>(top_groups()) * spec_.block_tokens;
  }
  return head;
}

// ---- one token ----

void KvPool::put(const Head& head, int token, const float* k, const float* v) {
  const int dim = spec_.key_dim;
  const size_t tile =
      static_cast<size_t>(token / kTileTokens) * kTileTokens * dim +
      token % kTileTokens;
  const size_t row = static_cast<size_t>(token) * dim;
  if (codes()) {
    int8_t own[kMaxHeadDim];
    const int stride = spec_.block_tokens;
    kernels_->quantise_kv(k, dim, own, head.k_tops + token, stride);
    auto* to = reinterpret_cast<int8_t*>(head.k) + tile;
    for (int d = 0; d < dim; d++) {
      to[d * kTileTokens] = own[d];
    }
    auto* v_row = reinterpret_cast<int8_t*>(head.v) + row;
    kernels_->quantise_kv(v, dim, v_row, head.v_tops + token, stride);
    return;
  }
  uint16_t own[kMaxHeadDim];
  kernels_->to_f16(k, dim, own);
  auto* to = reinterpret_cast<uint16_t*>(head.k) + tile;
  for (int d = 0; d < dim; d++) {
    to[d * kTileTokens] = own[d];
  }
  kernels_->to_f16(v, dim, reinterpret_cast<uint16_t*>(head.v) + row);
}

void KvPool::get_codes(const Head& head, int token, uint16_t* k, uint16_t* v)
    const {
  const int dim = spec_.key_dim;
  const size_t tile =
      static_cast<size_t>(token / kTileTokens) * kTileTokens * dim +
      token % kTileTokens;
  const size_t row = static_cast<size_t>(token) * dim;
  const auto* keys = reinterpret_cast<const int8_t*>(head.k) + tile;
  const auto* values = reinterpret_cast<const int8_t*>(head.v) + row;
  const auto half = [&](int code, const uint16_t* tops, int d) {
    const int top = d / kKvGroup * spec_.block_tokens + token;
    return f32_to_f16(
        static_cast<float>(code) * (f16_to_f32(tops[top]) / kKvCodes));
  };
  for (int d = 0; d < dim; d++) {
    k[d] = half(keys[d * kTileTokens], head.k_tops, d);
    v[d] = half(values[d], head.v_tops, d);
  }
}

void KvPool::append(
    const BlockTable& table,
    int layer,
    int kv_head,
    int position,
    const float* k,
    const float* v) {
  const LayerPlace& place = places_[layer];
  const BlockId id = table.blocks[place.group][position / spec_.block_tokens];
  const Head to = head(place.group, id, place.index, kv_head);
  put(to, position % spec_.block_tokens, k, v);
}

AttentionPiece KvPool::empty_piece() const {
  AttentionPiece piece;
  piece.head_dim = spec_.key_dim;
  piece.codes = codes();
  piece.top_stride = spec_.block_tokens;
  return piece;
}

void KvPool::find_tile(
    const BlockTable& table,
    int layer,
    int kv_head,
    int position,
    AttentionPiece& piece,
    int i) const {
  const LayerPlace& place = places_[layer];
  const std::vector<BlockId>& blocks = table.blocks[place.group];
  const size_t index = position / spec_.block_tokens;
  if (index >= blocks.size() || blocks[index] == kNoBlock) {
    return;
  }
  const int token = position % spec_.block_tokens;
  const Head from = head(place.group, blocks[index], place.index, kv_head);
  const size_t at = token * spec_.key_dim * element_bytes();
  piece.k[i] = from.k + at;
  piece.v[i] = from.v + at;
  if (codes()) {
    piece.k_tops[i] = from.k_tops + token;
    piece.v_tops[i] = from.v_tops + token;
  }
}

// ---- blocks ----

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
  const size_t row = spec_.key_dim * element_bytes();
  const size_t k_bytes = round_up(copy.n_tokens, kTileTokens) * row;
  const size_t v_bytes = copy.n_tokens * row;
  const size_t tops =
      size_t{2} * top_groups() * spec_.block_tokens * sizeof(uint16_t);
  for (int layer = 0; layer < layers; layer++) {
    for (int h = 0; h < spec_.n_kv_heads; h++) {
      const Head from = head(group, copy.src, layer, h);
      const Head to = head(group, copy.dst, layer, h);
      std::memcpy(to.k, from.k, k_bytes);
      std::memcpy(to.v, from.v, v_bytes);
      if (tops) {
        std::memcpy(to.k_tops, from.k_tops, tops);
      }
    }
  }
}

void KvPool::read(
    int group,
    BlockId id,
    int n_tokens,
    std::span<std::byte> bytes) const {
  check(group, id, n_tokens, bytes.size());
  const size_t dim = spec_.key_dim;
  const size_t row = spec_.n_kv_heads * dim;
  const int layers = static_cast<int>(spec_.groups[group].layers.size());
  auto* out = reinterpret_cast<uint16_t*>(bytes.data());
  for (int layer = 0; layer < layers; layer++, out += 2 * n_tokens * row) {
    for (int h = 0; h < spec_.n_kv_heads; h++) {
      const Head from = head(group, id, layer, h);
      uint16_t* k = out + h * dim;
      uint16_t* v = k + n_tokens * row;
      if (codes()) {
        read_codes(from, n_tokens, k, v, row);
      } else {
        read_halves(from, n_tokens, k, v, row);
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
  const size_t dim = spec_.key_dim;
  const size_t row = spec_.n_kv_heads * dim;
  const int layers = static_cast<int>(spec_.groups[group].layers.size());
  const auto* in = reinterpret_cast<const uint16_t*>(bytes.data());
  for (int layer = 0; layer < layers; layer++, in += 2 * n_tokens * row) {
    for (int h = 0; h < spec_.n_kv_heads; h++) {
      const Head to = head(group, id, layer, h);
      const uint16_t* k = in + h * dim;
      const uint16_t* v = k + n_tokens * row;
      if (codes()) {
        write_codes(to, n_tokens, k, v, row);
      } else {
        write_halves(to, n_tokens, k, v, row);
      }
    }
  }
}

// Tokens [0, n) of rows that are `row` elements apart.

void KvPool::read_halves(
    const Head& from,
    int n,
    uint16_t* k,
    uint16_t* v,
    size_t row) const {
  const int dim = spec_.key_dim;
  tiles_to_rows(reinterpret_cast<const uint16_t*>(from.k), n, dim, k, row);
  const auto* values = reinterpret_cast<const uint16_t*>(from.v);
  for (int t = 0; t < n; t++) {
    std::memcpy(v + t * row, values + t * dim, dim * sizeof *v);
  }
}

void KvPool::read_codes(
    const Head& from,
    int n,
    uint16_t* k,
    uint16_t* v,
    size_t row) const {
  for (int t = 0; t < n; t++) {
    get_codes(from, t, k + t * row, v + t * row);
  }
}

void KvPool::write_halves(
    const Head& to,
    int n,
    const uint16_t* k,
    const uint16_t* v,
    size_t row) {
  const int dim = spec_.key_dim;
  rows_to_tiles(k, row, n, dim, reinterpret_cast<uint16_t*>(to.k));
  auto* values = reinterpret_cast<uint16_t*>(to.v);
  for (int t = 0; t < n; t++) {
    std::memcpy(values + t * dim, v + t * row, dim * sizeof *v);
  }
}

void KvPool::write_codes(
    const Head& to,
    int n,
    const uint16_t* k,
    const uint16_t* v,
    size_t row) {
  const int dim = spec_.key_dim;
  float key[kMaxHeadDim];
  float value[kMaxHeadDim];
  for (int t = 0; t < n; t++) {
    for (int d = 0; d < dim; d++) {
      key[d] = f16_to_f32(k[t * row + d]);
      value[d] = f16_to_f32(v[t * row + d]);
    }
    put(to, t, key, value);
  }
}

} // namespace stomp::cpu

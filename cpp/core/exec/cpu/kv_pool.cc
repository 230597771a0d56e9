#include "exec/cpu/kv_pool.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "exec/cpu/kv_tiles.h"

namespace stomp::cpu {

namespace {

constexpr int kMaxHeadDim = 1024;

void require(bool condition, const char* what) {
  if (!condition) {
    throw std::logic_error(what);
  }
}

/// Makes one token's row, of n elements or bytes, its column of a tile.
template <class Element>
void row_to_tile(const Element* row, int n, int token, Element* tiles) {
  Element* to = tiles +
      static_cast<size_t>(token / kTileTokens) * kTileTokens * n +
      token % kTileTokens;
  for (int i = 0; i < n; i++) {
    to[i * kTileTokens] = row[i];
  }
}

KvElement element_of(const KvFormat& kv) {
  return kv.bits == 16 ? KvElement::kF16
      : kv.bits == 8   ? KvElement::kCode8
                       : KvElement::kCode4;
}

} // namespace

KvFormat kv_format(int bits) {
  return {2, bits, kKvGroup, bits == 4};
}

KvPool::KvPool(
    const ModelCacheSpec& spec,
    const std::vector<int>& blocks_per_group,
    const Kernels& kernels)
    : spec_(spec),
      element_(element_of(spec.kv)),
      row_bytes_(kv_bytes(element_, spec.key_dim)),
      scale_rows_(spec.kv.groups_of(spec.key_dim) * (spec.kv.biases ? 2 : 1)),
      kernels_(&kernels),
      places_(spec.n_layers),
      capacity_(blocks_per_group) {
  if (!spec.kv.same_as(kv_format(spec.kv.bits)) ||
      spec.key_dim != spec.value_dim || spec.key_dim > kMaxHeadDim ||
      spec.key_dim % 2 != 0 || spec.block_tokens % kTileTokens != 0) {
    throw Error(
        Code::kInvalidRequest,
        "the CPU executor takes K and V as f16 or codes of its own, of an "
        "equal and even size up to 1024, in blocks of a multiple of 16 tokens: "
        "choose such a cache");
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

/// Bytes of K, or of V, of so many tokens of one head.
size_t KvPool::half_bytes(int n_tokens) const {
  return static_cast<size_t>(n_tokens) *
      (row_bytes_ + scale_rows_ * sizeof(uint16_t));
}

size_t KvPool::head_bytes() const {
  return 2 * half_bytes(spec_.block_tokens);
}

size_t KvPool::block_bytes(int group) const {
  return head_bytes() * spec_.n_kv_heads * spec_.groups[group].layers.size();
}

KvPool::Head KvPool::head(int group, BlockId id, int layer_index, int kv_head)
    const {
  const size_t at = id * block_bytes(group) +
      (static_cast<size_t>(layer_index) * spec_.n_kv_heads + kv_head) *
          head_bytes();
  const size_t half = static_cast<size_t>(spec_.block_tokens) * row_bytes_;
  // The pool's bytes change under readers that do not own it: see append().
  auto* k = const_cast<std::byte*>(buffers_[group].data()) + at;
  Head head{k, k + half, nullptr, nullptr};
  if (codes()) {
    head.k_scales = reinterpret_cast<uint16_t*>(head.v + half);
    head.v_scales =
        head.k_scales + static_cast<size_t>(scale_rows_) * spec_.block_tokens;
  }
  return head;
}

// ---- one token ----

void KvPool::put_halves(
    const Head& to,
    int token,
    const float* k,
    const float* v) {
  const int dim = spec_.key_dim;
  uint16_t own[kMaxHeadDim];
  kernels_->to_f16(k, dim, own);
  row_to_tile(own, dim, token, reinterpret_cast<uint16_t*>(to.k));
  auto* values = reinterpret_cast<uint16_t*>(to.v);
  kernels_->to_f16(v, dim, values + static_cast<size_t>(token) * dim);
}

void KvPool::put_codes(
    const Head& to,
    int token,
    const float* k,
    const float* v) {
  std::byte own[kMaxHeadDim];
  quantise(k, own, to.k_scales + token);
  row_to_tile(own, row_bytes_, token, to.k);
  const size_t row = static_cast<size_t>(token) * row_bytes_;
  quantise(v, to.v + row, to.v_scales + token);
}

/// One row to codes; its first scale goes to `scales`.
void KvPool::quantise(const float* x, std::byte* codes, uint16_t* scales)
    const {
  const int dim = spec_.key_dim;
  const int stride = spec_.block_tokens;
  if (element_ == KvElement::kCode8) {
    kernels_->quantise_kv8(
        x, dim, reinterpret_cast<int8_t*>(codes), scales, stride);
  } else {
    kernels_->quantise_kv4(
        x,
        dim,
        reinterpret_cast<uint8_t*>(codes),
        scales,
        scales + static_cast<size_t>(spec_.kv.groups_of(dim)) * stride,
        stride);
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
  const int token = position % spec_.block_tokens;
  if (codes()) {
    put_codes(to, token, k, v);
  } else {
    put_halves(to, token, k, v);
  }
}

AttentionPiece KvPool::empty_piece() const {
  AttentionPiece piece;
  piece.head_dim = spec_.key_dim;
  piece.element = element_;
  piece.scale_stride = spec_.block_tokens;
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
  const size_t at = static_cast<size_t>(token) * row_bytes_;
  piece.k[i] = from.k + at;
  piece.v[i] = from.v + at;
  if (codes()) {
    piece.k_scales[i] = from.k_scales + token;
    piece.v_scales[i] = from.v_scales + token;
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
  const size_t k_bytes =
      static_cast<size_t>(round_up(copy.n_tokens, kTileTokens)) * row_bytes_;
  const size_t v_bytes = static_cast<size_t>(copy.n_tokens) * row_bytes_;
  const size_t scales =
      size_t{2} * scale_rows_ * spec_.block_tokens * sizeof(uint16_t);
  for (int layer = 0; layer < layers; layer++) {
    for (int h = 0; h < spec_.n_kv_heads; h++) {
      const Head from = head(group, copy.src, layer, h);
      const Head to = head(group, copy.dst, layer, h);
      std::memcpy(to.k, from.k, k_bytes);
      std::memcpy(to.v, from.v, v_bytes);
      if (codes()) {
        std::memcpy(to.k_scales, from.k_scales, scales);
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
  const int heads = spec_.n_kv_heads;
  const size_t row = static_cast<size_t>(heads) * row_bytes_;
  const int layers = static_cast<int>(spec_.groups[group].layers.size());
  std::byte* k = bytes.data();
  for (int layer = 0; layer < layers; layer++) {
    std::byte* v = k + heads * half_bytes(n_tokens);
    for (int h = 0; h < heads; h++) {
      const Head from = head(group, id, layer, h);
      read_keys(from, n_tokens, k + h * row_bytes_);
      for (int t = 0; t < n_tokens; t++) {
        std::byte* to = v + t * row + h * row_bytes_;
        std::memcpy(to, from.v + t * row_bytes_, row_bytes_);
      }
      read_scales(from.k_scales, n_tokens, h, k + n_tokens * row);
      read_scales(from.v_scales, n_tokens, h, v + n_tokens * row);
    }
    k = v + heads * half_bytes(n_tokens);
  }
}

void KvPool::write(
    int group,
    BlockId id,
    int n_tokens,
    std::span<const std::byte> bytes) {
  check(group, id, n_tokens, bytes.size());
  const int heads = spec_.n_kv_heads;
  const size_t row = static_cast<size_t>(heads) * row_bytes_;
  const int layers = static_cast<int>(spec_.groups[group].layers.size());
  const std::byte* k = bytes.data();
  for (int layer = 0; layer < layers; layer++) {
    const std::byte* v = k + heads * half_bytes(n_tokens);
    for (int h = 0; h < heads; h++) {
      const Head to = head(group, id, layer, h);
      write_keys(k + h * row_bytes_, n_tokens, to);
      for (int t = 0; t < n_tokens; t++) {
        const std::byte* from = v + t * row + h * row_bytes_;
        std::memcpy(to.v + t * row_bytes_, from, row_bytes_);
      }
      write_scales(k + n_tokens * row, n_tokens, h, to.k_scales);
      write_scales(v + n_tokens * row, n_tokens, h, to.v_scales);
    }
    k = v + heads * half_bytes(n_tokens);
  }
}

// Of one head of a layer's n tokens; rows are all heads' elements apart.

void KvPool::read_keys(const Head& from, int n, std::byte* rows) const {
  const size_t heads = spec_.n_kv_heads;
  if (codes()) {
    tiles_to_rows(
        reinterpret_cast<const uint8_t*>(from.k),
        n,
        row_bytes_,
        reinterpret_cast<uint8_t*>(rows),
        heads * row_bytes_);
  } else {
    tiles_to_rows(
        reinterpret_cast<const uint16_t*>(from.k),
        n,
        spec_.key_dim,
        reinterpret_cast<uint16_t*>(rows),
        heads * spec_.key_dim);
  }
}

void KvPool::write_keys(const std::byte* rows, int n, const Head& to) {
  const size_t heads = spec_.n_kv_heads;
  if (codes()) {
    rows_to_tiles(
        reinterpret_cast<const uint8_t*>(rows),
        heads * row_bytes_,
        n,
        row_bytes_,
        reinterpret_cast<uint8_t*>(to.k));
  } else {
    rows_to_tiles(
        reinterpret_cast<const uint16_t*>(rows),
        heads * spec_.key_dim,
        n,
        spec_.key_dim,
        reinterpret_cast<uint16_t*>(to.k));
  }
}

/// Where a token's scale or bias, the one of `row` in the pool, lies behind a
/// layer's elements: all scales come before all biases.
size_t KvPool::scale_place(int n, int token, int kv_head, int row) const {
  const int groups = spec_.kv.groups_of(spec_.key_dim);
  const size_t token_of_all = static_cast<size_t>(row / groups) * n + token;
  return ((token_of_all * spec_.n_kv_heads + kv_head) * groups + row % groups) *
      sizeof(uint16_t);
}

void KvPool::read_scales(
    const uint16_t* scales,
    int n,
    int kv_head,
    std::byte* to) const {
  if (scales == nullptr) {
    return; // there are none of this kind
  }
  for (int row = 0; row < scale_rows_; row++) {
    for (int t = 0; t < n; t++) {
      const size_t i = static_cast<size_t>(row) * spec_.block_tokens + t;
      const size_t place = scale_place(n, t, kv_head, row);
      std::memcpy(to + place, scales + i, sizeof *scales);
    }
  }
}

void KvPool::write_scales(
    const std::byte* from,
    int n,
    int kv_head,
    uint16_t* scales) const {
  if (scales == nullptr) {
    return; // there are none of this kind
  }
  for (int row = 0; row < scale_rows_; row++) {
    for (int t = 0; t < n; t++) {
      const size_t i = static_cast<size_t>(row) * spec_.block_tokens + t;
      const size_t place = scale_place(n, t, kv_head, row);
      std::memcpy(scales + i, from + place, sizeof *scales);
    }
  }
}

} // namespace stomp::cpu

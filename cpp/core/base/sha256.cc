#include "base/sha256.h"

#include <algorithm>

namespace stomp {

Sha256::Sha256()
    : state_{
          0x6a09e667,
          0xbb67ae85,
          0x3c6ef372,
          0xa54ff53a,
          0x510e527f,
          0x9b05688c,
          0x1f83d9ab,
          0x5be0cd19} {}

void Sha256::update(std::span<const std::byte> bytes) {
  const auto* p = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t n = bytes.size();
  n_bytes_ += n;
  if (n_pending_ > 0) {
    const size_t take = std::min(n, pending_.size() - n_pending_);
    std::copy_n(p, take, pending_.data() + n_pending_);
    n_pending_ += take;
    p += take;
    n -= take;
    if (n_pending_ < pending_.size()) {
      return;
    }
    sha256_blocks(state_, pending_.data(), 1);
    n_pending_ = 0;
  }
  const size_t whole = n / 64;
  sha256_blocks(state_, p, whole);
  p += whole * 64;
  n -= whole * 64;
  std::copy_n(p, n, pending_.data());
  n_pending_ = n;
}

void Sha256::update_u64(uint64_t value) {
  std::array<std::byte, 8> bytes;
  for (int i = 0; i < 8; i++) {
    bytes[i] = static_cast<std::byte>(value >> (8 * i));
  }
  update(bytes);
}

Sha256::Digest Sha256::finish() {
  const uint64_t n_bits = n_bytes_ * 8;
  pending_[n_pending_++] = 0x80;
  if (n_pending_ > 56) {
    std::fill(pending_.begin() + n_pending_, pending_.end(), uint8_t{0});
    sha256_blocks(state_, pending_.data(), 1);
    n_pending_ = 0;
  }
  std::fill(pending_.begin() + n_pending_, pending_.begin() + 56, uint8_t{0});
  for (int i = 0; i < 8; i++) {
    pending_[56 + i] = static_cast<uint8_t>(n_bits >> (56 - 8 * i));
  }
  sha256_blocks(state_, pending_.data(), 1);
  Digest digest;
  for (int i = 0; i < 32; i++) {
    digest[i] = static_cast<uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

std::string hex(const Sha256::Digest& digest, size_t n) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < std::min(n, digest.size()); i++) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

} // namespace stomp

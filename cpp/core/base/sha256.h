// SHA-256 (FIPS 180-4), incremental. One object, one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/sha256_blocks.h"

namespace stomp {

class Sha256 {
 public:
  using Digest = std::array<uint8_t, 32>;

  Sha256();

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) {
    update(std::as_bytes(std::span(text.data(), text.size())));
  }
  /// Eight bytes, little-endian: lengths and counts between parts, so that no
  /// two sequences of parts hash alike.
  void update_u64(uint64_t value);

  /// REQUIRES: called once, last.
  Digest finish();

 private:
  Sha256State state_;
  std::array<uint8_t, 64> pending_{};
  size_t n_pending_ = 0;
  uint64_t n_bytes_ = 0;
};

/// Lower-case hex of the first n bytes of a digest.
std::string hex(const Sha256::Digest& digest, size_t n = 32);

} // namespace stomp

#include "cache/chain_hash.h"

#include <bit>

#include "base/sha256.h"

namespace stomp {

namespace {

constexpr uint64_t kChainKey = 0x73746f6d702d6368;

class SipHash {
 public:
  SipHash(uint64_t key0, uint64_t key1)
      : a_(key0 ^ 0x736f6d6570736575),
        b_(key1 ^ 0x646f72616e646f6d),
        c_(key0 ^ 0x6c7967656e657261),
        d_(key1 ^ 0x7465646279746573) {}

  void add(uint64_t word) {
    d_ ^= word;
    rounds(2);
    a_ ^= word;
  }

  uint64_t finish() {
    c_ ^= 0xff;
    rounds(4);
    return a_ ^ b_ ^ c_ ^ d_;
  }

 private:
  void rounds(int n) {
    for (int i = 0; i < n; i++) {
      a_ += b_;
      c_ += d_;
      b_ = std::rotl(b_, 13) ^ a_;
      d_ = std::rotl(d_, 16) ^ c_;
      a_ = std::rotl(a_, 32);
      c_ += b_;
      a_ += d_;
      b_ = std::rotl(b_, 17) ^ c_;
      d_ = std::rotl(d_, 21) ^ a_;
      c_ = std::rotl(c_, 32);
    }
  }

  uint64_t a_, b_, c_, d_;
};

} // namespace

uint64_t identity_hash(const std::string& identity) {
  Sha256 hash;
  hash.update(identity);
  const Sha256::Digest digest = hash.finish();
  uint64_t first = 0;
  for (int i = 0; i < 8; i++) {
    first = first << 8 | digest[i];
  }
  return first;
}

uint64_t chain_hash(uint64_t parent, std::span<const int32_t> tokens) {
  SipHash hash(parent, kChainKey);
  const size_t pairs = tokens.size() / 2;
  for (size_t i = 0; i < pairs; i++) {
    hash.add(
        static_cast<uint32_t>(tokens[2 * i]) |
        static_cast<uint64_t>(static_cast<uint32_t>(tokens[2 * i + 1])) << 32);
  }
  const uint64_t odd =
      tokens.size() % 2 ? static_cast<uint32_t>(tokens.back()) : 0;
  hash.add(odd | static_cast<uint64_t>(tokens.size() * 4) << 56);
  return hash.finish();
}

} // namespace stomp

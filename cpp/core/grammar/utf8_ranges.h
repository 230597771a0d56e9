// Ranges of code points as sequences of ranges of bytes. Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace stomp::grammar {

struct ByteRange {
  uint8_t low, high;
};

struct ByteSequence {
  std::array<ByteRange, 4> bytes;
  int length;
};

/// Appends sequences that together match the UTF-8 of exactly the code points
/// [low, high], surrogates left out.
/// REQUIRES: low <= high <= 0x10ffff.
void append_utf8(uint32_t low, uint32_t high, std::vector<ByteSequence>& out);

} // namespace stomp::grammar

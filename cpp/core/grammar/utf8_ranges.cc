#include "grammar/utf8_ranges.h"

#include <algorithm>
#include <string>

#include "base/utf8.h"

namespace stomp::grammar {

namespace {

/// REQUIRES: both ends have UTF-8 of the same length, no surrogates between.
void append_same_length(
    uint32_t low,
    uint32_t high,
    std::vector<ByteSequence>& out) {
  // Until the ends differ in one byte alone, or in it and in all after it,
  // which then run from the first to the last.
  for (int shift = 6; shift <= 18 && high >= 0x80; shift += 6) {
    const uint32_t below = (uint32_t{1} << shift) - 1;
    if ((low & ~below) == (high & ~below)) {
      break;
    }
    if ((low & below) != 0) {
      append_same_length(low, low | below, out);
      append_same_length((low | below) + 1, high, out);
      return;
    }
    if ((high & below) != below) {
      append_same_length(low, (high & ~below) - 1, out);
      append_same_length(high & ~below, high, out);
      return;
    }
  }
  std::string first;
  std::string last;
  encode_utf8(low, first);
  encode_utf8(high, last);
  ByteSequence sequence{};
  sequence.length = static_cast<int>(first.size());
  for (size_t i = 0; i < first.size(); i++) {
    sequence.bytes[i] = {
        static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i])};
  }
  out.push_back(sequence);
}

struct Span {
  uint32_t first, last;
};

// One length each, and nothing where surrogates are.
constexpr Span kSpans[] = {
    {0, 0x7f},
    {0x80, 0x7ff},
    {0x800, 0xd7ff},
    {0xe000, 0xffff},
    {0x10000, 0x10ffff},
};

} // namespace

void append_utf8(uint32_t low, uint32_t high, std::vector<ByteSequence>& out) {
  for (const Span& span : kSpans) {
    const uint32_t first = std::max(low, span.first);
    const uint32_t last = std::min(high, span.last);
    if (first <= last) {
      append_same_length(first, last, out);
    }
  }
}

} // namespace stomp::grammar

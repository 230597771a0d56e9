#include "grammar/text_units.h"

namespace stomp::grammar {

namespace {

// How a character of several bytes goes on: so many bytes are missing, the
// next of which is in a range.
struct Missing {
  uint8_t low, high;
  int8_t then;
};

constexpr Missing kMissing[kTextStates] = {
    {1, 0, -1},      // a boundary has no next byte of this kind
    {0x80, 0xbf, 0}, // one byte
    {0x80, 0xbf, 1}, // two
    {0x80, 0xbf, 2}, // three
    {0xa0, 0xbf, 1}, // after e0: nothing overlong
    {0x80, 0x9f, 1}, // after ed: no surrogates
    {0x90, 0xbf, 2}, // after f0: nothing overlong
    {0x80, 0x8f, 2}, // after f4: nothing past U+10FFFF
};

struct Lead {
  uint8_t last; // of the bytes that begin so
  int8_t state;
};

constexpr Lead kLeads[] = {
    {0x1f, -1},
    {'"' - 1, 0},
    {'"', -1},
    {'\\' - 1, 0},
    {'\\', -1},
    {0x7e, 0},
    {0xc1, -1},
    {0xdf, 1},
    {0xe0, 4},
    {0xec, 2},
    {0xed, 5},
    {0xef, 2},
    {0xf0, 6},
    {0xf3, 3},
    {0xf4, 7},
    {0xff, -1},
};

} // namespace

int next_text(int state, uint8_t byte) {
  if (state != kTextBoundary) {
    const Missing& m = kMissing[state];
    return byte >= m.low && byte <= m.high ? m.then : -1;
  }
  const Lead* lead = kLeads;
  while (byte > lead->last) {
    lead++;
  }
  return lead->state;
}

} // namespace stomp::grammar

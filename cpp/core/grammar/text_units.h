// Plain text, byte by byte: printable ASCII except the quote and the backslash,
// and whole characters of several bytes. What JSON strings and free text let
// pass, so that a mask can take such bytes together. Pure; any thread.
#pragma once

#include <cstdint>

namespace stomp::grammar {

/// Between two characters.
constexpr int kTextBoundary = 0;
constexpr int kTextStates = 8;

/// Where a byte leads from one of kTextStates states, -1 when it is no text.
int next_text(int state, uint8_t byte);

} // namespace stomp::grammar

#include "base/utf8.h"

namespace stomp {

namespace {

struct Lead {
  uint8_t first, last; // range of the first byte
  uint8_t length;      // bytes of the sequence, 0 when no sequence begins so
  uint8_t low, high;   // range of the second byte
};

/// Table 3-7 of the Unicode standard, ASCII left out.
constexpr Lead kLeads[] = {
    {0xc2, 0xdf, 2, 0x80, 0xbf},
    {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf},
    {0xed, 0xed, 3, 0x80, 0x9f},
    {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf},
    {0xf1, 0xf3, 4, 0x80, 0xbf},
    {0xf4, 0xf4, 4, 0x80, 0x8f},
};

Lead lead(uint8_t c) {
  for (const Lead& l : kLeads) {
    if (c >= l.first && c <= l.last) {
      return l;
    }
  }
  return {};
}

bool sequence(std::string_view text, size_t at, const Lead& first) {
  if (first.length == 0 || text.size() - at < first.length) {
    return false;
  }
  for (int i = 1; i < first.length; i++) {
    const auto c = static_cast<uint8_t>(text[at + i]);
    const uint8_t low = i == 1 ? first.low : 0x80;
    const uint8_t high = i == 1 ? first.high : 0xbf;
    if (c < low || c > high) {
      return false;
    }
  }
  return true;
}

} // namespace

size_t valid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    if (static_cast<uint8_t>(text[at]) < 0x80) {
      at++;
      continue;
    }
    const Lead first = lead(static_cast<uint8_t>(text[at]));
    if (!sequence(text, at, first)) {
      break;
    }
    at += first.length;
  }
  return at;
}

void encode_utf8(uint32_t code_point, std::string& out) {
  const auto tail = [&](int shift) {
    out += static_cast<char>(0x80 | ((code_point >> shift) & 0x3f));
  };
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xc0 | (code_point >> 6));
    tail(0);
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xe0 | (code_point >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0 | (code_point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

} // namespace stomp

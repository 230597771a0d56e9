// UTF-8: checking and encoding. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace stomp {

/// Length of the longest prefix that is well-formed UTF-8 (no overlong forms,
/// no surrogates, nothing past U+10FFFF).
size_t valid_utf8_prefix(std::string_view text);

/// REQUIRES: a code point that is not a surrogate, at most U+10FFFF.
void encode_utf8(uint32_t code_point, std::string& out);

} // namespace stomp

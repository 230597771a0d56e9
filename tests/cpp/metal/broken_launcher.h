// What a test wants an emulated launcher to do wrong:
// STOMP_TEST_BROKEN_LAUNCHER. Each launcher says which kinds it knows.
#pragma once

#include <cstdlib>
#include <string_view>

namespace emulator {

inline bool is_broken(std::string_view how) {
  const char* wanted = std::getenv("STOMP_TEST_BROKEN_LAUNCHER");
  return wanted && wanted == how;
}

} // namespace emulator

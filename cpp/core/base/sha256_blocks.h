// The inner loop of SHA-256. Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace stomp {

using Sha256State = std::array<uint32_t, 8>;

/// Mixes n blocks of 64 bytes into the state.
void sha256_blocks(Sha256State& state, const uint8_t* bytes, size_t n);

/// The same without the processor's instructions, for processors that lack
/// them and for tests.
void sha256_blocks_portable(Sha256State& state, const uint8_t* bytes, size_t n);

/// "sha-ni", "armv8-sha2" or "portable": what sha256_blocks() uses here.
const char* sha256_isa();

} // namespace stomp

// CRC-32C (Castagnoli, as iSCSI and SSE 4.2 have it). Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace stomp {

/// Continues from `crc`, the checksum of the bytes before: the pieces of a
/// buffer, one after the other, give what the whole does.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

/// The same without the processor's instruction, for processors that lack it
/// and for tests.
uint32_t crc32c_portable(std::span<const std::byte> bytes, uint32_t crc = 0);

/// "sse4.2", "armv8-crc" or "table": what crc32c() uses here.
const char* crc32c_isa();

} // namespace stomp

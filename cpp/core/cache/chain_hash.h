// The hash that names a prefix: h_i = H(h_{i-1}, tokens of block i), starting
// from a seed that stands for model, numerics and salt. Pure functions, any
// thread.
//
// The same in every process. Chain links are SipHash-2-4 (Aumasson and
// Bernstein, 2012) keyed by the parent, and nothing relies on them being free
// of collisions: the index compares tokens. Seeds have only their hash to be
// told apart by, so they come from SHA-256.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace stomp {

uint64_t identity_hash(const std::string& identity);

uint64_t chain_hash(uint64_t parent, std::span<const int32_t> tokens);

} // namespace stomp

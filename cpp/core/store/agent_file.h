// An agent's cache file: one safetensors file, laid out in docs/format.md.
// Format only; where files live and when they are written is disk_tier.h.
//
// Integrity: CRC32C per block, and a SHA-256 over header, token ids and CRCs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/cache_spec.h"
#include "store/safetensors_reader.h"
#include "store/safetensors_writer.h"

namespace stomp {

/// One block in the file: tokens [index * block_tokens, + n_tokens) of a group.
struct StoredBlock {
  int group = 0;
  int index = 0;
  int n_tokens = 0;
};

struct AgentFileHeader {
  std::string agent;
  std::string model;       // name, for people
  std::string fingerprint; // of the model
  std::string numerics;    // of the executor that computed the cache
  uint64_t seed = 0;       // of its hash chain: model, numerics and cache salt
  ModelCacheSpec spec;
  std::vector<int32_t> tokens;
  std::string transcript;          // opaque
  std::vector<StoredBlock> blocks; // in file order
};

/// Bytes of a stored block in the layout of Executor::read_block.
size_t stored_block_bytes(const ModelCacheSpec& spec, const StoredBlock& b);

/// Writes a file front to back; nothing is visible under `path` before
/// finish(). One thread.
class AgentFileWriter {
 public:
  /// Throws kCachePersistence, here and below; also for more blocks than a
  /// reader would accept.
  AgentFileWriter(const std::string& path, const AgentFileHeader& header);

  /// The bytes of the next block, in the order of header.blocks.
  void append_block(std::span<const std::byte> bytes);

  /// fsync and rename. Returns the file's size in bytes.
  uint64_t finish();

 private:
  SafetensorsWriter file_;
  std::vector<uint32_t> crcs_;
  std::vector<std::byte> tokens_; // as they stand in the file
};

/// A mapped file whose header, token ids and checksums were verified; block
/// bytes are verified as they are read.
class AgentFileReader {
 public:
  /// Throws kCacheCorrupt saying what is wrong, kCachePersistence when the
  /// file cannot be opened now, kIncompatibleCache for a later format.
  explicit AgentFileReader(const std::string& path);

  const AgentFileHeader& header() const { return header_; }
  /// Whether the path still leads to this file, and nobody has written to it.
  bool current() const { return file_.file().current(); }

  /// Why this cache cannot be used with that model and executor, if so.
  std::optional<std::string> mismatch(
      const std::string& fingerprint,
      const std::string& numerics,
      const ModelCacheSpec& spec) const;
  /// Whether it was computed for prompts with this seed: another one means
  /// another cache salt, whose tokens must not become known.
  bool fits_seed(uint64_t seed) const { return header_.seed == seed; }

  /// Bytes of header().blocks[i]. Throws kCacheCorrupt on a bad checksum.
  std::span<const std::byte> block(size_t i) const;

 private:
  SafetensorsFile file_;
  AgentFileHeader header_;
  std::vector<std::span<const std::byte>> blocks_;
  std::vector<uint32_t> crcs_;
};

} // namespace stomp

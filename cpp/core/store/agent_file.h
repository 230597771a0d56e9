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

/// A run of full blocks of the global groups that lies in a segment's file:
/// blocks [first, first + blocks), which may be fewer than it has.
struct SegmentUse {
  std::string name;
  int first = 0;
  int blocks = 0;
};

/// Of an agent's file, or of a segment: a run of full blocks, kept once for all
/// agents whose conversations begin alike. A segment has the tokens from the
/// beginning to the end of its blocks, no transcript, and no agent.
struct AgentFileHeader {
  bool segment = false;
  // The agent's keys and values are gone for the sake of room on the disk, and
  // its tokens with them; the transcript is all there is.
  bool cold = false;
  std::string agent;
  std::string model;       // name, for people
  std::string fingerprint; // of the model
  std::string numerics;    // of the executor that computed the cache
  uint64_t seed = 0;       // of its hash chain: model, numerics and cache salt
  ModelCacheSpec spec;
  std::vector<int32_t> tokens;
  std::string transcript;           // opaque
  std::vector<SegmentUse> segments; // from the first block on, without a gap
  std::vector<StoredBlock> blocks;  // in file order, those of segments not
};

/// Names of the prefixes that end with each full block: a hash of everything
/// that decides what is in them. A segment has the name of its whole prefix.
std::vector<std::string> prefix_names(const AgentFileHeader& header);

/// What the agent's file at `path` uses, its seal unchecked: nothing when it is
/// damaged. Not known of a file that cannot be opened just now, or of a later
/// version.
std::optional<std::vector<SegmentUse>> segments_used(const std::string& path);

std::string segment_file_name(const std::string& name);
/// The reverse; nothing for other names.
std::optional<std::string> segment_of_file_name(const std::string& file);

/// What is left of an agent that goes cold.
AgentFileHeader cold_header(const AgentFileHeader& header);

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

/// A mapped file whose header, token ids and checksums were verified, and those
/// of the segments that it uses; block bytes are verified as they are read.
class AgentFileReader {
 public:
  /// Segments are looked for in `segment_folder`; empty: there are none. Throws
  /// kCacheCorrupt saying what is wrong, kCachePersistence when the file cannot
  /// be opened now, kIncompatibleCache for a later format.
  AgentFileReader(const std::string& path, const std::string& segment_folder);

  /// A segment that could not be used, and why.
  struct Lack {
    std::string segment;
    Error why;
  };
  /// Of the segments the first that could not be used, if any. header() and
  /// blocks() then end before it: what follows is of no use without it. The
  /// transcript is there as ever.
  const std::optional<Lack>& lack() const { return lack_; }

  const AgentFileHeader& header() const { return header_; }
  /// All there are: the file's own, then those of its segments.
  const std::vector<StoredBlock>& blocks() const { return blocks_; }
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

  /// Bytes of blocks()[i]. Throws kCacheCorrupt on a bad checksum.
  std::span<const std::byte> block(size_t i) const;
  /// Name of the segment that blocks()[i] lies in; empty: the file itself.
  const std::string& segment_of(size_t i) const {
    return places_.at(i).segment;
  }

 private:
  /// Where a block's bytes are, and what they should come to.
  struct Place {
    std::span<const std::byte> bytes;
    uint32_t crc = 0;
    std::string segment;
  };

  void place_own_blocks();
  void open_segments(const std::string& folder);
  void use(const SegmentUse& use, const AgentFileReader& segment);
  void end_before(size_t segment, const Error& why);

  SafetensorsFile file_;
  AgentFileHeader header_;
  std::vector<StoredBlock> blocks_;
  std::vector<Place> places_;                              // of those
  std::vector<std::unique_ptr<AgentFileReader>> segments_; // mapped
  std::optional<Lack> lack_;
};

} // namespace stomp

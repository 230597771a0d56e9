// The inside of agent files, in three rooms: agent_file.cc writes and reads
// them, agent_metadata.cc says a header as text and takes none that does not
// hold together, agent_tensors.cc says which tensors there are.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "store/agent_file.h"

namespace stomp::agent_file {

[[noreturn]] inline void corrupt(const std::string& what) {
  throw Error(Code::kCacheCorrupt, "the cache file is damaged: " + what);
}

// Tensors besides the blocks' K and V.
inline constexpr char kTokens[] = "tokens";    // I32 (n_tokens)
inline constexpr char kChecksums[] = "crc32c"; // U32 (blocks)
inline constexpr char kSeal[] = "sha256";      // U8 (32)

// agent_tensors.cc

/// In file order. Throws kCachePersistence for more than a reader would accept.
std::vector<TensorDeclaration> declare(const AgentFileHeader& h);
/// Throws kCacheCorrupt unless the file has just these.
void check_tensors(const SafetensorsFile& file, const AgentFileHeader& h);

// agent_metadata.cc

SafetensorsFile::Metadata metadata(const AgentFileHeader& h);
std::string groups_text(const ModelCacheSpec& spec);
/// Throws kCacheCorrupt if it is no agent's file.
int version_of(const SafetensorsFile& file);
/// Whether this program can read files of that version.
bool knows_version(int version);
/// Throws kIncompatibleCache unless it can.
void check_version(const SafetensorsFile& file);
/// All but the tokens. Throws kCacheCorrupt.
AgentFileHeader parse_header(const SafetensorsFile& file);
std::vector<SegmentUse> parse_segments(const std::string& text);
/// That segments and blocks cover the tokens. Throws kCacheCorrupt.
void check_blocks(const AgentFileHeader& h);

inline constexpr size_t kNameDigits = 32; // of a segment
bool is_segment_name(std::string_view name);

} // namespace stomp::agent_file

#include "store/agent_file.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/sha256.h"
#include "store/agent_file_impl.h"

namespace stomp {

using namespace agent_file;

namespace {

std::span<const std::byte> bytes_of(const auto& values) {
  return std::as_bytes(std::span(values));
}

Sha256::Digest seal(
    std::span<const std::byte> header,
    std::span<const std::byte> tokens,
    std::span<const std::byte> checksums) {
  Sha256 hash;
  hash.update(header);
  hash.update(tokens);
  hash.update(checksums);
  return hash.finish();
}

template <class T>
std::vector<T> values_of(const SafetensorsTensor& tensor) {
  std::vector<T> values(tensor.bytes / sizeof(T));
  if (!values.empty()) {
    std::memcpy(values.data(), tensor.data, values.size() * sizeof(T));
  }
  return values;
}

const SafetensorsTensor&
tensor_named(const SafetensorsFile& file, const char* name, Dtype dtype) {
  const SafetensorsTensor* tensor = file.find(name);
  if (!tensor || tensor->dtype != dtype || tensor->shape.size() != 1) {
    corrupt(std::string("tensor ") + name + " is missing or misshapen");
  }
  return *tensor;
}

void check_seal(const SafetensorsFile& file) {
  const SafetensorsTensor& tokens = tensor_named(file, kTokens, Dtype::kI32);
  const SafetensorsTensor& crcs = tensor_named(file, kChecksums, Dtype::kU32);
  const SafetensorsTensor& sealed = tensor_named(file, kSeal, Dtype::kU8);
  const Sha256::Digest digest =
      seal(file.header(), {tokens.data, tokens.bytes}, {crcs.data, crcs.bytes});
  if (sealed.bytes != digest.size() ||
      std::memcmp(sealed.data, digest.data(), digest.size()) != 0) {
    corrupt("its header or token ids were altered");
  }
}

} // namespace

AgentFileHeader cold_header(const AgentFileHeader& header) {
  AgentFileHeader cold = header;
  cold.cold = true;
  cold.tokens.clear();
  cold.segments.clear();
  cold.blocks.clear();
  return cold;
}

size_t stored_block_bytes(const ModelCacheSpec& spec, const StoredBlock& b) {
  return spec.token_layer_bytes() * spec.groups[b.group].layers.size() *
      b.n_tokens;
}

AgentFileWriter::AgentFileWriter(
    const std::string& path,
    const AgentFileHeader& header)
    : file_(path, declare(header), metadata(header)) {
  const std::span<const std::byte> tokens = bytes_of(header.tokens);
  tokens_.assign(tokens.begin(), tokens.end());
  file_.append(tokens_);
}

void AgentFileWriter::append_block(std::span<const std::byte> bytes) {
  crcs_.push_back(crc32c(bytes));
  file_.append(bytes);
}

uint64_t AgentFileWriter::finish() {
  file_.append(bytes_of(crcs_));
  file_.append(bytes_of(seal(file_.header(), tokens_, bytes_of(crcs_))));
  return file_.finish();
}

AgentFileReader::AgentFileReader(
    const std::string& path,
    const std::string& segment_folder)
    : file_(
          path,
          Code::kCachePersistence,
          Code::kCacheCorrupt,
          Code::kCachePersistence) {
  check_version(file_);
  check_seal(file_);
  header_ = parse_header(file_);
  header_.tokens = values_of<int32_t>(*file_.find(kTokens));
  check_blocks(header_);
  check_tensors(file_, header_);
  place_own_blocks();
  file_.file().advise(Advice::kWillNeed);
  open_segments(segment_folder);
}

/// REQUIRES: check_tensors() has established that the blocks lie between the
/// first and the last two tensors, in order.
void AgentFileReader::place_own_blocks() {
  const SafetensorsTensor& tokens = *file_.find(kTokens);
  const auto crcs = values_of<uint32_t>(*file_.find(kChecksums));
  const std::byte* at = tokens.data + tokens.bytes;
  blocks_ = header_.blocks;
  for (size_t i = 0; i < blocks_.size(); i++) {
    const size_t bytes = stored_block_bytes(header_.spec, blocks_[i]);
    places_.push_back({{at, bytes}, crcs[i], ""});
    at += bytes;
  }
}

void AgentFileReader::open_segments(const std::string& folder) {
  for (size_t i = 0; i < header_.segments.size(); i++) {
    const SegmentUse& part = header_.segments[i];
    try {
      if (folder.empty()) {
        corrupt("it uses segments where there are none");
      }
      segments_.push_back(std::make_unique<AgentFileReader>(
          folder + "/" + segment_file_name(part.name), ""));
      use(part, *segments_.back());
    } catch (const Error& error) {
      end_before(i, error);
      return;
    }
  }
}

/// Leaves out all from this segment on.
void AgentFileReader::end_before(size_t segment, const Error& why) {
  const int end = header_.segments[segment].first;
  lack_ = {header_.segments[segment].name, why};
  header_.segments.resize(segment);
  header_.tokens.resize(static_cast<size_t>(end) * header_.spec.block_tokens);
  const auto behind = [end](const StoredBlock& b) { return b.index >= end; };
  size_t kept = 0;
  for (size_t i = 0; i < blocks_.size(); i++) {
    if (!behind(blocks_[i])) {
      blocks_[kept] = blocks_[i];
      places_[kept++] = places_[i];
    }
  }
  blocks_.resize(kept);
  places_.resize(kept);
  std::erase_if(header_.blocks, behind);
}

/// REQUIRES: the segment's file is sound by itself.
void AgentFileReader::use(
    const SegmentUse& part,
    const AgentFileReader& segment) {
  const AgentFileHeader& h = segment.header();
  const size_t tokens =
      (size_t{0} + part.first + part.blocks) * h.spec.block_tokens;
  const bool fits =
      h.segment &&
      !segment.mismatch(header_.fingerprint, header_.numerics, header_.spec) &&
      h.seed == header_.seed && tokens <= h.tokens.size() &&
      std::equal(
          h.tokens.begin(), h.tokens.begin() + tokens, header_.tokens.begin());
  if (!fits) {
    corrupt("segment " + part.name + " is not of its beginning");
  }
  size_t found = 0;
  for (size_t i = 0; i < segment.blocks_.size(); i++) {
    const StoredBlock& b = segment.blocks_[i];
    if (b.index >= part.first && b.index < part.first + part.blocks) {
      blocks_.push_back(b);
      places_.push_back(segment.places_[i]);
      places_.back().segment = part.name;
      found++;
    }
  }
  const auto global = std::count_if(
      header_.spec.groups.begin(),
      header_.spec.groups.end(),
      [](const LayerGroup& g) { return g.kind == AttentionKind::kGlobal; });
  if (found != static_cast<size_t>(global) * part.blocks) {
    corrupt("segment " + part.name + " lacks blocks");
  }
}

std::optional<std::string> AgentFileReader::mismatch(
    const std::string& fingerprint,
    const std::string& numerics,
    const ModelCacheSpec& spec) const {
  if (header_.fingerprint != fingerprint) {
    return "it was made by the model " + header_.model;
  }
  if (header_.numerics != numerics) {
    return "it was computed as " + header_.numerics +
        ", this engine computes as " + numerics;
  }
  if (header_.spec.block_tokens != spec.block_tokens) {
    return "its blocks hold " + std::to_string(header_.spec.block_tokens) +
        " tokens, this engine's " + std::to_string(spec.block_tokens);
  }
  if (header_.spec.kv.bits != spec.kv.bits) {
    return "its keys and values are of " +
        std::to_string(header_.spec.kv.bits) + " bits, this engine's of " +
        std::to_string(spec.kv.bits);
  }
  if (header_.spec.token_layer_bytes() != spec.token_layer_bytes() ||
      !header_.spec.kv.same_as(spec.kv) ||
      groups_text(header_.spec) != groups_text(spec)) {
    return std::string("its layers are laid out differently");
  }
  return std::nullopt;
}

std::span<const std::byte> AgentFileReader::block(size_t i) const {
  const Place& place = places_.at(i);
  if (crc32c(place.bytes) != place.crc) {
    corrupt("block " + std::to_string(i) + " does not match its checksum");
  }
  return place.bytes;
}

std::optional<std::vector<SegmentUse>> segments_used(const std::string& path) {
  try {
    const SafetensorsFile file(
        path,
        Code::kCachePersistence,
        Code::kCacheCorrupt,
        Code::kCachePersistence);
    if (!knows_version(version_of(file))) {
      return std::nullopt;
    }
    const std::string* text = file.find_metadata("segments");
    return text == nullptr ? std::vector<SegmentUse>() : parse_segments(*text);
  } catch (const Error& error) {
    if (error.code() == Code::kCacheCorrupt) {
      return std::vector<SegmentUse>(); // it is set aside when it is used
    }
    return std::nullopt;
  }
}

std::string segment_file_name(const std::string& name) {
  return name + ".safetensors";
}

std::optional<std::string> segment_of_file_name(const std::string& file) {
  const std::string name = file.substr(0, kNameDigits);
  return is_segment_name(name) && file == segment_file_name(name)
      ? std::optional(name)
      : std::nullopt;
}

std::vector<std::string> prefix_names(const AgentFileHeader& h) {
  Sha256 prefix;
  prefix.update(h.fingerprint);
  prefix.update_u64(h.fingerprint.size());
  prefix.update(h.numerics);
  prefix.update_u64(h.seed);
  prefix.update_u64(static_cast<uint64_t>(h.spec.block_tokens));
  if (h.spec.kv.coded()) {
    // Of the same numerics there were once blocks without codes.
    prefix.update_u64(static_cast<uint64_t>(h.spec.kv.bits));
  }
  const size_t size = h.spec.block_tokens;
  std::vector<std::string> names;
  for (size_t i = 0; (i + 1) * size <= h.tokens.size(); i++) {
    prefix.update(std::as_bytes(std::span(h.tokens).subspan(i * size, size)));
    Sha256 here = prefix;
    names.push_back(hex(here.finish(), kNameDigits / 2));
  }
  return names;
}

} // namespace stomp

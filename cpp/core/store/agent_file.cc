#include "store/agent_file.h"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "base/crc32c.h"
#include "base/sha256.h"

namespace stomp {

namespace {

constexpr char kFormat[] = "stomp-agent-cache";
// 1 had neither segments nor cold agents; 2 no codes: blocks of any engine were
// of 16 bits, f16 or f32.
constexpr int kVersion = 3;
constexpr int kLastWithoutCodes = 2;
// Each takes nine of the values that a reader's JSON limit allows.
constexpr size_t kMaxTensors = 400'000;

// Of a block's K or V, when it is codes, in this order.
constexpr char kCodes[] = "_weights"; // I8, or U8 where there are biases
constexpr char kScales[] = "_scales"; // F16
constexpr char kBiases[] = "_biases"; // F16

// Tensors besides the blocks' K and V.
constexpr char kTokens[] = "tokens";    // I32 (n_tokens)
constexpr char kChecksums[] = "crc32c"; // U32 (blocks)
constexpr char kSeal[] = "sha256";      // U8 (32)

size_t tensor_count(const AgentFileHeader& h) {
  size_t n = 3; // token ids, checksums, seal
  const size_t parts = !h.spec.kv.coded() ? 1 : h.spec.kv.biases ? 3 : 2;
  for (const StoredBlock& b : h.blocks) {
    n += 2 * parts * h.spec.groups[b.group].layers.size();
  }
  return n;
}

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(Code::kCacheCorrupt, "the cache file is damaged: " + what);
}

std::span<const std::byte> bytes_of(const auto& values) {
  return std::as_bytes(std::span(values));
}

Dtype element_type(const KvFormat& kv) {
  if (kv.coded()) {
    return kv.biases ? Dtype::kU8 : Dtype::kI8;
  }
  return kv.element_bytes == 2 ? Dtype::kF16 : Dtype::kF32;
}

/// Appends a decimal number.
void append(std::string& text, int value) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  text.append(digits, end);
}

/// Calls f(d) for the tensors of K or V of a layer's block, whose name without
/// what tells its parts apart and whose shape but for the heads' width are set.
template <class F>
void each_part(const KvFormat& kv, int dim, TensorDeclaration& d, const F& f) {
  d.dtype = element_type(kv);
  if (!kv.coded()) {
    d.shape[2] = static_cast<uint64_t>(dim);
    f(d);
    return;
  }
  const size_t stem = d.name.size();
  const auto part = [&](const char* name, uint64_t width) {
    d.name.resize(stem);
    d.name += name;
    d.shape[2] = width;
    f(d);
  };
  const auto groups = static_cast<uint64_t>(kv.groups_of(dim));
  part(kCodes, kv.element_bytes_of(dim));
  d.dtype = Dtype::kF16;
  part(kScales, groups);
  if (kv.biases) {
    part(kBiases, groups);
  }
  d.name.resize(stem);
}

/// Calls f(declaration) for every tensor of the file, in order. The object is
/// the same each time: a long cache has thousands.
template <class F>
void each_declaration(const AgentFileHeader& h, F f) {
  f(TensorDeclaration{kTokens, Dtype::kI32, {h.tokens.size()}});
  const auto heads = static_cast<uint64_t>(h.spec.n_kv_heads);
  TensorDeclaration d{{}, Dtype::kF16, {0, heads, 0}};
  for (const StoredBlock& b : h.blocks) {
    d.shape[0] = static_cast<uint64_t>(b.n_tokens);
    for (const int layer : h.spec.groups[b.group].layers) {
      d.name = "L";
      append(d.name, layer);
      d.name += "_B";
      append(d.name, b.index);
      d.name += "_K";
      each_part(h.spec.kv, h.spec.key_dim, d, f);
      d.name.back() = 'V';
      each_part(h.spec.kv, h.spec.value_dim, d, f);
    }
  }
  f(TensorDeclaration{kChecksums, Dtype::kU32, {h.blocks.size()}});
  f(TensorDeclaration{kSeal, Dtype::kU8, {sizeof(Sha256::Digest)}});
}

std::vector<TensorDeclaration> declare(const AgentFileHeader& h) {
  std::vector<TensorDeclaration> all;
  all.reserve(tensor_count(h));
  each_declaration(h, [&](const TensorDeclaration& d) { all.push_back(d); });
  return all;
}

// Groups as text: "global:0,1,2;sliding/1024:3,4".
std::string groups_text(const ModelCacheSpec& spec) {
  std::string text;
  for (const LayerGroup& g : spec.groups) {
    text += text.empty() ? "" : ";";
    text += g.kind == AttentionKind::kGlobal
        ? "global:"
        : "sliding/" + std::to_string(g.window) + ":";
    for (size_t i = 0; i < g.layers.size(); i++) {
      text += (i ? "," : "") + std::to_string(g.layers[i]);
    }
  }
  return text;
}

std::string blocks_text(const std::vector<StoredBlock>& blocks) {
  std::string text;
  for (const StoredBlock& b : blocks) {
    text += (text.empty() ? "" : " ") + std::to_string(b.group) + ":" +
        std::to_string(b.index) + ":" + std::to_string(b.n_tokens);
  }
  return text;
}

// Segments as text: "NAME:first:blocks NAME:first:blocks".
std::string segments_text(const std::vector<SegmentUse>& segments) {
  std::string text;
  for (const SegmentUse& s : segments) {
    text += (text.empty() ? "" : " ") + s.name + ":" + std::to_string(s.first) +
        ":" + std::to_string(s.blocks);
  }
  return text;
}

std::string kind_of(const AgentFileHeader& h) {
  return h.segment ? "segment" : h.cold ? "cold" : "agent";
}

std::string seed_text(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, value);
  return text;
}

SafetensorsFile::Metadata metadata(const AgentFileHeader& h) {
  const ModelCacheSpec& s = h.spec;
  return {
      {"format", kFormat},
      {"version", std::to_string(kVersion)},
      {"kind", kind_of(h)},
      {"agent", h.agent},
      {"model", h.model},
      {"fingerprint", h.fingerprint},
      {"numerics", h.numerics},
      {"prefix_seed", seed_text(h.seed)},
      {"layers", std::to_string(s.n_layers)},
      {"kv_heads", std::to_string(s.n_kv_heads)},
      {"key_dim", std::to_string(s.key_dim)},
      {"value_dim", std::to_string(s.value_dim)},
      {"element_bytes", std::to_string(s.kv.element_bytes)},
      {"kv_bits", std::to_string(s.kv.bits)},
      {"kv_group", std::to_string(s.kv.group)},
      {"kv_biases", s.kv.biases ? "1" : "0"},
      {"block_tokens", std::to_string(s.block_tokens)},
      {"groups", groups_text(s)},
      {"segments", segments_text(h.segments)},
      {"blocks", blocks_text(h.blocks)},
      {"transcript", h.transcript},
  };
}

const std::string& require(const SafetensorsFile& file, const char* key) {
  const std::string* value = file.find_metadata(key);
  if (!value) {
    corrupt(std::string("no \"") + key + "\" in its metadata");
  }
  return *value;
}

/// Reads decimal numbers out of a text, front to back.
class Numbers {
 public:
  Numbers(const std::string& text, const char* what)
      : at_(text.data()), end_(at_ + text.size()), what_(what) {}

  bool at_end() const { return at_ == end_; }
  int next() {
    int value = 0;
    const auto [rest, error] = std::from_chars(at_, end_, value);
    if (error != std::errc() || value < 0) {
      corrupt(std::string("bad number in ") + what_);
    }
    at_ = rest;
    return value;
  }
  bool skip(const char* text) {
    const size_t n = std::strlen(text);
    if (static_cast<size_t>(end_ - at_) < n || std::memcmp(at_, text, n) != 0) {
      return false;
    }
    at_ += n;
    return true;
  }
  void expect(const char* text) {
    if (!skip(text)) {
      corrupt(std::string("expected '") + text + "' in " + what_);
    }
  }

 private:
  const char* at_;
  const char* end_;
  const char* what_;
};

constexpr size_t kNameDigits = 32;

bool is_segment_name(std::string_view name) {
  return name.size() == kNameDigits &&
      name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::vector<SegmentUse> parse_segments(const std::string& text) {
  std::vector<SegmentUse> segments;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string part = text.substr(at, end - at);
    SegmentUse use;
    use.name = part.substr(0, kNameDigits);
    if (!is_segment_name(use.name)) {
      corrupt("a segment has no proper name");
    }
    const std::string rest = part.substr(kNameDigits);
    Numbers numbers(rest, "segments");
    numbers.expect(":");
    use.first = numbers.next();
    numbers.expect(":");
    use.blocks = numbers.next();
    if (!numbers.at_end() || use.blocks < 1) {
      corrupt("bad number in segments");
    }
    segments.push_back(use);
    at = end + 1;
  }
  return segments;
}

uint64_t seed_in(const SafetensorsFile& file) {
  const std::string& text = require(file, "prefix_seed");
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, 16);
  if (error != std::errc() || rest != end || seed_text(value) != text) {
    corrupt("bad number in prefix_seed");
  }
  return value;
}

int number(const SafetensorsFile& file, const char* key) {
  Numbers numbers(require(file, key), key);
  const int value = numbers.next();
  if (!numbers.at_end()) {
    corrupt(std::string("bad number in ") + key);
  }
  return value;
}

std::vector<LayerGroup> parse_groups(const std::string& text) {
  std::vector<LayerGroup> groups;
  Numbers numbers(text, "groups");
  while (!numbers.at_end()) {
    LayerGroup group;
    if (numbers.skip("sliding/")) {
      group.kind = AttentionKind::kSliding;
      group.window = numbers.next();
      numbers.expect(":");
    } else {
      numbers.expect("global:");
    }
    do {
      group.layers.push_back(numbers.next());
    } while (numbers.skip(","));
    groups.push_back(std::move(group));
    if (!numbers.at_end()) {
      numbers.expect(";");
    }
  }
  return groups;
}

std::vector<StoredBlock> parse_blocks(
    const std::string& text,
    const ModelCacheSpec& spec) {
  std::vector<StoredBlock> blocks;
  Numbers numbers(text, "blocks");
  while (!numbers.at_end()) {
    StoredBlock b;
    b.group = numbers.next();
    numbers.expect(":");
    b.index = numbers.next();
    numbers.expect(":");
    b.n_tokens = numbers.next();
    if (b.group >= static_cast<int>(spec.groups.size()) || b.n_tokens < 1 ||
        b.n_tokens > spec.block_tokens) {
      corrupt("a block outside the spec");
    }
    blocks.push_back(b);
    if (!numbers.at_end()) {
      numbers.expect(" ");
    }
  }
  return blocks;
}

KvFormat parse_kv(const SafetensorsFile& file, int version) {
  KvFormat kv;
  kv.element_bytes = number(file, "element_bytes");
  if (kv.element_bytes != 2 && kv.element_bytes != 4) {
    corrupt("elements of a size that there is not");
  }
  if (version <= kLastWithoutCodes) {
    return kv;
  }
  kv.bits = number(file, "kv_bits");
  kv.group = number(file, "kv_group");
  const int biases = number(file, "kv_biases");
  kv.biases = biases == 1;
  const bool known = kv.bits == 16 || kv.bits == 8 || kv.bits == 4;
  if (!known || kv.group < 1 || biases > 1) {
    corrupt("codes of a kind that there is not");
  }
  return kv;
}

ModelCacheSpec parse_spec(const SafetensorsFile& file, int version) {
  ModelCacheSpec spec;
  spec.n_layers = number(file, "layers");
  spec.n_kv_heads = number(file, "kv_heads");
  spec.key_dim = number(file, "key_dim");
  spec.value_dim = number(file, "value_dim");
  spec.kv = parse_kv(file, version);
  spec.block_tokens = number(file, "block_tokens");
  if (spec.block_tokens < 1) {
    corrupt("its blocks hold no tokens");
  }
  spec.groups = parse_groups(require(file, "groups"));
  return spec;
}

/// Blocks that the segments have, from the first on, none missing.
int64_t blocks_in_segments(const AgentFileHeader& h) {
  int64_t next = 0;
  for (const SegmentUse& use : h.segments) {
    if (use.first != next) {
      corrupt("its segments do not follow each other");
    }
    next += use.blocks;
  }
  if (next * h.spec.block_tokens > static_cast<int64_t>(h.tokens.size())) {
    corrupt("its segments have more than its tokens");
  }
  return next;
}

/// Each block's tokens follow the one before it, none missing: what a restore
/// relies on. Groups with a window may begin later.
void check_coverage(const AgentFileHeader& h) {
  const auto n_tokens = static_cast<int64_t>(h.tokens.size());
  const int64_t size = h.spec.block_tokens;
  const int64_t begun = blocks_in_segments(h);
  std::vector<int64_t> next(h.spec.groups.size(), -1);
  for (size_t g = 0; g < next.size(); g++) {
    if (h.spec.groups[g].kind == AttentionKind::kGlobal) {
      next[g] = begun;
    }
  }
  for (const StoredBlock& b : h.blocks) {
    const int64_t first = next[b.group];
    const int64_t begin = b.index * size;
    const bool in_order = first < 0 || b.index == first;
    if (!in_order || begin >= n_tokens ||
        b.n_tokens != std::min(size, n_tokens - begin)) {
      corrupt("its blocks do not cover its tokens");
    }
    next[b.group] = int64_t{b.index} + 1;
  }
  const int64_t blocks = (n_tokens + size - 1) / size;
  for (const int64_t end : next) {
    if (std::max<int64_t>(0, end) != blocks) {
      corrupt("blocks are missing at its end");
    }
  }
}

/// A segment's blocks are full, those of global groups, and end with its
/// tokens.
void check_segment(const AgentFileHeader& h) {
  const auto n_tokens = static_cast<int64_t>(h.tokens.size());
  const int64_t end = n_tokens / h.spec.block_tokens;
  std::vector<int64_t> next(h.spec.groups.size(), -1);
  for (const StoredBlock& b : h.blocks) {
    int64_t& expected = next[b.group];
    const bool global = h.spec.groups[b.group].kind == AttentionKind::kGlobal;
    if (!global || (expected >= 0 && b.index != expected) ||
        b.n_tokens != h.spec.block_tokens) {
      corrupt("its blocks are no run of full ones");
    }
    expected = int64_t{b.index} + 1;
  }
  const bool ends = std::all_of(
      next.begin(), next.end(), [&](int64_t n) { return n < 0 || n == end; });
  if (!ends || end * h.spec.block_tokens != n_tokens || !h.segments.empty()) {
    corrupt("its blocks do not end with its tokens");
  }
}

void check_blocks(const AgentFileHeader& h) {
  if (h.segment) {
    check_segment(h);
  } else {
    check_coverage(h);
  }
}

void check_tensors(const SafetensorsFile& file, const AgentFileHeader& h) {
  const auto& tensors = file.tensors();
  if (tensors.size() != tensor_count(h)) {
    corrupt("it holds other tensors than its metadata says");
  }
  size_t i = 0;
  each_declaration(h, [&](const TensorDeclaration& expected) {
    const SafetensorsTensor& t = tensors[i++];
    if (t.name != expected.name || t.dtype != expected.dtype ||
        t.shape != expected.shape) {
      corrupt("tensor " + expected.name + " is missing or misshapen");
    }
  });
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

/// REQUIRES: check_seal().
AgentFileHeader parse_header(const SafetensorsFile& file, int version) {
  AgentFileHeader h;
  h.agent = require(file, "agent");
  h.model = require(file, "model");
  h.fingerprint = require(file, "fingerprint");
  h.numerics = require(file, "numerics");
  h.seed = seed_in(file);
  h.transcript = require(file, "transcript");
  h.spec = parse_spec(file, version);
  h.tokens = values_of<int32_t>(*file.find(kTokens));
  if (version > 1) {
    const std::string& kind = require(file, "kind");
    h.segment = kind == "segment";
    h.cold = kind == "cold";
    h.segments = parse_segments(require(file, "segments"));
    if (kind != kind_of(h)) {
      corrupt("it is of no known kind");
    }
  }
  h.blocks = parse_blocks(require(file, "blocks"), h.spec);
  return h;
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

namespace {

std::vector<TensorDeclaration> checked_declaration(const AgentFileHeader& h) {
  if (tensor_count(h) > kMaxTensors) {
    throw Error(
        Code::kCachePersistence,
        "Agent '" + h.agent + "' has " + std::to_string(h.blocks.size()) +
            " blocks, more than one file can list. Use larger --block-tokens.",
        {{"agent", h.agent}});
  }
  return declare(h);
}

} // namespace

AgentFileWriter::AgentFileWriter(
    const std::string& path,
    const AgentFileHeader& header)
    : file_(path, checked_declaration(header), metadata(header)) {
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
  if (require(file_, "format") != kFormat) {
    corrupt("it is no agent cache");
  }
  const int version = number(file_, "version");
  if (version < 1 || version > kVersion) {
    throw Error(
        Code::kIncompatibleCache,
        path + ": its format version is " + std::to_string(version) +
            "; this program knows versions 1 to " + std::to_string(kVersion) +
            ". Use the program that wrote it, or another --cache-dir.");
  }
  check_seal(file_);
  header_ = parse_header(file_, version);
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
    places_.push_back({{at, bytes}, crcs[i]});
    at += bytes;
  }
}

void AgentFileReader::open_segments(const std::string& folder) {
  if (folder.empty() && !header_.segments.empty()) {
    corrupt("it uses segments where there are none");
  }
  for (const SegmentUse& part : header_.segments) {
    try {
      segments_.push_back(std::make_unique<AgentFileReader>(
          folder + "/" + segment_file_name(part.name), ""));
    } catch (const Error& error) {
      corrupt(
          "of the beginning that it shares with others, " +
          std::string(error.what()));
    }
    use(part, *segments_.back());
  }
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

std::vector<SegmentUse> segments_used(const std::string& path) {
  try {
    const SafetensorsFile file(path);
    const std::string* text = file.find_metadata("segments");
    return text == nullptr ? std::vector<SegmentUse>() : parse_segments(*text);
  } catch (const Error&) {
    return {}; // said where the agent is used
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

std::vector<std::string> prefix_names(const AgentFileHeader& h, int blocks) {
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
  for (int i = 0; i < blocks; i++) {
    prefix.update(std::as_bytes(std::span(h.tokens).subspan(i * size, size)));
    Sha256 here = prefix;
    names.push_back(hex(here.finish(), kNameDigits / 2));
  }
  return names;
}

} // namespace stomp

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
constexpr int kVersion = 2;
// Knew no codes: blocks of any engine were of 16 bits, f16 or f32.
constexpr int kVersionWithoutCodes = 1;
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

std::string hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, value);
  return text;
}

SafetensorsFile::Metadata metadata(const AgentFileHeader& h) {
  const ModelCacheSpec& s = h.spec;
  return {
      {"format", kFormat},
      {"version", std::to_string(kVersion)},
      {"agent", h.agent},
      {"model", h.model},
      {"fingerprint", h.fingerprint},
      {"numerics", h.numerics},
      {"prefix_seed", hex(h.seed)},
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

uint64_t seed_in(const SafetensorsFile& file) {
  const std::string& text = require(file, "prefix_seed");
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, 16);
  if (error != std::errc() || rest != end || hex(value) != text) {
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
  if (version == kVersionWithoutCodes) {
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

/// Each block's tokens follow the one before it, none missing: what a restore
/// relies on. Groups with a window may begin later.
void check_coverage(const AgentFileHeader& h) {
  const auto n_tokens = static_cast<int64_t>(h.tokens.size());
  const int64_t size = h.spec.block_tokens;
  std::vector<int64_t> next(h.spec.groups.size(), -1);
  for (const StoredBlock& b : h.blocks) {
    const bool global = h.spec.groups[b.group].kind == AttentionKind::kGlobal;
    const int64_t first = global && next[b.group] < 0 ? 0 : next[b.group];
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

} // namespace

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

AgentFileReader::AgentFileReader(const std::string& path)
    : file_(
          path,
          Code::kCachePersistence,
          Code::kCacheCorrupt,
          Code::kCachePersistence) {
  if (require(file_, "format") != kFormat) {
    corrupt("it is no agent cache");
  }
  const int version = number(file_, "version");
  if (version < kVersionWithoutCodes || version > kVersion) {
    throw Error(
        Code::kIncompatibleCache,
        path + ": its format version is " + std::to_string(version) +
            "; this program knows versions up to " + std::to_string(kVersion) +
            ". Use the program that wrote it, or another --cache-dir.");
  }
  const SafetensorsTensor& tokens = tensor_named(file_, kTokens, Dtype::kI32);
  const SafetensorsTensor& crcs = tensor_named(file_, kChecksums, Dtype::kU32);
  const SafetensorsTensor& sealed = tensor_named(file_, kSeal, Dtype::kU8);
  const Sha256::Digest digest = seal(
      file_.header(), {tokens.data, tokens.bytes}, {crcs.data, crcs.bytes});
  if (sealed.bytes != digest.size() ||
      std::memcmp(sealed.data, digest.data(), digest.size()) != 0) {
    corrupt("its header or token ids were altered");
  }
  header_.agent = require(file_, "agent");
  header_.model = require(file_, "model");
  header_.fingerprint = require(file_, "fingerprint");
  header_.numerics = require(file_, "numerics");
  header_.seed = seed_in(file_);
  header_.transcript = require(file_, "transcript");
  header_.spec = parse_spec(file_, version);
  header_.tokens = values_of<int32_t>(tokens);
  header_.blocks = parse_blocks(require(file_, "blocks"), header_.spec);
  crcs_ = values_of<uint32_t>(crcs);
  check_coverage(header_);
  check_tensors(file_, header_);
  // check_tensors has established that the blocks lie between the first and
  // the last two tensors, in order.
  const std::byte* at = tokens.data + tokens.bytes;
  for (const StoredBlock& b : header_.blocks) {
    const size_t bytes = stored_block_bytes(header_.spec, b);
    blocks_.push_back({at, bytes});
    at += bytes;
  }
  file_.file().advise(Advice::kWillNeed);
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
    return "its keys and values are of " + std::to_string(header_.spec.kv.bits) +
        " bits, this engine's of " + std::to_string(spec.kv.bits);
  }
  if (header_.spec.token_layer_bytes() != spec.token_layer_bytes() ||
      !header_.spec.kv.same_as(spec.kv) ||
      groups_text(header_.spec) != groups_text(spec)) {
    return std::string("its layers are laid out differently");
  }
  return std::nullopt;
}

std::span<const std::byte> AgentFileReader::block(size_t i) const {
  const std::span<const std::byte> bytes = blocks_.at(i);
  if (crc32c(bytes) != crcs_[i]) {
    corrupt("block " + std::to_string(i) + " does not match its checksum");
  }
  return bytes;
}

} // namespace stomp

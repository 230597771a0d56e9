// An agent's header as text, and back.
#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "store/agent_file_impl.h"

namespace stomp::agent_file {

namespace {

constexpr char kFormat[] = "stomp-agent-cache";
// 1 had neither segments nor cold agents; 2 no codes: blocks of any engine were
// of 16 bits, f16 or f32.
constexpr int kVersion = 3;
constexpr int kLastWithoutCodes = 2;

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
  if (next > static_cast<int64_t>(h.tokens.size()) / h.spec.block_tokens) {
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

/// Full, of a global group, and block number `expected` of it; -1: any.
bool goes_on(
    const ModelCacheSpec& spec,
    const StoredBlock& b,
    int64_t expected) {
  return spec.groups[b.group].kind == AttentionKind::kGlobal &&
      (expected < 0 || b.index == expected) && b.n_tokens == spec.block_tokens;
}

/// A segment's blocks are full, those of global groups, and end with its
/// tokens.
void check_segment(const AgentFileHeader& h) {
  if (h.blocks.empty() || !h.segments.empty()) {
    corrupt("a segment has blocks and no segments");
  }
  const auto n_tokens = static_cast<int64_t>(h.tokens.size());
  const int64_t end = n_tokens / h.spec.block_tokens;
  std::vector<int64_t> next(h.spec.groups.size(), -1);
  for (const StoredBlock& b : h.blocks) {
    int64_t& expected = next[b.group];
    if (!goes_on(h.spec, b, expected)) {
      corrupt("its blocks are no run of full ones");
    }
    expected = int64_t{b.index} + 1;
  }
  const bool ends =
      std::ranges::all_of(next, [&](int64_t n) { return n < 0 || n == end; });
  if (!ends || end * h.spec.block_tokens != n_tokens) {
    corrupt("its blocks do not end with its tokens");
  }
}

} // namespace

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

void check_blocks(const AgentFileHeader& h) {
  if (h.segment) {
    check_segment(h);
  } else {
    check_coverage(h);
  }
}

int version_of(const SafetensorsFile& file) {
  if (require(file, "format") != kFormat) {
    corrupt("it is no agent cache");
  }
  return number(file, "version");
}

bool knows_version(int version) {
  return version >= 1 && version <= kVersion;
}

void check_version(const SafetensorsFile& file) {
  const int version = version_of(file);
  if (!knows_version(version)) {
    throw Error(
        Code::kIncompatibleCache,
        "its format version is " + std::to_string(version) +
            "; this program knows versions 1 to " + std::to_string(kVersion));
  }
}

AgentFileHeader parse_header(const SafetensorsFile& file) {
  const int version = version_of(file);
  AgentFileHeader h;
  h.agent = require(file, "agent");
  h.model = require(file, "model");
  h.fingerprint = require(file, "fingerprint");
  h.numerics = require(file, "numerics");
  h.seed = seed_in(file);
  h.transcript = require(file, "transcript");
  h.spec = parse_spec(file, version);
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

} // namespace stomp::agent_file

// Which tensors an agent's file has.
#include <charconv>

#include "base/sha256.h"
#include "store/agent_file_impl.h"

namespace stomp::agent_file {

namespace {

// Each takes nine of the values that a reader's JSON limit allows.
constexpr size_t kMaxTensors = 400'000;

// Of a block's K or V, when it is codes, in this order.
constexpr char kCodes[] = "_weights"; // I8, or U8 where there are biases
constexpr char kScales[] = "_scales"; // F16
constexpr char kBiases[] = "_biases"; // F16

size_t tensor_count(const AgentFileHeader& h) {
  size_t n = 3; // token ids, checksums, seal
  const size_t parts = !h.spec.kv.coded() ? 1 : h.spec.kv.biases ? 3 : 2;
  for (const StoredBlock& b : h.blocks) {
    n += 2 * parts * h.spec.groups[b.group].layers.size();
  }
  return n;
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

} // namespace

std::vector<TensorDeclaration> declare(const AgentFileHeader& h) {
  const size_t n = tensor_count(h);
  if (n > kMaxTensors) {
    throw Error(
        Code::kCachePersistence,
        "Agent '" + h.agent + "' has " + std::to_string(h.blocks.size()) +
            " blocks, more than one file can list. Use larger --block-tokens.",
        {{"agent", h.agent}});
  }
  std::vector<TensorDeclaration> all;
  all.reserve(n);
  each_declaration(h, [&](const TensorDeclaration& d) { all.push_back(d); });
  return all;
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

} // namespace stomp::agent_file

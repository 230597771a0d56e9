// agent_file.h: what a cache's file holds for each kind of elements, what of
// earlier versions is read, and what is refused.
#include "store/agent_file.h"

#include <cstring>

#include "base/error.h"
#include "base/sha256.h"
#include "check.h"
#include "temp_dir.h"

using namespace stomp;

namespace {

constexpr int kTokens = 5;

/// Two layers and heads of 64, five tokens in blocks of four.
AgentFileHeader header_of(const KvFormat& kv) {
  AgentFileHeader header;
  header.agent = "a";
  header.model = "m";
  header.fingerprint = "f";
  header.numerics = "n";
  header.transcript = "t";
  header.spec.n_layers = 2;
  header.spec.n_kv_heads = 3;
  header.spec.key_dim = 64;
  header.spec.value_dim = 64;
  header.spec.kv = kv;
  header.spec.block_tokens = 4;
  header.spec.groups = {{AttentionKind::kGlobal, 0, {0, 1}}};
  header.tokens = {1, 2, 3, 4, 5};
  header.blocks = {{0, 0, 4}, {0, 1, 1}};
  return header;
}

std::vector<std::byte> bytes_of(const AgentFileHeader& header, size_t block) {
  std::vector<std::byte> bytes(
      stored_block_bytes(header.spec, header.blocks[block]));
  for (size_t i = 0; i < bytes.size(); i++) {
    bytes[i] = static_cast<std::byte>(i * 7 + block);
  }
  return bytes;
}

std::string written(const TempDir& dir, const KvFormat& kv) {
  const AgentFileHeader header = header_of(kv);
  std::string path = dir / "a.safetensors";
  AgentFileWriter writer(path, header);
  for (size_t i = 0; i < header.blocks.size(); i++) {
    writer.append_block(bytes_of(header, i));
  }
  writer.finish();
  return path;
}

void check_tensor(
    const SafetensorsFile& file,
    const char* name,
    Dtype dtype,
    uint64_t width) {
  const SafetensorsTensor* tensor = file.find(name);
  if (!tensor) {
    check::fail(__FILE__, __LINE__, name);
    return;
  }
  CHECK(tensor->dtype == dtype);
  CHECK((tensor->shape == std::vector<uint64_t>{4, 3, width}));
}

/// Other text of the same length in the header, under a seal that fits.
void rewrite(
    const std::string& path,
    const std::string& from,
    const std::string& to) {
  std::string bytes = read_file(path);
  const size_t at = bytes.find(from);
  CHECK(at != std::string::npos);
  CHECK_EQUAL(from.size(), to.size());
  bytes.replace(at, to.size(), to);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  const size_t seal = sizeof(Sha256::Digest);
  const size_t checksums = 2 * sizeof(uint32_t);
  Sha256 hash;
  hash.update(std::string_view(bytes).substr(
      0, sizeof length + length + kTokens * sizeof(int32_t)));
  hash.update(std::string_view(bytes).substr(
      bytes.size() - seal - checksums, checksums));
  const Sha256::Digest digest = hash.finish();
  std::memcpy(&bytes[bytes.size() - seal], digest.data(), seal);
  write_file(path, bytes);
}

const KvFormat kFormats[] = {
    {2},
    {4},
    {2, 8, 64},
    {4, 8, 32, true},
    {2, 4, 64, true},
    {4, 4, 32, true}};

} // namespace

TEST("agent file: blocks of every kind of elements come back as they were") {
  for (const KvFormat& kv : kFormats) {
    const TempDir dir;
    const AgentFileReader file(written(dir, kv), "");
    CHECK(file.header().spec.kv.same_as(kv));
    for (size_t i = 0; i < 2; i++) {
      const std::vector<std::byte> want = bytes_of(file.header(), i);
      const std::span<const std::byte> got = file.block(i);
      CHECK(std::equal(got.begin(), got.end(), want.begin(), want.end()));
    }
    for (const KvFormat& other : kFormats) {
      const ModelCacheSpec spec = header_of(other).spec;
      CHECK_EQUAL(
          file.mismatch("f", "n", spec).has_value(), !kv.same_as(other));
    }
  }
}

TEST("agent file: codes are tensors with their scales and biases beside them") {
  const auto open = [](const std::string& path) {
    return SafetensorsFile(
        path,
        Code::kCachePersistence,
        Code::kCacheCorrupt,
        Code::kCachePersistence);
  };
  const TempDir dir;
  {
    const SafetensorsFile file = open(written(dir, {2}));
    check_tensor(file, "L1_B0_K", Dtype::kF16, 64);
    check_tensor(file, "L1_B0_V", Dtype::kF16, 64);
    CHECK_EQUAL(file.tensors().size(), size_t{2 * 2 * 2 + 3});
  }
  {
    const SafetensorsFile file = open(written(dir, {2, 8, 64}));
    check_tensor(file, "L1_B0_K_weights", Dtype::kI8, 64);
    check_tensor(file, "L1_B0_V_scales", Dtype::kF16, 1);
    CHECK_EQUAL(file.tensors().size(), size_t{2 * 2 * 4 + 3});
  }
  const SafetensorsFile file = open(written(dir, {2, 4, 32, true}));
  check_tensor(file, "L0_B0_K_weights", Dtype::kU8, 32);
  check_tensor(file, "L0_B0_K_scales", Dtype::kF16, 2);
  check_tensor(file, "L1_B0_V_biases", Dtype::kF16, 2);
  CHECK_EQUAL(file.tensors().size(), size_t{2 * 2 * 6 + 3});
}

TEST("agent file: versions 1 and 2 are read, as of 16 bits, and fit no other") {
  for (const char* version : {R"("version":"1")", R"("version":"2")"}) {
    const TempDir dir;
    const std::string path = written(dir, {2});
    rewrite(path, R"("version":"3")", version);
    for (const char* key : {"kv_bits", "kv_group", "kv_biases"}) {
      std::string other = key;
      other[0] = 'x';
      rewrite(path, key, other);
    }
    const AgentFileReader file(path, "");
    CHECK(file.header().tokens == header_of({2}).tokens);
    CHECK_EQUAL(file.block(1).size(), bytes_of(file.header(), 1).size());
    CHECK(!file.mismatch("f", "n", header_of({2}).spec));
    const auto reason = file.mismatch("f", "n", header_of({2, 8, 64}).spec);
    CHECK(
        reason &&
        reason->find("of 16 bits, this engine's of 8") != reason->npos);
  }
}

TEST("agent file: later versions and codes that there are not are refused") {
  const TempDir dir;
  const KvFormat kv{2, 8, 64};
  std::string path = written(dir, kv);
  rewrite(path, R"("version":"3")", R"("version":"4")");
  CHECK_ERROR(AgentFileReader(path, ""), Code::kIncompatibleCache);
  for (const auto& [from, to] :
       std::vector<std::pair<const char*, const char*>>{
           {R"("kv_bits":"8")", R"("kv_bits":"5")"},
           {R"("kv_bits":"8")", R"("kv_bits":"4")"}, // other shapes
           {R"("kv_group":"64")", R"("kv_group":"00")"},
           {R"("kv_biases":"0")", R"("kv_biases":"2")"},
           {R"("kv_biases":"0")", R"("kv_biases":"1")"}, // tensors are missing
           {R"("element_bytes":"2")", R"("element_bytes":"3")"}}) {
    path = written(dir, kv);
    rewrite(path, from, to);
    CHECK_ERROR(AgentFileReader(path, ""), Code::kCacheCorrupt);
  }
}

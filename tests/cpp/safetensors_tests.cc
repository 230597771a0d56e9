// safetensors_reader.h, safetensors_table.h, safetensors_writer.h and
// checkpoint_files.h: what is written is read back, and no damage gets past the
// reader.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <stdexcept>

#include "check.h"
#include "store/checkpoint_files.h"
#include "store/safetensors_reader.h"
#include "store/safetensors_table.h"
#include "store/safetensors_writer.h"
#include "temp_dir.h"

using namespace stomp;

namespace {

std::string with_header(const std::string& json, const std::string& data) {
  const uint64_t n = json.size();
  std::string out(reinterpret_cast<const char*>(&n), sizeof n);
  return out + json + data;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Opens the file and touches all that it promises.
std::string open_error(const std::string& path) {
  return error_of([&] {
    size_t sum = 0;
    const SafetensorsFile file(path);
    for (const SafetensorsTensor& t : file.tensors()) {
      for (size_t i = 0; i < t.bytes; i++) {
        sum += std::to_integer<size_t>(t.data[i]);
      }
    }
    volatile size_t read = sum; // keeps the reads from being left out
    (void)read;
  });
}

class Opener {
 public:
  std::string error(const std::string& bytes) {
    write_file(path_, bytes);
    return open_error(path_);
  }
  std::string error(const std::string& json, const std::string& data) {
    return error(with_header(json, data));
  }
  const std::string& path() const { return path_; }

 private:
  TempDir dir_;
  std::string path_ = dir_ / "m.safetensors";
};

void check_refused(
    const std::string& json,
    const std::string& data,
    const std::string& part) {
  Opener opener;
  const std::string said = opener.error(json, data);
  if (!contains(said, "MODEL_INVALID") || !contains(said, part)) {
    check::fail(__FILE__, __LINE__, "said '" + said + "', not '" + part + "'");
  }
}

/// A header of one tensor "t".
std::string one(const std::string& fields) {
  return "{\"t\":{" + fields + "}}";
}

const std::string kGood =
    R"({"__metadata__":{"k":"v"},)"
    R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
    R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}})";

std::vector<TensorDeclaration> declarations() {
  return {
      {"tokens", Dtype::kI32, {3}},
      {"none", Dtype::kF16, {0, 5}},
      {"L0_K", Dtype::kF16, {2, 1, 4}},
      {"scalar", Dtype::kF32, {}},
  };
}

const SafetensorsFile::Metadata kMetadata = {
    {"format", "test"},
    {"text", "quote \" back \\ line \n tab \t bell \x07 \xe2\x82\xac"}};

std::string payload() {
  return "tokenstokens0123456789abcdefREAL";
}

void write_sample(const std::string& path, size_t piece) {
  SafetensorsWriter writer(path, declarations(), kMetadata);
  const std::string data = payload();
  for (size_t at = 0; at < data.size(); at += piece) {
    writer.append(bytes_of(data.substr(at, piece)));
  }
  const uint64_t bytes = writer.finish();
  CHECK_EQUAL(bytes, read_file(path).size());
}

/// Lowers the file size limit for one scope; the signal becomes EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    old_ = signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, old_);
  }

 private:
  rlimit before_{};
  void (*old_)(int) = nullptr;
};

} // namespace

TEST("safetensors: reads tensors and metadata in the order of their bytes") {
  const TempDir dir;
  // The header lists b first; its bytes come second.
  const std::string json =
      R"({"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},)"
      R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
      R"("__metadata__":{"y":"1","x":"2"}}  )";
  write_file(dir / "m", with_header(json, "aaaaaaaaaaaaaaaabbbbbb"));
  const SafetensorsFile file(dir / "m");
  CHECK_EQUAL(file.tensors().size(), 2u);
  CHECK_EQUAL(file.tensors()[0].name, std::string("a"));
  CHECK(file.tensors()[0].shape == (std::vector<uint64_t>{2, 2}));
  const SafetensorsTensor* b = file.find("b");
  CHECK(b != nullptr);
  CHECK(b->dtype == Dtype::kBF16);
  CHECK_EQUAL(text_of({b->data, b->bytes}), std::string("bbbbbb"));
  CHECK(file.find("c") == nullptr);
  CHECK_EQUAL(file.metadata()[0].first, std::string("y"));
  CHECK_EQUAL(*file.find_metadata("x"), std::string("2"));
  CHECK(file.find_metadata("z") == nullptr);
  CHECK_EQUAL(file.header().size(), json.size() + 8);
}

TEST("safetensors: every dtype has a name and a size") {
  Opener opener;
  const std::pair<const char*, int> all[] = {
      {"BOOL", 1},
      {"U8", 1},
      {"I8", 1},
      {"F8_E4M3", 1},
      {"F8_E5M2", 1},
      {"U16", 2},
      {"I16", 2},
      {"F16", 2},
      {"BF16", 2},
      {"U32", 4},
      {"I32", 4},
      {"F32", 4},
      {"U64", 8},
      {"I64", 8},
      {"F64", 8}};
  for (const auto& [name, size] : all) {
    const std::string json =
        one(std::string("\"dtype\":\"") + name +
            "\",\"shape\":[3],\"data_offsets\":[0," + std::to_string(3 * size) +
            "]");
    CHECK_EQUAL(opener.error(json, std::string(3 * size, 'x')), "");
    const SafetensorsFile file(opener.path());
    CHECK_EQUAL(std::string(dtype_name(file.tensors()[0].dtype)), name);
  }
}

TEST("safetensors: an empty header and empty tensors are fine") {
  Opener opener;
  CHECK_EQUAL(opener.error("{}", ""), std::string());
  CHECK_EQUAL(
      opener.error(
          R"({"a":{"dtype":"F32","shape":[0,9],"data_offsets":[0,0]},)"
          R"("b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
          R"("c":{"dtype":"F64","shape":[7,0],"data_offsets":[2,2]}})",
          "xx"),
      std::string());
}

TEST("safetensors: cut at any byte, it is refused by name") {
  Opener opener;
  const std::string good = with_header(kGood, std::string(22, 'x'));
  CHECK_EQUAL(opener.error(good), std::string());
  for (size_t n = good.size(); n-- > 0;) {
    CHECK_EQUAL(truncate(opener.path().c_str(), static_cast<off_t>(n)), 0);
    const std::string said = open_error(opener.path());
    CHECK(contains(said, "MODEL_INVALID: " + opener.path()));
  }
}

TEST("safetensors: any byte altered, it is read or refused") {
  Opener opener;
  const std::string good = with_header(kGood, std::string(22, 'x'));
  std::mt19937 random(4);
  int refused = 0;
  for (size_t i = 0; i < good.size() - 22; i++) {
    for (const int value : {0, int{'9'}, int{'"'}, 255, int(random() % 256)}) {
      std::string bad = good;
      bad[i] = static_cast<char>(value);
      const std::string said = opener.error(bad);
      CHECK(said.empty() || contains(said, "MODEL_INVALID"));
      refused += !said.empty();
    }
  }
  CHECK(refused > 500);
}

TEST("safetensors: the header's length may lie") {
  Opener opener;
  const std::string good = with_header(kGood, std::string(22, 'x'));
  for (const uint64_t lie :
       {uint64_t{0},
        uint64_t{1},
        uint64_t{100'000'001},
        uint64_t{1} << 32,
        uint64_t{1} << 63,
        UINT64_MAX - 7,
        UINT64_MAX}) {
    std::string bad = good;
    std::memcpy(bad.data(), &lie, sizeof lie);
    CHECK(contains(opener.error(bad), "header"));
  }
  std::string bad = good;
  const uint64_t long_header = 100'000'001;
  std::memcpy(bad.data(), &long_header, 8);
  CHECK(contains(opener.error(bad), "the limit is 100000000"));
  CHECK(contains(opener.error(""), "has no header"));
  CHECK(contains(opener.error("1234567"), "has no header"));
}

TEST("safetensors: what the header says is checked field by field") {
  const std::string four(4, 'x');
  const std::string good = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  Opener opener;
  CHECK_EQUAL(opener.error(one(good), four), std::string());
  check_refused("[]", "", "not a JSON object");
  check_refused("{\"t\":1}", "", "dtype is missing");
  check_refused(
      one(R"("dtype":7,"shape":[1],"data_offsets":[0,4])"), four, "dtype");
  check_refused(
      one(R"("dtype":"F31","shape":[1],"data_offsets":[0,4])"),
      four,
      "unknown dtype 'F31'");
  check_refused(
      one(R"("dtype":"F32","data_offsets":[0,4])"), four, "shape is missing");
  check_refused(
      one(R"("dtype":"F32","shape":[1])"), four, "data_offsets is missing");
  for (const char* shape :
       {"[-1]",
        "[1.5]",
        "[\"1\"]",
        "1",
        "[1,1,1,1,1,1,1,1,1]",
        "[[1]]",
        "[18446744073709551616]"}) {
    check_refused(
        one(std::string(R"("dtype":"F32","data_offsets":[0,4],"shape":)") +
            shape),
        four,
        "shape");
  }
  for (const char* offsets :
       {"[0]", "[]", "[0,4,8]", "[4,0]", "[-4,0]", "[0,4.0]", "{}"}) {
    check_refused(
        one(std::string(R"("dtype":"F32","shape":[1],"data_offsets":)") +
            offsets),
        four,
        "data_offsets");
  }
  check_refused("{\"__metadata__\":[]}", "", "__metadata__ is not an object");
  check_refused(
      "{\"__metadata__\":{\"k\":1}}", "", "__metadata__ 'k' is not a string");
  check_refused("{\"t\":{" + good + "},\"t\":{" + good + "}}", four, "twice");
  check_refused(
      "{\"t\":{\"a\":{\"b\":{\"c\":{}}}}}", four, "nested deeper than 4");
}

TEST("safetensors: dtype and shape give the size, without overflow") {
  const std::string data(16, 'x');
  for (const char* shape :
       {"[2,2,2]",
        "[3]",
        "[5]",
        "[0]",
        "[4294967296,4294967296]",
        "[4611686018427387904,4]",
        "[4611686018427387905]",
        "[9223372036854775807,9223372036854775807]",
        "[0,9223372036854775807]"}) {
    check_refused(
        one(std::string(R"("dtype":"F32","data_offsets":[0,16],"shape":)") +
            shape),
        data,
        "shape and dtype do not give the 16 bytes");
  }
}

TEST("safetensors: no holes, no overlaps, nothing past the end") {
  const auto two = [](const char* a, const char* b) {
    return std::string(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)") +
        a + R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + b + "}}";
  };
  Opener opener;
  CHECK_EQUAL(opener.error(two("[0,2]", "[2,4]"), "xxxx"), std::string());
  check_refused(two("[0,2]", "[1,3]"), "xxxx", "'b' overlaps");
  check_refused(two("[0,2]", "[0,2]"), "xx", "overlaps");
  check_refused(two("[0,2]", "[3,5]"), "xxxxx", "'b' leaves a hole");
  check_refused(two("[1,3]", "[3,5]"), "xxxxx", "'a' leaves a hole");
  check_refused(two("[0,2]", "[2,4]"), "xxxxx", "bytes after the last tensor");
  check_refused(two("[0,2]", "[2,4]"), "xxx", "cut short");
  check_refused(
      two("[0,2]", "[9223372036854775805,9223372036854775807]"),
      "xxxx",
      "'b' ends at 9223372036854775807");
}

TEST("safetensors: errors carry the codes that the caller asked for") {
  const TempDir dir;
  CHECK_ERROR(SafetensorsFile(dir / "none"), Code::kModelNotFound);
  write_file(dir / "bad", "bad");
  const auto open_cache = [&](const std::string& name) {
    SafetensorsFile(dir / name, Code::kAgentNotFound, Code::kCacheCorrupt);
  };
  CHECK_ERROR(open_cache("none"), Code::kAgentNotFound);
  CHECK_ERROR(open_cache("bad"), Code::kCacheCorrupt);
  write_file(dir / "json", with_header("{", ""));
  CHECK_ERROR(open_cache("json"), Code::kCacheCorrupt);
}

namespace {

/// What opening the file comes to: its contents, or the error without the
/// place in the text.
std::string outcome(const Opener& opener) {
  std::string said = open_error(opener.path());
  if (!said.empty()) {
    const size_t place = std::min(said.find(" at byte "), said.size());
    said.erase(place, said.find(':', place) - place);
    return said;
  }
  const SafetensorsFile file(opener.path());
  for (const auto& [key, value] : file.metadata()) {
    said.append(key).append("=").append(value).append(";");
  }
  for (const SafetensorsTensor& t : file.tensors()) {
    CHECK(file.find(t.name) == &t);
    said.append(t.name).append(dtype_name(t.dtype));
    said.append(text_of({t.data, t.bytes}));
    for (const uint64_t dim : t.shape) {
      said += " " + std::to_string(dim);
    }
  }
  return said;
}

/// Both ways through a header come to the same; true when it had the quick one.
bool check_ways_agree(Opener& opener, const std::string& json) {
  const std::string data(22, 'x');
  opener.error(json, data);
  const std::string quick = outcome(opener);
  // A space before the end is for the JSON reader.
  const std::string spaced = json.substr(0, json.size() - 1) + " }";
  CHECK(!scan_table(spaced));
  opener.error(spaced, data);
  CHECK_EQUAL(outcome(opener), quick);
  return scan_table(json).has_value();
}

} // namespace

TEST("safetensors: the quick way through a header finds what JSON says") {
  Opener opener;
  std::mt19937 random(5);
  CHECK(check_ways_agree(opener, kGood));
  const std::string bytes = "09,:\"\\{}[] aABF-1u\x7f\x80\xc3\n";
  int quick = 0;
  for (size_t i = 0; i + 1 < kGood.size(); i++) {
    for (const char c : bytes) {
      std::string json = kGood;
      json[i] = c;
      quick += check_ways_agree(opener, json);
      json = kGood;
      json.insert(i, 1, c);
      quick += check_ways_agree(opener, json);
    }
    for (int n = 1; n < 6; n++) { // two places at once
      std::string json = kGood;
      json.erase(i, std::min<size_t>(n, json.size() - 1 - i));
      quick += check_ways_agree(opener, json);
      json = kGood;
      json[i] = kGood[random() % kGood.size()];
      json[random() % (kGood.size() - 1)] = bytes[random() % bytes.size()];
      quick += check_ways_agree(opener, json);
    }
  }
  CHECK(quick > 100);
}

TEST("safetensors: what the quick way leaves to the JSON reader") {
  const std::string fields = R"("dtype":"U8","shape":[1],"data_offsets":[0,1])";
  CHECK(scan_table(one(fields)));
  CHECK(scan_table(one(fields) + " \n"));
  CHECK(scan_table(
      R"({"__metadata__":{"a":"}\"}","\u00e9":"{"},"t":{)" + fields + "}}"));
  for (const std::string& json :
       {std::string("{}"),
        std::string(),
        " " + one(fields),
        one(fields) + "x",
        one(fields + ","),
        one("\"more\":1," + fields),
        one(R"("shape":[1],"dtype":"U8","data_offsets":[0,1])"),
        one(R"("dtype":"U9","shape":[1],"data_offsets":[0,1])"),
        one(R"("dtype":"U8","shape":[01],"data_offsets":[0,1])"),
        one(R"("dtype":"U8","shape":[-1],"data_offsets":[0,1])"),
        one(R"("dtype":"U8","shape":[1.0],"data_offsets":[0,1])"),
        one(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],)"
            R"("data_offsets":[0,1])"),
        one(R"("dtype":"U8","shape":[1000000000000000000],)"
            R"("data_offsets":[0,1])"),
        one(R"("dtype":"U8","shape":[1],"data_offsets":[0])"),
        R"({"\u0074":{)" + fields + "}}",
        "{\"t\xc3\xa9\":{" + fields + "}}",
        R"({"__metadata__":{},"__metadata__":{},"t":{)" + fields + "}}",
        R"({"__metadata__":{"a":"1","a":"2"},"t":{)" + fields + "}}",
        R"({"__metadata__":{"a":1},"t":{)" + fields + "}}",
        R"({"__metadata__":{"a":{}},"t":{)" + fields + "}}",
        R"({"__metadata__":[],"t":{)" + fields + "}}"}) {
    CHECK(!scan_table(json));
  }
}

TEST("safetensors writer: what it writes is read back, whatever the pieces") {
  const TempDir dir;
  for (const size_t piece : {1, 5, 31, 1000}) {
    write_sample(dir / "m", piece);
    const SafetensorsFile file(dir / "m");
    CHECK(file.metadata() == kMetadata);
    std::string data;
    for (const SafetensorsTensor& t : file.tensors()) {
      data += text_of({t.data, t.bytes});
    }
    CHECK_EQUAL(data, payload());
    for (const TensorDeclaration& d : declarations()) {
      const SafetensorsTensor* t = file.find(d.name);
      CHECK(t != nullptr);
      CHECK(t->dtype == d.dtype);
      CHECK(t->shape == d.shape);
    }
    CHECK_EQUAL(file.header().size() % 64, 0u);
    CHECK_EQUAL(dir.files(), 1u);
  }
}

TEST("safetensors writer: the same declarations give the same bytes") {
  const TempDir dir;
  write_sample(dir / "a", 3);
  write_sample(dir / "b", 7);
  CHECK(read_file(dir / "a") == read_file(dir / "b"));
  SafetensorsWriter writer(dir / "c", declarations(), kMetadata);
  const SafetensorsFile file(dir / "a");
  CHECK(text_of(writer.header()) == text_of(file.header()));
  CHECK(scan_table(text_of(writer.header()).substr(8)));
  // In the order declared, for people who look.
  const std::string header = text_of(writer.header());
  CHECK(header.find("tokens") < header.find("L0_K"));
}

TEST("safetensors writer: large pieces and small ones keep their order") {
  const TempDir dir;
  const size_t n = 3 << 20;
  std::string data(n, '\0');
  std::mt19937 random(1);
  for (char& c : data) {
    c = static_cast<char>(random());
  }
  SafetensorsWriter writer(dir / "m", {{"t", Dtype::kU8, {n}}}, {});
  for (size_t at = 0; at < n;) {
    const size_t piece =
        std::min<size_t>(n - at, random() % 3 ? random() % 999 : 600000);
    writer.append(bytes_of(data).subspan(at, piece));
    at += piece;
  }
  writer.finish();
  const SafetensorsFile file(dir / "m");
  CHECK(text_of({file.find("t")->data, n}) == data);
}

TEST("safetensors writer: nothing is seen before finish, nothing left after") {
  const TempDir dir;
  write_file(dir / "m", "the old one");
  {
    SafetensorsWriter writer(dir / "m", declarations(), kMetadata);
    writer.append(bytes_of(payload().substr(0, 10)));
    CHECK_EQUAL(dir.files(), 2u);
    CHECK_EQUAL(read_file(dir / "m"), std::string("the old one"));
  }
  CHECK_EQUAL(dir.files(), 1u);
  CHECK_EQUAL(read_file(dir / "m"), std::string("the old one"));
  write_sample(dir / "m", 100);
  CHECK_EQUAL(dir.files(), 1u);
  CHECK_EQUAL(open_error(dir / "m"), std::string());
}

TEST("safetensors writer: its files are their owner's alone") {
  const TempDir dir;
  write_sample(dir / "m", 100);
  struct stat info{};
  CHECK_EQUAL(stat((dir / "m").c_str(), &info), 0);
  CHECK_EQUAL(static_cast<int>(info.st_mode & 0777), 0600);
}

TEST("safetensors writer: too many and too few bytes are the caller's error") {
  const TempDir dir;
  SafetensorsWriter writer(dir / "m", {{"t", Dtype::kU8, {4}}}, {});
  CHECK_THROWS(writer.append(bytes_of("12345")), std::logic_error);
  writer.append(bytes_of("123"));
  CHECK_THROWS(writer.finish(), std::logic_error);
  CHECK_THROWS(writer.append(bytes_of("45")), std::logic_error);
  writer.append(bytes_of("4"));
  writer.finish();
  CHECK_THROWS(writer.append(bytes_of("")), std::logic_error);
  CHECK_THROWS(writer.finish(), std::logic_error);
}

TEST("safetensors writer: failures name the cause and leave no temporary") {
  const TempDir dir;
  const auto write_to = [&](const std::string& path) {
    SafetensorsWriter(path, declarations(), kMetadata);
  };
  CHECK_ERROR(write_to(dir / "none/m"), Code::kCachePersistence);
  CHECK_MESSAGE(write_to(dir / "none/m"), "No such file or directory");
  // The name is taken by a folder: renaming fails, after all was written.
  CHECK_EQUAL(mkdir((dir / "taken").c_str(), 0700), 0);
  CHECK_MESSAGE(write_sample(dir / "taken", 100), "CACHE_PERSISTENCE");
  CHECK_EQUAL(dir.files(), 1u);
  const auto bad_text = [&] {
    SafetensorsWriter(dir / "m", {}, {{"k", "\xff"}});
  };
  CHECK_MESSAGE(bad_text(), "not UTF-8");
  const auto huge = [&] {
    SafetensorsWriter(dir / "m", {{"t", Dtype::kF64, {1ull << 62, 4}}}, {});
  };
  CHECK_MESSAGE(huge(), "larger than any file");
  CHECK_EQUAL(dir.files(), 1u);
}

TEST("safetensors writer: a full disk is named before anything is written") {
  const TempDir dir;
  const std::string said = error_of([&] {
    SafetensorsWriter(dir / "m", {{"t", Dtype::kU8, {1ull << 50}}}, {});
  });
  CHECK(contains(said, "CACHE_PERSISTENCE"));
  CHECK(contains(said, "the disk is full"));
  CHECK(contains(said, "No space left on device"));
  CHECK_EQUAL(dir.files(), 0u);
}

TEST("safetensors writer: a write that fails half-way removes the temporary") {
  const TempDir dir;
  const uint64_t n = 2 << 20;
  const std::string data(n, 'x');
  SafetensorsWriter writer(dir / "m", {{"t", Dtype::kU8, {n}}}, {});
  CHECK_EQUAL(dir.files(), 1u);
  std::string said;
  {
    const FileSizeLimit limit(1 << 20);
    said = error_of([&] { writer.append(bytes_of(data)); });
  }
  CHECK(contains(said, "CACHE_PERSISTENCE"));
  CHECK(contains(said, "writing: File too large"));
  CHECK_EQUAL(dir.files(), 0u);
  CHECK_THROWS(writer.append(bytes_of("x")), std::logic_error);
}

namespace {

std::string one_tensor(const std::string& name) {
  return with_header(
      "{\"" + name +
          "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
      "x");
}

std::string index_of(const std::string& map) {
  return "{\"metadata\":{\"total_size\":1},\"weight_map\":{" + map + "}}";
}

constexpr const char* kIndexName = "model.safetensors.index.json";

} // namespace

TEST("checkpoint: shards by index, by name, or all there are") {
  const TempDir dir;
  write_file(dir / "other.safetensors", one_tensor("o"));
  CHECK(CheckpointFiles(dir.path()).find("o") != nullptr);
  write_file(dir / "model-2.safetensors", one_tensor("b"));
  write_file(dir / "model-1.safetensors", one_tensor("a"));
  const CheckpointFiles named(dir.path());
  CHECK_EQUAL(named.files().size(), 2u);
  CHECK(named.find("a") && named.find("b") && !named.find("o"));
  CHECK_EQUAL(named.bytes(), one_tensor("a").size() + one_tensor("b").size());
  write_file(dir / kIndexName, index_of(R"("o":"other.safetensors")"));
  const CheckpointFiles indexed(dir.path());
  CHECK(indexed.find("o") && !indexed.find("a"));
}

TEST("checkpoint: contradictions and escapes are refused") {
  const TempDir dir;
  CHECK_ERROR(CheckpointFiles(dir.path()), Code::kModelNotFound);
  CHECK_ERROR(CheckpointFiles(dir / "none"), Code::kModelInvalid);
  write_file(dir / "model-1.safetensors", one_tensor("a"));
  write_file(dir / "model-2.safetensors", one_tensor("a"));
  CHECK_MESSAGE(CheckpointFiles(dir.path()), "'a' is in another file too");
  const auto with_index = [&](const std::string& text) {
    write_file(dir / kIndexName, text);
    return error_of([&] { CheckpointFiles files(dir.path()); });
  };
  const std::string beside = "not mapped to a .safetensors file beside it";
  for (const char* name :
       {"../model-1.safetensors",
        "/etc/passwd",
        "sub/m.safetensors",
        "model-1.bin",
        ".safetensors",
        "..\\\\m.safetensors",
        "",
        "m\\u0000.safetensors"}) {
    CHECK(contains(
        with_index(index_of(std::string("\"a\":\"") + name + "\"")), beside));
  }
  CHECK(contains(with_index(index_of("\"a\":1")), beside));
  CHECK(contains(with_index(index_of("")), "'weight_map' is missing or empty"));
  CHECK(contains(with_index("{}"), "'weight_map' is missing or empty"));
  CHECK(contains(with_index("[]"), "'weight_map' is missing or empty"));
  CHECK(contains(with_index("{"), "MODEL_INVALID"));
  CHECK(contains(
      with_index(index_of(R"("z":"model-1.safetensors")")),
      "tensor 'z' is not in model-1.safetensors"));
  CHECK(contains(
      with_index(index_of(R"("a":"model-9.safetensors")")), "MODEL_NOT_FOUND"));
}

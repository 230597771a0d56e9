// gguf_reader.h: what it reads, and that no damage gets past it.
#include <unistd.h>

#include <cstring>
#include <random>

#include "check.h"
#include "gguf_builder.h"
#include "store/gguf_reader.h"
#include "temp_dir.h"

using namespace stomp;

namespace {

using B = GgufBuilder;

/// One value of every kind and three tensors.
B sample() {
  B b;
  b.string("general.name", "sample")
      .scalar("u8", B::kU8, uint8_t{200})
      .scalar("i8", B::kI8, int8_t{-5})
      .scalar("u16", B::kU16, uint16_t{60000})
      .scalar("i16", B::kI16, int16_t{-300})
      .u32("u32", 4000000000u)
      .scalar("i32", B::kI32, int32_t{-7})
      .f32("f32", 0.5f)
      .scalar("bool", B::kBool, uint8_t{1})
      .scalar("u64", B::kU64, uint64_t{1} << 40)
      .scalar("i64", B::kI64, int64_t{-1} << 40)
      .scalar("f64", B::kF64, -0.25)
      .strings("strings", {"a", "", "ccc"})
      .array<int32_t>("ints", B::kI32, {1, -2, 3})
      .array<float>("floats", B::kF32, {1.5f, 2.5f})
      .array<uint8_t>("bools", B::kBool, {0, 1})
      .array<uint64_t>("none", B::kU64, {})
      .tensor("a", {3, 2}, kGgmlF32, std::string(24, 'a'))
      .tensor("b", {32, 2}, kGgmlQ4_0, std::string(36, 'b'))
      .tensor("c", {5}, kGgmlF16, std::string(10, 'c'));
  return b;
}

/// Writes and opens.
class Opener {
 public:
  std::string error(const std::string& bytes) {
    write_file(path_, bytes);
    return open();
  }

  /// The file as it is now: opens it and touches all that it promises.
  std::string open() {
    return error_of([&] {
      size_t sum = 0;
      const GgufFile file(path_);
      for (const GgufEntry& entry : file.metadata()) {
        sum += file.value(entry).index();
      }
      for (const GgufTensor& t : file.tensors()) {
        for (size_t i = 0; i < t.bytes; i++) {
          sum += std::to_integer<size_t>(t.data[i]);
        }
      }
      for (const std::byte b : file.header()) {
        sum += std::to_integer<size_t>(b);
      }
      read_ = sum;
    });
  }

  const std::string& path() const { return path_; }

 private:
  TempDir dir_;
  std::string path_ = dir_ / "m.gguf";
  volatile size_t read_ = 0; // keeps the reads from being left out
};

void check_refused(B& b, const std::string& part) {
  Opener opener;
  const std::string said = opener.error(b.build());
  if (!contains(said, part)) {
    check::fail(__FILE__, __LINE__, "said '" + said + "', not '" + part + "'");
  }
}

template <class T>
T value_of(const GgufFile& file, const std::string& key) {
  const GgufEntry* entry = file.find_metadata(key);
  CHECK(entry != nullptr);
  return std::get<T>(file.value(*entry));
}

} // namespace

TEST("gguf: reads every kind of value, in file order") {
  const TempDir dir;
  write_file(dir / "m", sample().build());
  const GgufFile file(dir / "m");
  CHECK_EQUAL(file.metadata().size(), 17u);
  CHECK_EQUAL(file.metadata()[1].key, std::string("u8"));
  CHECK_EQUAL(
      value_of<std::string>(file, "general.name"), std::string("sample"));
  CHECK_EQUAL(value_of<int64_t>(file, "u8"), 200);
  CHECK_EQUAL(value_of<int64_t>(file, "i8"), -5);
  CHECK_EQUAL(value_of<int64_t>(file, "u16"), 60000);
  CHECK_EQUAL(value_of<int64_t>(file, "i16"), -300);
  CHECK_EQUAL(value_of<int64_t>(file, "u32"), 4000000000);
  CHECK_EQUAL(value_of<int64_t>(file, "i32"), -7);
  CHECK_EQUAL(value_of<double>(file, "f32"), 0.5);
  CHECK_EQUAL(value_of<int64_t>(file, "bool"), 1);
  CHECK_EQUAL(value_of<int64_t>(file, "u64"), int64_t{1} << 40);
  CHECK_EQUAL(value_of<int64_t>(file, "i64"), int64_t{-1} << 40);
  CHECK_EQUAL(value_of<double>(file, "f64"), -0.25);
  CHECK(
      value_of<std::vector<std::string>>(file, "strings") ==
      (std::vector<std::string>{"a", "", "ccc"}));
  CHECK(
      value_of<std::vector<int64_t>>(file, "ints") ==
      (std::vector<int64_t>{1, -2, 3}));
  CHECK(
      value_of<std::vector<double>>(file, "floats") ==
      (std::vector<double>{1.5, 2.5}));
  CHECK(
      value_of<std::vector<int64_t>>(file, "bools") ==
      (std::vector<int64_t>{0, 1}));
  CHECK(value_of<std::vector<int64_t>>(file, "none").empty());
  CHECK(file.find_metadata("absent") == nullptr);
}

TEST("gguf: tensors lie where the file says, under either version") {
  for (const uint32_t version : {2, 3}) {
    const TempDir dir;
    B b = sample();
    b.version = version;
    write_file(dir / "m", b.build());
    const GgufFile file(dir / "m");
    CHECK_EQUAL(file.tensors().size(), 3u);
    const GgufTensor* t = file.find_tensor("b");
    CHECK(t != nullptr);
    CHECK_EQUAL(t->bytes, 36u);
    CHECK(t->dims == (std::vector<uint64_t>{32, 2}));
    CHECK_EQUAL(t->type, uint32_t{kGgmlQ4_0});
    CHECK(std::memcmp(t->data, std::string(36, 'b').data(), 36) == 0);
    CHECK_EQUAL((t->data - file.file().data()) % 32, 0);
    CHECK(file.header().size() % 32 == 0);
    CHECK(file.find_tensor("absent") == nullptr);
  }
}

TEST("gguf: general.alignment moves the data") {
  const TempDir dir;
  B b = sample();
  b.alignment = 512;
  b.u32("general.alignment", 512);
  write_file(dir / "m", b.build());
  const GgufFile file(dir / "m");
  const GgufTensor* t = file.find_tensor("c");
  CHECK_EQUAL((t->data - file.file().data()) % 512, 0);
  CHECK(std::memcmp(t->data, "cccccccccc", 10) == 0);
}

TEST("gguf: a file without tensors is good for its metadata") {
  const TempDir dir;
  write_file(dir / "m", B().string("k", "v").build());
  const GgufFile file(dir / "m");
  CHECK_EQUAL(value_of<std::string>(file, "k"), std::string("v"));
  CHECK(file.tensors().empty());
}

TEST("gguf: cut at any byte, it is refused by name") {
  Opener opener;
  const std::string good = sample().build();
  CHECK_EQUAL(opener.error(good), std::string());
  for (size_t n = good.size(); n-- > 0;) {
    CHECK_EQUAL(truncate(opener.path().c_str(), static_cast<off_t>(n)), 0);
    const std::string said = opener.open();
    CHECK(contains(said, "MODEL_INVALID: "));
    CHECK(contains(said, opener.path()));
  }
}

TEST("gguf: every count, length, type and offset may lie") {
  Opener opener;
  B b = sample();
  const std::string good = b.build();
  CHECK(b.fields().size() > 60);
  for (const B::Field& field : b.fields()) {
    for (const uint64_t lie :
         {uint64_t{0},
          uint64_t{1},
          uint64_t{7},
          uint64_t{31},
          uint64_t{1} << 31,
          uint64_t{1} << 32,
          uint64_t{1} << 40,
          (uint64_t{1} << 60) + 1,
          uint64_t{1} << 61,
          uint64_t{1} << 63,
          UINT64_MAX / 4,
          UINT64_MAX - 31,
          UINT64_MAX - 7,
          UINT64_MAX}) {
      std::string bad = good;
      overwrite(bad, field, lie);
      const std::string said = opener.error(bad);
      // Some lies are other truths: a U32 read as an I32.
      CHECK(said.empty() || contains(said, "MODEL_"));
      const bool small = field.width == 4 && (lie & 0xffffffff) < 32;
      CHECK(!said.empty() || small || lie < 32);
    }
  }
}

TEST("gguf: any byte of the header altered, it is read or refused") {
  Opener opener;
  B b = sample();
  const std::string good = b.build();
  int refused = 0;
  std::mt19937 random(9);
  for (size_t i = 0; i < b.header_bytes(); i++) {
    for (const int value : {0, 1, 127, 128, 255, static_cast<int>(random())}) {
      std::string bad = good;
      bad[i] = static_cast<char>(value);
      const std::string said = opener.error(bad);
      CHECK(said.empty() || contains(said, "MODEL_"));
      refused += !said.empty();
    }
  }
  CHECK(refused > 1000);
}

TEST("gguf: other files and versions are told apart") {
  Opener opener;
  const std::string good = sample().build();
  CHECK(contains(opener.error(""), "the magic"));
  CHECK(contains(opener.error("GG"), "the magic"));
  CHECK(contains(opener.error("PK\3\4 and more"), "does not begin with GGUF"));
  const auto with_version = [&](uint32_t version) {
    std::string bytes = good;
    overwrite(bytes, {4, 4}, version);
    return opener.error(bytes);
  };
  CHECK(contains(with_version(1), "MODEL_UNSUPPORTED"));
  CHECK(contains(with_version(4), "version 4 is not supported"));
  CHECK(contains(with_version(0), "MODEL_UNSUPPORTED"));
  CHECK(contains(with_version(0x03000000), "big-endian"));
  CHECK_ERROR(GgufFile("/nonexistent/x.gguf"), Code::kModelNotFound);
}

TEST("gguf: huge counts and lengths say what and where") {
  B b = sample();
  const std::string good = b.build();
  Opener opener;
  const auto with = [&](size_t offset, size_t width, uint64_t value) {
    std::string bytes = good;
    overwrite(bytes, {offset, width}, value);
    return opener.error(bytes);
  };
  CHECK(contains(with(8, 8, 1ull << 62), "the tensor count is 46116860184"));
  CHECK(contains(with(8, 8, 1ull << 62), "at byte 16"));
  CHECK(contains(with(16, 8, 1ull << 62), "the metadata count is"));
  CHECK(contains(with(24, 8, 1ull << 62), "a metadata key needs"));
  B lies;
  lies.scalar("k", B::kString, uint64_t{1} << 63);
  check_refused(lies, "the value of 'k' needs 9223372036854775808 bytes");
}

TEST("gguf: bad metadata is refused by key") {
  check_refused(B().u32("k", 1).u32("k", 2), "metadata key 'k' occurs twice");
  check_refused(B().u32("", 1), "a metadata key has 0 bytes");
  check_refused(
      B().u32(std::string(70000, 'k'), 1), "a metadata key has 70000 bytes");
  check_refused(B().u32("\xff", 1), "not UTF-8");
  check_refused(B().scalar("k", B::kBool, uint8_t{2}), "neither 0 nor 1");
  check_refused(B().array<uint8_t>("k", B::kBool, {1, 9}), "neither 0 nor 1");
  check_refused(
      B().scalar("k", static_cast<B::Type>(13), uint64_t{1}),
      "'k' has type 13");
  check_refused(
      B().array<uint64_t>("k", B::kArray, {1, 2}),
      "'k' has type 9 in an array");
  check_refused(
      B().scalar("k", B::kU64, UINT64_MAX), "metadata 'k' is out of range");
}

TEST("gguf: bad alignments are refused") {
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 33u, 1u << 21, 1u << 31}) {
    check_refused(
        sample().u32("general.alignment", alignment),
        "general.alignment is not a power of two");
  }
  check_refused(
      sample().string("general.alignment", "32"), "general.alignment");
  check_refused(
      sample().array<uint32_t>("general.alignment", B::kU32, {32}),
      "general.alignment");
}

TEST("gguf: bad tensors are refused by name") {
  const std::string four(4, 'x');
  check_refused(
      B().tensor("t", {1}, 0, four).tensor("t", {1}, 0, four),
      "tensor 't' occurs twice");
  check_refused(B().tensor("", {1}, 0, four), "a tensor name has 0 bytes");
  check_refused(
      B().tensor(std::string(300, 't'), {1}, 0, four), "has 300 bytes");
  check_refused(B().tensor("t", {}, 0, four), "'t' has 0 dimensions");
  check_refused(
      B().tensor("t", {1, 1, 1, 1, 1}, 0, four), "'t' has 5 dimensions");
  check_refused(B().tensor("t", {4, 0}, 0, four), "'t' has a dimension of 0");
  check_refused(B().tensor("t", {1}, 99, four), "'t' has the unknown type 99");
  check_refused(B().tensor("t", {1}, 4, four), "'t' has the unknown type 4");
  check_refused(
      B().tensor("t", {33}, kGgmlQ8_0, four), "a multiple of the 32 of a Q8_0");
  check_refused(B().tensor("t", {2}, 0, four), "ends past the end");
  for (const auto& dims : std::vector<std::vector<uint64_t>>{
           {1ull << 63, 2},
           {1ull << 32, 1ull << 32},
           {1ull << 20, 1ull << 20, 1ull << 20, 1ull << 20},
           {UINT64_MAX},
           {UINT64_MAX, UINT64_MAX},
           {1ull << 47}}) {
    check_refused(B().tensor("t", dims, 0, four), "'t'");
  }
}

TEST("gguf: tensors may neither overlap nor lie askew") {
  B b = sample();
  const std::string good = b.build();
  Opener opener;
  // The last field of a tensor is its offset; "c" has five fields.
  const B::Field offset_of_b = b.fields()[b.fields().size() - 6];
  const auto with = [&](uint64_t value) {
    std::string bytes = good;
    overwrite(bytes, offset_of_b, value);
    return opener.error(bytes);
  };
  CHECK_EQUAL(with(32), std::string());
  CHECK(contains(with(33), "'b' lies at offset 33, not a multiple of the"));
  CHECK(contains(with(0), "overlap"));
  CHECK(contains(with(64), "overlap"));
  CHECK(contains(with(1 << 20), "ends past the end"));
  CHECK(contains(with(UINT64_MAX - 31), "ends past the end"));
}

TEST("gguf: types that we cannot compute with still have a name") {
  const TempDir dir;
  write_file(
      dir / "m", B().tensor("t", {256}, 12, std::string(144, 'q')).build());
  const GgufFile file(dir / "m");
  CHECK_EQUAL(
      std::string(ggml_type_name(file.tensors()[0].type)), std::string("Q4_K"));
  CHECK_EQUAL(file.tensors()[0].bytes, 144u);
  CHECK(ggml_type_name(99) == nullptr);
}

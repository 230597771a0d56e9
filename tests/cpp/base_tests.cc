// half.h, sha256.h, crc32c.h, utf8.h, mapped_file.h.
#include <sys/stat.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/crc32c.h"
#include "base/half.h"
#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "check.h"
#include "temp_dir.h"

using namespace stomp;

namespace {

/// The value of an f16 from its definition.
double f16_value(uint16_t h) {
  const int exponent = (h >> 10) & 31;
  const int mantissa = h & 1023;
  const double sign = h & 0x8000 ? -1 : 1;
  if (exponent == 31) {
    return mantissa ? std::nan("") : sign * HUGE_VAL;
  }
  return sign *
      (exponent ? std::ldexp(1024 + mantissa, exponent - 25)
                : std::ldexp(mantissa, -24));
}

uint32_t bits_of(float value) {
  return std::bit_cast<uint32_t>(value);
}

/// Rounds to the nearest of two neighbours by comparing distances in double,
/// ties to the even code.
uint16_t nearest_f16(float value) {
  const double a = std::fabs(static_cast<double>(value));
  uint16_t low = 0;
  uint16_t high = 0x7c00;
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (f16_value(middle) <= a ? low : high) = middle;
  }
  // Infinity takes the place of 2^16 for rounding.
  const double top = high == 0x7c00 ? 65536.0 : f16_value(high);
  const double below = a - f16_value(low);
  const double above = top - a;
  const bool up = above < below || (above == below && (high & 1) == 0);
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  return sign | (up || a >= 65536 ? high : low);
}

uint32_t crc_of(std::string_view text, uint32_t crc = 0) {
  return crc32c(std::as_bytes(std::span(text.data(), text.size())), crc);
}

std::vector<std::byte> noise(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) {
    b = static_cast<std::byte>(random());
  }
  return bytes;
}

std::string sha_of(std::string_view text) {
  Sha256 sha;
  sha.update(text);
  return hex(sha.finish());
}

} // namespace

TEST("half: every f16 widens to its defined value") {
  for (uint32_t h = 0; h < 65536; h++) {
    const auto half = static_cast<uint16_t>(h);
    const float got = f16_to_f32(half);
    const double want = f16_value(half);
    if (std::isnan(want)) {
      CHECK(std::isnan(got));
    } else {
      CHECK_EQUAL(bits_of(got), bits_of(static_cast<float>(want)));
    }
  }
}

TEST("half: every f16 survives the way to f32 and back") {
  for (uint32_t h = 0; h < 65536; h++) {
    const auto half = static_cast<uint16_t>(h);
    const bool nan = (h & 0x7c00) == 0x7c00 && (h & 0x3ff) != 0;
    const uint16_t want = nan ? half | 0x200 : half;
    CHECK_EQUAL(f32_to_f16(f16_to_f32(half)), want);
  }
}

TEST("half: f32 rounds to the nearest f16, ties to even") {
  std::mt19937 random(7);
  std::vector<float> values = {
      0.0f,
      -0.0f,
      65504.0f,
      65519.996f,
      65520.0f,
      65536.0f,
      1e30f,
      -1e30f,
      std::ldexp(1.0f, -24),
      std::ldexp(1.0f, -25),
      std::ldexp(1.5f, -25),
      std::ldexp(1.0f, -14),
      std::ldexp(1.0f, -26),
      1e-45f,
      HUGE_VALF};
  for (uint32_t h = 0; h < 0x7c00; h += 5) {
    // Exactly between two neighbours, and a hair to either side.
    const double a = f16_value(static_cast<uint16_t>(h));
    const double b = h == 0x7bff ? 65536 : f16_value(h + 1);
    const auto middle = static_cast<float>((a + b) / 2);
    values.insert(
        values.end(),
        {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)});
  }
  for (int i = 0; i < 100000; i++) {
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  }
  for (const float value : values) {
    if (!std::isnan(value)) {
      CHECK_EQUAL(f32_to_f16(value), nearest_f16(value));
    }
  }
}

TEST("half: NaN stays NaN, keeps its sign and becomes quiet") {
  for (const uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fc00000u}) {
    const float nan = std::bit_cast<float>(bits);
    CHECK(std::isnan(f16_to_f32(f32_to_f16(nan))));
    CHECK(std::isnan(bf16_to_f32(f32_to_bf16(nan))));
    CHECK_EQUAL(f32_to_f16(nan) & 0x8200, (bits >> 31 ? 0x8200 : 0x0200));
    CHECK_EQUAL(f32_to_bf16(nan) & 0x8040, (bits >> 31 ? 0x8040 : 0x0040));
  }
}

TEST("half: bf16 keeps the upper half and rounds ties to even") {
  CHECK_EQUAL(bits_of(bf16_to_f32(0x3f80)), bits_of(1.0f));
  CHECK_EQUAL(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  CHECK_EQUAL(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  CHECK_EQUAL(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  CHECK_EQUAL(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  CHECK_EQUAL(f32_to_bf16(-HUGE_VALF), 0xff80);
  CHECK_EQUAL(f32_to_bf16(std::bit_cast<float>(1u)), 0);
  for (uint32_t b = 0; b < 65536; b++) {
    const float value = bf16_to_f32(static_cast<uint16_t>(b));
    if (!std::isnan(value)) {
      CHECK_EQUAL(f32_to_bf16(value), static_cast<uint16_t>(b));
    }
  }
}

TEST("sha256: the published examples") {
  CHECK_EQUAL(
      sha_of(""),
      std::string("e3b0c44298fc1c149afbf4c8996fb924"
                  "27ae41e4649b934ca495991b7852b855"));
  CHECK_EQUAL(
      sha_of("abc"),
      std::string("ba7816bf8f01cfea414140de5dae2223"
                  "b00361a396177a9cb410ff61f20015ad"));
  CHECK_EQUAL(
      sha_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
      std::string("248d6a61d20638b8e5c026930c3e6039"
                  "a33ce45964ff2167f6ecedd419db06c1"));
  CHECK_EQUAL(
      sha_of(std::string(1000000, 'a')),
      std::string("cdc76e5c9914fb9281a1c7e284d73e67"
                  "f1809a48a497200e046d39ccc7112cd0"));
}

TEST("sha256: pieces of any size give what the whole gives") {
  for (size_t n = 0; n < 200; n++) {
    const std::vector<std::byte> bytes = noise(n, 3);
    Sha256 whole;
    whole.update(bytes);
    Sha256 pieces;
    for (size_t at = 0, step = 1; at < n; at += step, step = step % 67 + 1) {
      step = std::min(step, n - at);
      pieces.update(std::span(bytes).subspan(at, step));
    }
    CHECK(whole.finish() == pieces.finish());
  }
}

TEST("sha256: instructions and plain code agree on any number of blocks") {
  for (size_t n = 0; n < 40; n++) {
    const std::vector<std::byte> bytes = noise(64 * n + 1, 11);
    // Not aligned, from a state of its own.
    const auto* p = reinterpret_cast<const uint8_t*>(bytes.data()) + 1;
    Sha256State quick{1, 2, 3, 0xffffffff, 5, 6, 0x80000000, 8};
    Sha256State plain = quick;
    sha256_blocks(quick, p, n);
    sha256_blocks_portable(plain, p, n);
    CHECK(quick == plain);
  }
  const std::string isa = sha256_isa();
  CHECK(isa == "sha-ni" || isa == "armv8-sha2" || isa == "portable");
}

TEST("crc32c: the check value and RFC 3720's examples") {
  CHECK_EQUAL(crc_of("123456789"), 0xe3069283u);
  CHECK_EQUAL(crc_of(""), 0u);
  CHECK_EQUAL(crc_of(std::string(32, '\0')), 0x8a9136aau);
  CHECK_EQUAL(crc_of(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST("crc32c: instruction and table agree at every size and alignment") {
  const std::vector<std::byte> bytes = noise(40000, 11);
  const std::span<const std::byte> all(bytes);
  for (const size_t n :
       {0, 1, 7, 8, 9, 63, 2047, 2048, 6143, 6144, 6145, 12289, 39000}) {
    for (size_t at = 0; at < 9; at++) {
      const auto part = all.subspan(at, n);
      CHECK_EQUAL(crc32c(part, 77), crc32c_portable(part, 77));
    }
  }
}

TEST("crc32c: pieces continue, and one flipped bit shows") {
  std::vector<std::byte> bytes = noise(20000, 12);
  const std::span<const std::byte> all(bytes);
  const uint32_t whole = crc32c(all);
  for (const size_t cut : {1, 100, 6144, 19999}) {
    CHECK_EQUAL(crc32c(all.subspan(cut), crc32c(all.first(cut))), whole);
  }
  for (size_t i = 0; i < bytes.size(); i += 997) {
    bytes[i] ^= std::byte{16};
    CHECK(crc32c(all) != whole);
    bytes[i] ^= std::byte{16};
  }
}

TEST("crc32c: names the instructions in use") {
  const std::string isa = crc32c_isa();
#if defined(__x86_64__)
  CHECK_EQUAL(isa == "sse4.2", __builtin_cpu_supports("sse4.2") != 0);
#else
  CHECK(isa == "armv8-crc" || isa == "table");
#endif
}

TEST("utf8: accepts what is well-formed and stops at what is not") {
  CHECK_EQUAL(valid_utf8_prefix("plain"), 5u);
  CHECK_EQUAL(valid_utf8_prefix("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), 9u);
  for (const char* bad :
       {"a\x80",
        "a\xc0\x80",
        "a\xc1\xbf",
        "a\xe0\x9f\xbf",
        "a\xed\xa0\x80",
        "a\xf0\x8f\xbf\xbf",
        "a\xf4\x90\x80\x80",
        "a\xf5\x80\x80\x80",
        "a\xc3",
        "a\xe2\x82",
        "a\xf0\x9f\x98",
        "a\xc3(",
        "a\xff"}) {
    CHECK_EQUAL(valid_utf8_prefix(bad), 1u);
  }
}

TEST("utf8: what it encodes is well-formed and of the right length") {
  for (uint32_t c = 0; c <= 0x10ffff; c += 61) {
    if (c >= 0xd800 && c < 0xe000) {
      continue;
    }
    std::string text;
    encode_utf8(c, text);
    CHECK_EQUAL(valid_utf8_prefix(text), text.size());
    const size_t want = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    CHECK_EQUAL(text.size(), want);
  }
}

TEST("mapped file: shows the bytes, takes hints, may be empty") {
  const TempDir dir;
  write_file(dir / "a", "some bytes");
  const MappedFile file(dir / "a");
  CHECK_EQUAL(file.size(), 10u);
  CHECK(std::memcmp(file.data(), "some bytes", 10) == 0);
  file.advise(Advice::kWillNeed);
  file.advise(Advice::kSequential, 3, 4);
  file.advise(Advice::kDontNeed, 9, 1000);
  file.advise(Advice::kWillNeed, 1000);
  CHECK(std::memcmp(file.data(), "some bytes", 10) == 0);
  write_file(dir / "empty", "");
  CHECK_EQUAL(MappedFile(dir / "empty").size(), 0u);
}

TEST("mapped file: absent is told from unreadable") {
  const TempDir dir;
  CHECK_ERROR(MappedFile(dir / "none"), Code::kModelNotFound);
  CHECK_ERROR(
      MappedFile(dir / "none", Code::kAgentNotFound), Code::kAgentNotFound);
  write_file(dir / "file", "x");
  CHECK_ERROR(MappedFile(dir / "file/below"), Code::kModelNotFound);
  CHECK_ERROR(MappedFile(dir.path()), Code::kModelInvalid);
  CHECK_ERROR(
      MappedFile(dir.path(), Code::kModelNotFound, Code::kCacheCorrupt),
      Code::kCacheCorrupt);
  // A pipe nobody writes to must not be waited for.
  CHECK_EQUAL(mkfifo((dir / "pipe").c_str(), 0600), 0);
  CHECK_ERROR(MappedFile(dir / "pipe"), Code::kModelInvalid);
  CHECK_MESSAGE(MappedFile(dir / "none"), "no such file");
}

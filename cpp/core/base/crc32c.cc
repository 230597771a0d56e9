#include "base/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#define STOMP_CRC_X86 1
#include <nmmintrin.h>
#elif defined(__aarch64__)
#define STOMP_CRC_ARM 1
#include <arm_acle.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

namespace stomp {

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr uint32_t kPolynomial = 0x82f63b78; // reflected

// kTables[j][b]: the register after byte b and j more bytes of zero.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; bit++) {
      crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    }
    tables[0][b] = crc;
  }
  for (int j = 1; j < 8; j++) {
    for (uint32_t b = 0; b < 256; b++) {
      const uint32_t before = tables[j - 1][b];
      tables[j][b] = (before >> 8) ^ tables[0][before & 255];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

uint64_t load64(const std::byte* p) {
  uint64_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

uint32_t table_update(uint32_t crc, const std::byte* p, size_t n) {
  for (; n >= 8; p += 8, n -= 8) {
    const uint64_t word = load64(p) ^ crc;
    crc = 0;
    for (int j = 0; j < 8; j++) {
      crc ^= kTables[7 - j][(word >> (8 * j)) & 255];
    }
  }
  for (; n > 0; p++, n--) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ std::to_integer<uint32_t>(*p)) & 255];
  }
  return crc;
}

#if defined(STOMP_CRC_X86) || defined(STOMP_CRC_ARM)

// The instruction takes three cycles and can start every cycle, so three
// stretches are summed side by side and then joined.
constexpr size_t kStretch = 2048;

// kShift[i][b]: the register with only byte i set, to b, after kStretch bytes
// of zero. The register is linear, so four look-ups move a whole one.
using Shift = std::array<std::array<uint32_t, 256>, 4>;

Shift make_shift() {
  std::array<uint32_t, 32> column; // of single bits
  for (int bit = 0; bit < 32; bit++) {
    uint32_t crc = uint32_t{1} << bit;
    for (size_t i = 0; i < kStretch; i++) {
      crc = (crc >> 8) ^ kTables[0][crc & 255];
    }
    column[bit] = crc;
  }
  Shift shift{};
  for (int i = 0; i < 4; i++) {
    for (uint32_t b = 0; b < 256; b++) {
      for (int bit = 0; bit < 8; bit++) {
        shift[i][b] ^= (b >> bit) & 1 ? column[8 * i + bit] : 0;
      }
    }
  }
  return shift;
}

uint32_t move_on(const Shift& shift, uint32_t crc) {
  return shift[0][crc & 255] ^ shift[1][(crc >> 8) & 255] ^
      shift[2][(crc >> 16) & 255] ^ shift[3][crc >> 24];
}

#if defined(STOMP_CRC_X86)
#if defined(__clang__)
// A feature of its own there, which sse4.2 does not bring along.
#define STOMP_CRC_TARGET __attribute__((target("sse4.2,crc32")))
#else
#define STOMP_CRC_TARGET __attribute__((target("sse4.2")))
#endif

STOMP_CRC_TARGET inline uint32_t step(uint32_t crc, uint64_t word) {
  return static_cast<uint32_t>(_mm_crc32_u64(crc, word));
}

bool has_instruction() {
  return __builtin_cpu_supports("sse4.2");
}

constexpr const char* kIsa = "sse4.2";
#else
#if defined(__ARM_FEATURE_CRC32)
#define STOMP_CRC_TARGET
#elif defined(__clang__)
#define STOMP_CRC_TARGET __attribute__((target("crc")))
#else
#define STOMP_CRC_TARGET __attribute__((target("+crc")))
#endif

STOMP_CRC_TARGET inline uint32_t step(uint32_t crc, uint64_t word) {
  return __crc32cd(crc, word);
}

bool has_instruction() {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#elif defined(__APPLE__)
  return true; // all of Apple's 64-bit processors
#else
  return false;
#endif
}

constexpr const char* kIsa = "armv8-crc";
#endif

STOMP_CRC_TARGET uint32_t
instruction_update(uint32_t crc, const std::byte* p, size_t n) {
  static const Shift shift = make_shift();
  for (; n >= 3 * kStretch; p += 3 * kStretch, n -= 3 * kStretch) {
    // From memory, the next stretches would otherwise begin with a wait.
    const std::byte* next = n >= 6 * kStretch ? p + 3 * kStretch : p;
    uint32_t second = 0;
    uint32_t third = 0;
    for (size_t i = 0; i < kStretch; i += 8) {
      if (i % 64 == 0) {
        __builtin_prefetch(next + i);
        __builtin_prefetch(next + kStretch + i);
        __builtin_prefetch(next + 2 * kStretch + i);
      }
      crc = step(crc, load64(p + i));
      second = step(second, load64(p + kStretch + i));
      third = step(third, load64(p + 2 * kStretch + i));
    }
    crc = move_on(shift, move_on(shift, crc) ^ second) ^ third;
  }
  for (; n >= 8; p += 8, n -= 8) {
    crc = step(crc, load64(p));
  }
  return table_update(crc, p, n);
}

#else

bool has_instruction() {
  return false;
}

uint32_t instruction_update(uint32_t crc, const std::byte* p, size_t n) {
  return table_update(crc, p, n);
}

constexpr const char* kIsa = "table";

#endif

bool use_instruction() {
  static const bool use = has_instruction();
  return use;
}

} // namespace

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc) {
  return use_instruction()
      ? ~instruction_update(~crc, bytes.data(), bytes.size())
      : crc32c_portable(bytes, crc);
}

uint32_t crc32c_portable(std::span<const std::byte> bytes, uint32_t crc) {
  return ~table_update(~crc, bytes.data(), bytes.size());
}

const char* crc32c_isa() {
  return use_instruction() ? kIsa : "table";
}

} // namespace stomp

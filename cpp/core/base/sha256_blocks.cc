#include "base/sha256_blocks.h"

#include <bit>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

// The schedule then lies in registers.
#if defined(__clang__)
#define STOMP_SHA_UNROLL _Pragma("clang loop unroll(full)")
#else
#define STOMP_SHA_UNROLL _Pragma("GCC unroll 16")
#endif

namespace stomp {

namespace {

alignas(16) constexpr std::array<uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t big_endian(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 |
      static_cast<uint32_t>(p[2]) << 8 | static_cast<uint32_t>(p[3]);
}

void portable_block(Sha256State& state, const uint8_t* bytes) {
  std::array<uint32_t, 64> w;
  for (int i = 0; i < 16; i++) {
    w[i] = big_endian(bytes + 4 * i);
  }
  for (int i = 16; i < 64; i++) {
    const uint32_t a = w[i - 15];
    const uint32_t b = w[i - 2];
    const uint32_t s0 = std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3);
    const uint32_t s1 = std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (int i = 0; i < 64; i++) {
    const uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kRound[i] + w[i];
    const uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const Sha256State mixed{a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; i++) {
    state[i] += mixed[i];
  }
}

#if defined(__x86_64__)

bool has_instructions() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kShuffles = 1u << 9 | 1u << 19; // SSSE3, SSE4.1
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kShuffles) != kShuffles) {
    return false;
  }
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

/// The state as the instructions want it: ABEF and CDGH, highest lane first.
__attribute__((target("sha,sse4.1"))) void
instruction_blocks(Sha256State& state, const uint8_t* bytes, size_t n) {
  // Turns the bytes of each word.
  const __m128i turn = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  auto* words = reinterpret_cast<__m128i*>(state.data());
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  for (; n > 0; n--, bytes += 64) {
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
    __m128i w[4]; // the last 16 words of the schedule
    for (int i = 0; i < 4; i++) {
      w[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes) + i);
      w[i] = _mm_shuffle_epi8(w[i], turn);
    }
    STOMP_SHA_UNROLL
    for (int i = 0; i < 16; i++) { // four rounds each
      __m128i& now = w[i & 3];
      if (i >= 4) {
        const __m128i last = w[(i + 3) & 3];
        now = _mm_sha256msg1_epu32(now, w[(i + 1) & 3]);
        now = _mm_add_epi32(now, _mm_alignr_epi8(last, w[(i + 2) & 3], 4));
        now = _mm_sha256msg2_epu32(now, last);
      }
      const __m128i round =
          _mm_load_si128(reinterpret_cast<const __m128i*>(kRound.data()) + i);
      const __m128i sum = _mm_add_epi32(now, round);
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

constexpr const char* kIsa = "sha-ni";

#elif defined(__aarch64__)

#if defined(__ARM_FEATURE_SHA2)
#define STOMP_SHA_TARGET
#elif defined(__clang__)
#define STOMP_SHA_TARGET __attribute__((target("sha2")))
#else
#define STOMP_SHA_TARGET __attribute__((target("+crypto")))
#endif

bool has_instructions() {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0;
#elif defined(__APPLE__)
  return true; // all of Apple's 64-bit processors
#else
  return false;
#endif
}

STOMP_SHA_TARGET void
instruction_blocks(Sha256State& state, const uint8_t* bytes, size_t n) {
  uint32x4_t abcd = vld1q_u32(state.data());
  uint32x4_t efgh = vld1q_u32(state.data() + 4);
  for (; n > 0; n--, bytes += 64) {
    const uint32x4_t abcd_before = abcd;
    const uint32x4_t efgh_before = efgh;
    uint32x4_t w[4]; // the last 16 words of the schedule
    for (int i = 0; i < 4; i++) {
      w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes + 16 * i)));
    }
    STOMP_SHA_UNROLL
    for (int i = 0; i < 16; i++) { // four rounds each
      uint32x4_t& now = w[i & 3];
      if (i >= 4) {
        now = vsha256su0q_u32(now, w[(i + 1) & 3]);
        now = vsha256su1q_u32(now, w[(i + 2) & 3], w[(i + 3) & 3]);
      }
      const uint32x4_t sum = vaddq_u32(now, vld1q_u32(kRound.data() + 4 * i));
      const uint32x4_t before = abcd;
      abcd = vsha256hq_u32(abcd, efgh, sum);
      efgh = vsha256h2q_u32(efgh, before, sum);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state.data(), abcd);
  vst1q_u32(state.data() + 4, efgh);
}

constexpr const char* kIsa = "armv8-sha2";

#else

bool has_instructions() {
  return false;
}

void instruction_blocks(Sha256State& state, const uint8_t* bytes, size_t n) {
  sha256_blocks_portable(state, bytes, n);
}

constexpr const char* kIsa = "portable";

#endif

bool use_instructions() {
  static const bool use = has_instructions();
  return use;
}

} // namespace

void sha256_blocks(Sha256State& state, const uint8_t* bytes, size_t n) {
  if (use_instructions()) {
    instruction_blocks(state, bytes, n);
  } else {
    sha256_blocks_portable(state, bytes, n);
  }
}

void sha256_blocks_portable(
    Sha256State& state,
    const uint8_t* bytes,
    size_t n) {
  for (; n > 0; n--, bytes += 64) {
    portable_block(state, bytes);
  }
}

const char* sha256_isa() {
  return use_instructions() ? kIsa : "portable";
}

} // namespace stomp

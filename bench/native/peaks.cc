#include "peaks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

// As many independent sums as hide the latency of one instruction on two ports.
[[maybe_unused]] constexpr int kSums = 12;

// Keeps the compiler from seeing through a vector register.
#if defined(__x86_64__)
#define STOMP_OPAQUE(x) __asm__ volatile("" : "+v"(x))
#define STOMP_TARGET(isa) __attribute__((target(isa), noinline))
#elif defined(__aarch64__)
#define STOMP_OPAQUE(x) __asm__ volatile("" : "+w"(x))
#endif

// One round: every sum takes one step. Twelve variables, not an array: they
// have to stay in registers.
#define STOMP_EACH(f) \
  f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)
#define STOMP_LOOP(Type, zero, step)                                       \
  Type s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero,   \
       s6 = zero, s7 = zero, s8 = zero, s9 = zero, s10 = zero, s11 = zero; \
  for (int i = 0; i < rounds; i++) {                                       \
    STOMP_EACH(step)                                                       \
  }

#if defined(__x86_64__)

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
bool has_avx512() {
  return __builtin_cpu_supports("avx512f");
}
bool has_vnni() {
  return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

STOMP_TARGET("avx512f,avx512vnni") void vnni(int rounds) {
  __m512i a = _mm512_set1_epi8(1);
  __m512i b = _mm512_set1_epi8(2);
  STOMP_OPAQUE(a);
  STOMP_OPAQUE(b);
#define STOMP_STEP(k)                     \
  s##k = _mm512_dpbusd_epi32(s##k, a, b); \
  STOMP_OPAQUE(s##k);
  STOMP_LOOP(__m512i, _mm512_setzero_si512(), STOMP_STEP)
#undef STOMP_STEP
}

STOMP_TARGET("avx2") void maddubs(int rounds) {
  __m256i a = _mm256_set1_epi8(1);
  __m256i b = _mm256_set1_epi8(2);
  __m256i one = _mm256_set1_epi16(1);
  STOMP_OPAQUE(b);
  STOMP_OPAQUE(one);
  // `a` is opaque in every step, or one product would serve all.
#define STOMP_STEP(k)                                            \
  STOMP_OPAQUE(a);                                               \
  s##k = _mm256_add_epi32(                                       \
      s##k, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), one)); \
  STOMP_OPAQUE(s##k);
  STOMP_LOOP(__m256i, _mm256_setzero_si256(), STOMP_STEP)
#undef STOMP_STEP
}

STOMP_TARGET("avx512f") void fma512(int rounds) {
  __m512 a = _mm512_set1_ps(0.5F);
  STOMP_OPAQUE(a);
#define STOMP_STEP(k)                 \
  s##k = _mm512_fmadd_ps(s##k, a, a); \
  STOMP_OPAQUE(s##k);
  STOMP_LOOP(__m512, _mm512_set1_ps(1), STOMP_STEP)
#undef STOMP_STEP
}

STOMP_TARGET("avx2,fma") void fma256(int rounds) {
  __m256 a = _mm256_set1_ps(0.5F);
  STOMP_OPAQUE(a);
#define STOMP_STEP(k)                 \
  s##k = _mm256_fmadd_ps(s##k, a, a); \
  STOMP_OPAQUE(s##k);
  STOMP_LOOP(__m256, _mm256_set1_ps(1), STOMP_STEP)
#undef STOMP_STEP
}

STOMP_TARGET("avx512f") uint64_t read512(const uint64_t* data, size_t bytes) {
  __m512i sum[8];
  for (auto& s : sum) {
    s = _mm512_setzero_si512();
  }
  for (size_t i = 0; i < bytes / 8; i += 64) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) {
      sum[k] = _mm512_or_si512(sum[k], _mm512_loadu_si512(data + i + 8 * k));
    }
  }
  alignas(64) uint64_t lanes[8] = {};
  for (int k = 1; k < 8; k++) {
    sum[0] = _mm512_or_si512(sum[0], sum[k]);
  }
  _mm512_store_si512(lanes, sum[0]);
  return lanes[0] | lanes[1] | lanes[2] | lanes[3] | lanes[4] | lanes[5] |
      lanes[6] | lanes[7];
}

#if defined(__linux__)

bool has_amx(int data_type_bit) {
  unsigned a;
  unsigned b;
  unsigned c;
  unsigned d;
  constexpr int kTileBit = 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> kTileBit & 1) ||
      !(d >> data_type_bit & 1)) {
    return false;
  }
  constexpr int kRequestPermission = 0x1023; // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
bool has_amx_int8() {
  return has_amx(25);
}
bool has_amx_bf16() {
  return has_amx(22);
}

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// In memory for good: the intrinsic tells the compiler of its first bytes only.
const TileConfig kTiles;

// Tiles 0 to 3 are sums, 4 and 5 the left side, 6 and 7 the right one. The
// configuration belongs to a thread: each call loads its own.
#define STOMP_TILES(product)              \
  _tile_loadconfig(&kTiles);              \
  _tile_zero(0);                          \
  _tile_zero(1);                          \
  _tile_zero(2);                          \
  _tile_zero(3);                          \
  _tile_zero(4);                          \
  _tile_zero(5);                          \
  _tile_zero(6);                          \
  _tile_zero(7);                          \
  for (int i = 0; i < rounds / 16; i++) { \
    product(0, 4, 6);                     \
    product(1, 4, 7);                     \
    product(2, 5, 6);                     \
    product(3, 5, 7);                     \
  }                                       \
  _tile_release();

STOMP_TARGET("amx-tile,amx-int8")
void amx_int8(int rounds){STOMP_TILES(_tile_dpbssd)} STOMP_TARGET(
    "amx-tile,amx-bf16") void amx_bf16(int rounds) {
  STOMP_TILES(_tile_dpbf16ps)
}

#endif // __linux__

#elif defined(__aarch64__)

bool always() {
  return true;
}

void fma_neon(int rounds) {
  float32x4_t a = vdupq_n_f32(0.5F);
  STOMP_OPAQUE(a);
#define STOMP_STEP(k)           \
  s##k = vfmaq_f32(s##k, a, a); \
  STOMP_OPAQUE(s##k);
  STOMP_LOOP(float32x4_t, vdupq_n_f32(1), STOMP_STEP)
#undef STOMP_STEP
}

#if defined(__ARM_FEATURE_DOTPROD)
void dot_neon(int rounds) {
  int8x16_t a = vdupq_n_s8(1);
  STOMP_OPAQUE(a);
#define STOMP_STEP(k)           \
  s##k = vdotq_s32(s##k, a, a); \
  STOMP_OPAQUE(s##k);
  STOMP_LOOP(int32x4_t, vdupq_n_s32(0), STOMP_STEP)
#undef STOMP_STEP
}
#endif

#endif

uint64_t read_plain(const uint64_t* data, size_t bytes) {
  uint64_t sum[8] = {};
  for (size_t i = 0; i < bytes / 8; i += 8) {
    for (int k = 0; k < 8; k++) {
      sum[k] |= data[i + k];
    }
  }
  uint64_t all = 0;
  for (const uint64_t s : sum) {
    all |= s;
  }
  return all;
}

} // namespace

uint64_t read_all(const uint64_t* data, size_t bytes) {
#if defined(__x86_64__)
  if (has_avx512()) {
    return read512(data, bytes);
  }
#endif
  return read_plain(data, bytes);
}

const std::vector<Peak>& peaks() {
  static const std::vector<Peak> all = {
#if defined(__x86_64__)
      {"int8 dot vnni", has_vnni, vnni, kSums * 64.0 * 2},
      {"int8 dot avx2", has_avx2, maddubs, kSums * 32.0 * 2},
      {"f32 fma avx512", has_avx512, fma512, kSums * 16.0 * 2},
      {"f32 fma avx2", has_avx2, fma256, kSums * 8.0 * 2},
#if defined(__linux__)
      // Four products of 16 x 16 sums over 64 bytes, every sixteenth round.
      {"amx int8", has_amx_int8, amx_int8, 4.0 / 16 * 16 * 16 * 64 * 2},
      {"amx bf16", has_amx_bf16, amx_bf16, 4.0 / 16 * 16 * 16 * 32 * 2},
#endif
#elif defined(__aarch64__)
#if defined(__ARM_FEATURE_DOTPROD)
      {"int8 dot neon", always, dot_neon, kSums * 16.0 * 2},
#endif
      {"f32 fma neon", always, fma_neon, kSums * 4.0 * 2},
#endif
  };
  return all;
}

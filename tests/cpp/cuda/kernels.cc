// The kernels of cuda/, taken by this compiler, in place of those of metal/:
// under their names and with their buffers, for the same launches.
#include "kernels.h"

// What CUDA has comes before the kernels.
#include "cuda_host.h"

#include "combine.cuh"
#include "decode.cuh"

namespace {

/// Fixed before a launch; arrays are as large as any shape needs.
struct HostShape {
  static inline int head_dim;
  static inline int block_tokens;
  static inline int kv_bits;
  static inline int kv_group;
  static inline int tile_heads;
  static inline bool has_sinks;
  static constexpr int most_heads = 4;
  static constexpr int most_chunks = 256 / paged::kChunk / paged::kParts;
};

struct Group {
  unsigned x, y, z;
};

paged::Place place_of(const Group& group, unsigned index, unsigned simds) {
  return {
      static_cast<int>(group.x),
      static_cast<int>(group.y),
      static_cast<int>(group.z),
      static_cast<int>(index),
      static_cast<int>(simds) * paged::kLanes};
}

template <typename T>
void decode(
    const T* queries,
    const void* keys,
    const __half* key_scales,
    const __half* key_biases,
    const void* values,
    const __half* value_scales,
    const __half* value_biases,
    const paged::DecodeRow* rows,
    const int* block_ids,
    float* partial_out,
    float* partial_sum,
    const paged::AttendParams& params,
    const void* /* queries stay in registers */,
    float* shared_out,
    float* shared_sum,
    Group group,
    unsigned index,
    unsigned /* lane */,
    unsigned /* simd */,
    unsigned simds) {
  const paged::DecodeBuffers<T> buffers = {
      queries,
      {keys, key_scales, key_biases},
      {values, value_scales, value_biases},
      rows,
      block_ids,
      partial_out,
      partial_sum};
  paged::decode<T, HostShape>(
      buffers, params, shared_out, shared_sum, place_of(group, index, simds));
}

template <typename T>
void combine(
    const float* partial_out,
    const float* partial_sum,
    const paged::DecodeRow* rows,
    const T* sinks,
    T* out,
    const paged::AttendParams& params,
    Group group,
    unsigned index,
    unsigned /* lane */,
    unsigned /* simd */,
    unsigned simds) {
  paged::combine<T, HostShape>(
      partial_out,
      partial_sum,
      rows,
      sinks,
      out,
      params,
      place_of(group, index, simds));
}

const emulator::Register kAll[] = {
    {"paged_decode_f16", decode<__half>},
    {"paged_decode_bf16", decode<__nv_bfloat16>},
    {"paged_decode_f32", decode<float>},
    {"paged_combine_f16", combine<__half>},
    {"paged_combine_bf16", combine<__nv_bfloat16>},
    {"paged_combine_f32", combine<float>},
};

} // namespace

void emulator::set_function_constants(
    const stomp::mlx_exec::metal::Constants& constants) {
  HostShape::head_dim = constants.head_dim;
  HostShape::block_tokens = constants.block_tokens;
  HostShape::kv_bits = constants.kv_bits;
  HostShape::kv_group = constants.kv_bits < 16 ? constants.kv_group : 64;
  HostShape::tile_heads = constants.tile_heads;
  HostShape::has_sinks = constants.has_sinks;
}

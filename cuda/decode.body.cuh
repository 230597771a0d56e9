// The body of the function that MLX makes of cuda::decode_kernel(): its
// arguments and the constants are declared before.
extern __shared__ float paged_shared[];
using S = paged::
    Shape<head_dim, block_tokens, kv_bits, kv_group, tile_heads, has_sinks>;
const paged::Place place = {
    int(blockIdx.x),
    int(blockIdx.y),
    int(blockIdx.z),
    int(threadIdx.x),
    int(blockDim.x)};
const paged::DecodeBuffers<T> buffers = {
    queries,
    {keys,
     reinterpret_cast<const __half*>(key_scales),
     reinterpret_cast<const __half*>(key_biases)},
    {values,
     reinterpret_cast<const __half*>(value_scales),
     reinterpret_cast<const __half*>(value_biases)},
    reinterpret_cast<const paged::DecodeRow*>(rows),
    block_ids,
    partial_out,
    partial_sum};
paged::decode<T, S>(
    buffers,
    *reinterpret_cast<const paged::AttendParams*>(params),
    paged_shared,
    paged_shared + place.warps() * tile_heads * head_dim,
    place);

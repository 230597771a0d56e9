// The body of the function that MLX makes of cuda::combine_kernel(): its
// arguments and the constants are declared before.
using S = paged::
    Shape<head_dim, block_tokens, kv_bits, kv_group, tile_heads, has_sinks>;
const paged::Place place = {
    int(blockIdx.x),
    int(blockIdx.y),
    int(blockIdx.z),
    int(threadIdx.x),
    int(blockDim.x)};
paged::combine<T, S>(
    partial_out,
    partial_sum,
    reinterpret_cast<const paged::DecodeRow*>(rows),
    reinterpret_cast<const T*>(sinks),
    out,
    *reinterpret_cast<const paged::AttendParams*>(params),
    place);

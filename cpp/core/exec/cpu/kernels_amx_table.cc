// The matrix units' kernels, for exec/cpu/kernel_choice.cc to add to the table
// of the vector units.
#include "exec/cpu/amx_kernels.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

extern const TileKernels tile_table;

const TileKernels tile_table = {
    .round_row = round_row,
    .round_gated = round_gated,
    .widen_quantised = widen_quantised,
    .widen_dense = widen_dense,
    .multiply = multiply,
    .multiply_quantised = multiply_quantised,
    .attend_piece = attend_tiles,
    .attend_scratch_bytes = attend_scratch_bytes,
};

} // namespace stomp::cpu::STOMP_KERNEL_ISA

// The table of one instruction set. See lanes.h for how this is compiled.
#include "exec/cpu/kernels_parts.h"

#define STOMP_TEXT2(x) #x
#define STOMP_TEXT(x) STOMP_TEXT2(x)

namespace stomp::cpu::STOMP_KERNEL_ISA {

extern const Kernels table;

const Kernels table = {
    .isa = STOMP_TEXT(STOMP_KERNEL_ISA),
    .linear_scratch_bytes = kLinearScratchBytes,
    .rms_norm = rms_norm,
    .activate = activate,
    .quantise_row = quantise_row,
    .rotate = rotate,
    .to_f16 = to_f16,
    .quantise_kv8 = quantise_kv8,
    .quantise_kv4 = quantise_kv4,
    .spread = spread,
    .arg_max = arg_max,
    .linear_quantised = linear_quantised,
    .linear_dense = linear_dense,
    .attend_piece = attend_piece,
    .merge_rows = merge_rows,
};

} // namespace stomp::cpu::STOMP_KERNEL_ISA

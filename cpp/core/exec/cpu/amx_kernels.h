// What the matrix units' kernel files hand to their table. Inside
// STOMP_KERNEL_ISA, see lanes.h.
#pragma once

#include "exec/cpu/kernels.h"
#include "exec/cpu/lanes.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

void round_row(
    const float* x,
    int n,
    float scale,
    const TileRows& out,
    int row,
    int first);
void round_gated(
    Activation activation,
    const float* gate_up,
    int n,
    const TileRows& out,
    int first);
void widen_quantised(
    const QuantisedLayout& layout,
    const std::byte* block,
    int first_k,
    int n_k,
    uint16_t* panel);
void widen_dense(
    const DenseLayout& layout,
    const std::byte* block,
    int first_k,
    int n_k,
    uint16_t* panel);
void multiply(const TileProduct& product);
void multiply_quantised(
    const QuantisedLayout& layout,
    const std::byte* block,
    const TileRows& rows,
    int row_tiles,
    const LinearOutput& out);

void attend_tiles(
    const AttentionPiece& piece,
    const TileAttention& rows,
    std::byte* scratch);
size_t attend_scratch_bytes(int head_dim);

} // namespace stomp::cpu::STOMP_KERNEL_ISA

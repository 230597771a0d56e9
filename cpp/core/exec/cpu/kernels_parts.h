// What the kernel files of one instruction set hand to its table. Inside
// STOMP_KERNEL_ISA, see lanes.h.
#pragma once

#include "exec/cpu/kernels.h"
#include "exec/cpu/lanes.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

void rms_norm(const float* x, const float* w, int n, float eps, float* out);
void silu_mul(const float* gate, const float* up, int n, float* out);
void add(float* x, const float* y, int n);
void quantise_row(const float* x, const QuantisedRows& out);
void to_f16(const float* x, int n, uint16_t* out);
ArgMax arg_max(const float* x, int n);

size_t quantised_block_bytes(const QuantisedLayout& layout);
void pack_quantised(
    const QuantisedLayout& layout,
    const uint8_t* codes,
    const float* scales,
    const float* biases,
    std::byte* block);
void linear_quantised(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& rows,
    int n_rows,
    float* y,
    size_t y_stride,
    std::byte* scratch);

size_t dense_block_bytes(const DenseLayout& layout);
void pack_dense(
    const DenseLayout& layout,
    const std::byte* const* columns,
    std::byte* block);
void linear_dense(
    const DenseLayout& layout,
    const std::byte* block,
    const float* rows,
    int n_rows,
    float* y,
    size_t y_stride,
    std::byte* scratch);

void attend_piece(
    const AttentionPiece& piece,
    const AttentionRows& rows,
    float* scratch);
void merge_rows(
    const AttentionRows& from,
    const AttentionRows& into,
    int head_dim);

// The dense linear unpacks so much of K at a time, when rows share it.
inline constexpr int kDenseChunk = 512;
inline constexpr size_t kLinearScratchBytes =
    sizeof(float) * kDenseChunk * kBlockColumns;

} // namespace stomp::cpu::STOMP_KERNEL_ISA

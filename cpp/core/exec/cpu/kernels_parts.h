// What the kernel files of one instruction set hand to its table. Inside
// STOMP_KERNEL_ISA, see lanes.h.
#pragma once

#include "exec/cpu/kernels.h"
#include "exec/cpu/lanes.h"

namespace stomp::cpu::STOMP_KERNEL_ISA {

void rms_norm(const float* x, const float* w, int n, float eps, float* out);
void activate(
    Activation activation,
    const float* gate,
    const float* up,
    int n,
    float* out);
void quantise_row(const float* x, const QuantisedRows& out);
void rotate(float* head, const RopeTurns& turns, float scale);
void to_f16(const float* x, int n, uint16_t* out);
void quantise_kv8(
    const float* x,
    int n,
    int8_t* codes,
    uint16_t* scales,
    int stride);
void quantise_kv4(
    const float* x,
    int n,
    uint8_t* codes,
    uint16_t* scales,
    uint16_t* biases,
    int stride);
void spread(float* head, int n);
ArgMax arg_max(const float* x, int n);

void linear_quantised(
    const QuantisedLayout& layout,
    const std::byte* block,
    const QuantisedRows& rows,
    int n_rows,
    const LinearOutput& out);

void linear_dense(
    const DenseLayout& layout,
    const std::byte* block,
    const float* rows,
    int n_rows,
    const LinearOutput& out,
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

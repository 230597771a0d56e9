// What the host and the kernels both know: the tables and parameters that go
// through buffers. Read by C++ (metal_launch.h) and by Metal: int and float
// alone, 4 bytes each on both sides.
#pragma once

namespace paged {

/// Rows to write: `rows` (rows, kv_heads, head_dim), a row `row_stride`
/// elements after the one before.
struct AppendParams {
  int rows;
  int kv_heads;
  int row_stride; // a multiple of 4
};

/// One block, or the first tokens of one, to copy within a plane.
struct BlockMove {
  int src; // block ids
  int dst;
  int tokens;
};

struct CopyParams {
  int token_units; // units that a token takes in the plane
  int stride;      // threads that share a move, or a row
};

/// Tokens [begin, begin + tokens) of those in the blocks given.
struct GatherParams {
  int begin;
  int tokens;
  int kv_heads;
};

/// One query row that attends alone: it sees positions [first, end).
struct DecodeRow {
  int query;  // row of the queries and of the result
  int blocks; // its first block's entry in the list of block ids
  int base;   // position of that block's first token
  int first;
  int end;
};

/// Rows of one sequence that follow each other and attend together, the last
/// of them at position length - 1.
struct PromptSpan {
  int query; // its first row among the queries and in the result
  int rows;
  int length; // tokens in the cache, the rows' own included
  int blocks;
  int base;
};

/// A threadgroup's share of a span: pairs of row and query head of one KV head,
/// (rows * heads of it), head fastest.
struct PromptTile {
  int span;
  int pair; // its first
};

struct AttendParams {
  int n_heads;
  int kv_heads;
  int query_stride; // elements from one row of the queries to the next
  int window;       // tokens that a row sees at most; prompts only
  int splits;       // that partial results have room for; decode only
  int split_tokens; // context of a split; decode only
  float scale;      // of the scores
};

} // namespace paged

// How a step's attention is cut into work: whatever the sequences, the tables
// and what they share, every row's context is covered exactly once.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "check.h"
#include "exec/cpu/attention_plan.h"

using namespace stomp;
using namespace stomp::cpu;

namespace {

class Dice {
 public:
  explicit Dice(uint32_t seed) : engine_(seed) {}
  int below(int n) { return static_cast<int>(engine_() % n); }
  int between(int low, int high) { return low + below(high - low + 1); }
  bool odds(int one_in) { return below(one_in) == 0; }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

/// A step of random sequences, some of which share the blocks of a prefix, in
/// some groups of layers, as forks and common prompts do.
class RandomStep {
 public:
  explicit RandomStep(Dice& dice) : dice_(dice) {
    constexpr int kSizes[] = {16, 48, 64, 128, 256};
    spec.block_tokens = kSizes[dice.below(5)];
    spec.groups.resize(dice.between(1, 2));
    for (LayerGroup& group : spec.groups) {
      if (dice.odds(2)) {
        group.kind = AttentionKind::kSliding;
        group.window = dice.between(1, 300);
      }
    }
    const int n = dice.between(1, 24);
    tables.resize(n);
    written_.resize(n);
    tokens.assign(4096, 1);
    for (int s = 0; s < n; s++) {
      add_slice(s);
    }
    std::shuffle(step.slices.begin(), step.slices.end(), dice.engine());
    rows.assign(step, [](const Slice&) { return 0; });
  }

  ModelCacheSpec spec;
  std::vector<BlockTable> tables;
  std::vector<int32_t> tokens;
  Step step;
  StepRows rows;

  const BlockTable& table_of(int row) const {
    return *rows.slices[rows.slice_of[row]].slice->table;
  }
  /// First position that the row attends to.
  int first(int group, int row) const {
    const LayerGroup& kind = spec.groups[group];
    return kind.kind == AttentionKind::kSliding
        ? std::max(0, rows.positions[row] - kind.window + 1)
        : 0;
  }

 private:
  void add_slice(int s) {
    Slice slice;
    slice.decode = dice_.odds(2);
    slice.position = dice_.odds(4) ? dice_.below(4) : dice_.below(900);
    const int size = slice.decode ? 1 : dice_.between(1, 150);
    slice.tokens = std::span(tokens).first(size);
    slice.table = &tables[s];
    fill(s, slice.position, size);
    step.slices.push_back(slice);
  }

  void fill(int s, int position, int size) {
    BlockTable& table = tables[s];
    table.n_tokens = position;
    const int n = spec.blocks_covering(position + size);
    // From another sequence, as far as both have whole blocks.
    const int from = s > 0 && !dice_.odds(3) ? dice_.below(s) : s;
    const int whole =
        std::min(tables[from].n_tokens, position) / spec.block_tokens;
    const int shared = from == s ? 0
        : dice_.odds(2)          ? whole
                                 : dice_.between(0, whole);
    for (size_t g = 0; g < spec.groups.size(); g++) {
      std::vector<BlockId> ids;
      for (int i = 0; i < n; i++) {
        ids.push_back(i < shared ? written_[from][g][i] : next_++);
      }
      written_[s].push_back(ids);
      // What the window has passed may be gone.
      const int passed = spec.first_block(static_cast<int>(g), position);
      for (int i = 0; i < passed && dice_.odds(2); i++) {
        ids[i] = kNoBlock;
      }
      table.blocks.push_back(std::move(ids));
    }
  }

  Dice& dice_;
  BlockId next_ = 0;
  // By sequence and group: its blocks, those that windows have passed too.
  std::vector<std::vector<std::vector<BlockId>>> written_;
};

/// Ids of a table's blocks with positions in [begin, end).
std::vector<BlockId> blocks_of(
    const RandomStep& s,
    const BlockTable& table,
    int group,
    int begin,
    int end) {
  std::vector<BlockId> ids;
  for (int at = begin; at < end; at++) {
    const BlockId id = table.blocks[group][at / s.spec.block_tokens];
    if (ids.empty() || at % s.spec.block_tokens == 0) {
      ids.push_back(id);
    }
  }
  return ids;
}

/// Every prompt row lies in exactly one tile, with its position.
void check_tiles(
    const RandomStep& s,
    const AttentionPlan& plan,
    int tile_tokens) {
  std::vector<int> covered(s.rows.n());
  int before = 1 << 30;
  for (const PromptTile& tile : plan.tiles()) {
    CHECK(tile.n >= 1 && tile.n <= tile_tokens);
    CHECK(tile.position <= before); // the longest first
    before = tile.position;
    for (int i = 0; i < tile.n; i++) {
      covered[tile.row + i]++;
      CHECK_EQUAL(s.rows.slice_of[tile.row + i], tile.slice);
      CHECK_EQUAL(s.rows.positions[tile.row + i], tile.position + i);
    }
  }
  for (int row = 0; row < s.rows.n(); row++) {
    CHECK_EQUAL(covered[row], row < plan.n_spanned() ? 0 : 1);
  }
}

/// A span holds what its rows need, and its rows see the same there.
void check_span(
    const RandomStep& s,
    const AttentionPlan& plan,
    int group,
    const SharedSpan& span) {
  const LayerGroupPlan& p = plan.group(group);
  CHECK_EQUAL(span.begin % kSpanTokens, 0);
  CHECK(span.n >= 1 && span.n <= plan.max_span_rows());
  int end = 0;
  for (int i = 0; i < span.n; i++) {
    const int row = p.rows[span.first + i];
    CHECK(i == 0 || row > p.rows[span.first + i - 1]);
    const int own_end =
        std::min(span.begin + kSpanTokens, s.rows.positions[row] + 1);
    end = std::max(end, own_end);
    CHECK(
        blocks_of(s, s.table_of(row), group, span.begin, own_end) ==
        blocks_of(s, *span.table, group, span.begin, own_end));
    // What the row attends to is there at all.
    const int from = std::max(span.begin, s.first(group, row));
    for (BlockId id : blocks_of(s, *span.table, group, from, own_end)) {
      CHECK(id != kNoBlock);
    }
  }
  CHECK_EQUAL(span.end, end);
}

/// Spans are not apart that could be one: blocks are read once.
void check_shared(
    const RandomStep& s,
    const AttentionPlan& plan,
    int group,
    const SharedSpan& a,
    const SharedSpan& b) {
  if (a.begin != b.begin || std::max(a.n, b.n) == plan.max_span_rows()) {
    return;
  }
  const int end = std::min(a.end, b.end);
  CHECK(
      blocks_of(s, *a.table, group, a.begin, end) !=
      blocks_of(s, *b.table, group, b.begin, end));
}

void check_group(const RandomStep& s, const AttentionPlan& plan, int group) {
  const LayerGroupPlan& p = plan.group(group);
  std::map<std::pair<int, int>, int> times; // by row and number of span
  size_t listed = 0;
  std::set<int> begun; // each span has a place of its own in the rows
  for (const SharedSpan& span : p.spans) {
    listed += span.n;
    for (int i = 0; i < span.n; i++) {
      CHECK(begun.insert(span.first + i).second);
    }
    check_span(s, plan, group, span);
    for (int i = 0; i < span.n; i++) {
      times[{p.rows.at(span.first + i), span.begin / kSpanTokens}]++;
    }
    for (const SharedSpan& other : p.spans) {
      if (&other != &span) {
        check_shared(s, plan, group, span, other);
      }
    }
  }
  CHECK_EQUAL(p.rows.size(), listed);
  size_t partials = 0;
  size_t wanted = 0;
  for (int row = 0; row < plan.n_spanned(); row++) {
    const int first = s.first(group, row) / kSpanTokens;
    const int last = s.rows.positions[row] / kSpanTokens;
    CHECK_EQUAL(p.first_span[row], first);
    CHECK_EQUAL(p.n_spans[row], last - first + 1);
    CHECK_EQUAL(p.partial[row], partials);
    partials += last > first ? last - first + 1 : 0;
    for (int number = first; number <= last; number++, wanted++) {
      CHECK_EQUAL((times[{row, number}]), 1);
    }
  }
  CHECK_EQUAL(p.n_partials, partials);
  CHECK_EQUAL(listed, wanted); // and nothing that no row needs
}

void check_plan(
    const RandomStep& s,
    const AttentionPlan& plan,
    const AttentionPlan::Shape& shape,
    bool may_span) {
  int prompt_tiles = 0;
  for (const SliceRows& rows : s.rows.slices) {
    if (!rows.slice->decode) {
      prompt_tiles += (rows.n + shape.tile_tokens - 1) / shape.tile_tokens;
    }
  }
  const bool all = may_span && prompt_tiles < shape.min_tiles;
  CHECK_EQUAL(plan.n_spanned(), all ? s.rows.n() : s.rows.n_decode);
  CHECK_EQUAL(plan.tiles().size(), size_t(all ? 0 : prompt_tiles));
  check_tiles(s, plan, shape.tile_tokens);
  for (size_t g = 0; g < s.spec.groups.size(); g++) {
    check_group(s, plan, static_cast<int>(g));
  }
}

uint32_t wanted_seed() {
  const char* seed = std::getenv("STOMP_TEST_SEED");
  return seed ? static_cast<uint32_t>(std::strtoul(seed, nullptr, 10))
              : std::random_device{}();
}

} // namespace

TEST("cpu executor: attention plans cover random steps exactly once") {
  const uint32_t seed = wanted_seed();
  Dice dice(seed);
  std::printf("      attention plans: STOMP_TEST_SEED=%u\n", seed);
  constexpr int kGroups[] = {1, 3, 8, 64};
  constexpr int kTileTokens[] = {1, 10, 16, 32};
  for (int plans = 0; plans < 150; plans++) {
    const AttentionPlan::Shape shape{
        kGroups[dice.below(4)], kTileTokens[dice.below(4)], dice.below(9)};
    AttentionPlan plan(shape);
    // One after the other, as steps come: nothing of the last may stay.
    for (int steps = 0; steps < 6; steps++) {
      const RandomStep step(dice);
      const bool may_span = dice.odds(2);
      plan.make(step.rows, step.spec, may_span);
      check_plan(step, plan, shape, may_span);
    }
  }
}

TEST("cpu executor: eight answers that share a prompt read its blocks once") {
  ModelCacheSpec spec;
  spec.block_tokens = 64;
  spec.groups.resize(1);
  const std::vector<int32_t> token = {1};
  std::vector<BlockTable> tables(8);
  Step step;
  for (int s = 0; s < 8; s++) {
    // 300 tokens: four whole blocks are everybody's, the fifth is not.
    tables[s].blocks = {{0, 1, 2, 3, 10 + s}};
    Slice slice;
    slice.tokens = token;
    slice.position = 300 + s;
    slice.table = &tables[s];
    slice.decode = true;
    step.slices.push_back(slice);
  }
  StepRows rows;
  rows.assign(step, [](const Slice&) { return 0; });
  AttentionPlan plan({3, 16, 4});
  plan.make(rows, spec, true);
  std::vector<int> sizes;
  for (const SharedSpan& span : plan.group(0).spans) {
    sizes.push_back(span.n);
  }
  // Two spans for all, then one for each; the first row's come together.
  CHECK((sizes == std::vector<int>{1, 8, 8, 1, 1, 1, 1, 1, 1, 1}));
  CHECK_EQUAL(plan.group(0).n_partials, size_t{8 * 3});
}

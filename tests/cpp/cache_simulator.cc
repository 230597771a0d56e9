#include "cache_simulator.h"

#include <algorithm>
#include <utility>

#include "check.h"

namespace simulator {

namespace {

constexpr int kSeeds = 2;
constexpr int kMaxTokens = 60;
constexpr int kMaxLive = 7;

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = (a ^ (b + 0x9e3779b97f4a7c15)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 29)) * 0x94d049bb133111eb;
  return x ^ (x >> 32);
}

/// What the slots of the first tokens must hold.
std::vector<uint64_t> fingerprints(
    uint64_t seed,
    const std::vector<int32_t>& tokens) {
  std::vector<uint64_t> prints;
  uint64_t last = mix(seed, 1);
  for (const int32_t token : tokens) {
    last = mix(last, static_cast<uint64_t>(token));
    prints.push_back(last);
  }
  return prints;
}

int common(
    const std::vector<int32_t>& a,
    const std::vector<int32_t>& b,
    size_t limit) {
  size_t n = 0;
  while (n < limit && n < a.size() && n < b.size() && a[n] == b[n]) {
    n++;
  }
  return static_cast<int>(n);
}

} // namespace

World::World(
    const ModelCacheSpec& spec,
    const std::vector<int>& capacity,
    uint32_t seed)
    : spec_(spec), capacity_(capacity), cache_(spec, capacity), random_(seed) {
  token_kinds_ = 2 + below(3); // few, so that prefixes meet often
  for (const int blocks : capacity) {
    content_.emplace_back(blocks * spec.block_tokens, 0);
  }
}

uint64_t World::reclaimed() const {
  uint64_t n = 0;
  for (size_t g = 0; g < capacity_.size(); g++) {
    n += cache_.pool().reclaimed_total(static_cast<int>(g));
  }
  return n;
}

void World::step() {
  if (live_.empty()) {
    open();
  }
  // How many times out of the sum each operation is chosen.
  static constexpr std::pair<int, void (World::*)(Live&)> kOperations[] = {
      {4, &World::open_another},
      {8, &World::adopt},
      {25, &World::grow},
      {22, &World::write},
      {22, &World::commit},
      {5, &World::truncate},
      {4, &World::fork},
      {4, &World::publish},
      {5, &World::release},
      {1, &World::drop_cached},
  };
  int dice = below(100);
  for (const auto& [weight, operation] : kOperations) {
    dice -= weight;
    if (dice < 0) {
      (this->*operation)(any());
      break;
    }
  }
  check();
}

void World::finish() {
  while (!live_.empty()) {
    release(live_.back());
    check();
  }
  cache_.drop_cached();
  check();
  for (size_t g = 0; g < capacity_.size(); g++) {
    CHECK_EQUAL(cache_.pool().free(static_cast<int>(g)), capacity_[g]);
  }
  CHECK_EQUAL(cache_.indexed_blocks(), 0u);
}

std::vector<int32_t> World::random_tokens(int n) {
  std::vector<int32_t> tokens(n);
  for (int32_t& token : tokens) {
    token = below(token_kinds_);
  }
  return tokens;
}

/// Mostly the beginning of something known or alive, then something new.
std::vector<int32_t> World::random_prompt(uint64_t seed) {
  std::vector<int32_t> prompt;
  for (int tries = 0; tries < 4 && prompt.empty(); tries++) {
    if (below(3) == 0) {
      prompt = any().seq.tokens; // perhaps of another seed
    } else if (!known_.empty()) {
      const Known& known = known_[below(static_cast<int>(known_.size()))];
      prompt = known.seed == seed ? known.tokens : std::vector<int32_t>();
    }
  }
  if (below(3) == 0) {
    prompt.resize(below(static_cast<int>(prompt.size()) + 1));
  }
  const auto more = random_tokens(below(9));
  prompt.insert(prompt.end(), more.begin(), more.end());
  prompt.resize(std::min<size_t>(prompt.size(), kMaxTokens));
  return prompt;
}

void World::open() {
  const std::string name = "model " + std::to_string(below(kSeeds));
  live_.push_back({cache_.open(KvCache::seed(name)), {}, 0, false});
}

void World::open_another(Live&) {
  if (live_.size() < kMaxLive) {
    open();
  }
}

int World::expected_reach(
    const CachedSequence& seq,
    const std::vector<int32_t>& prompt) const {
  const size_t limit = prompt.empty() ? 0 : prompt.size() - 1;
  int best = common(seq.tokens, prompt, limit);
  for (const Known& known : known_) {
    if (known.seed == seq.seed) {
      best = std::max(best, common(known.tokens, prompt, limit));
    }
  }
  return best;
}

void World::adopt(Live& live) {
  const std::vector<int32_t> prompt = random_prompt(live.seq.seed);
  const KvCache::Match match = cache_.match(live.seq, prompt);
  const int reach = expected_reach(live.seq, prompt);
  live.pending.clear();
  live.written = 0;
  live.grown = false;

  std::vector<BlockCopy> copies;
  const int length = cache_.adopt(live.seq, prompt, copies);
  run_copies(copies);

  CHECK(
      prompt.empty() ? length == 0 : length < static_cast<int>(prompt.size()));
  CHECK_EQUAL(live.seq.table.n_tokens, length);
  CHECK(length <= reach);
  CHECK(match.own <= reach && match.shared <= reach);
  CHECK(length >= match.own);
  if (ample) {
    CHECK_EQUAL(length, reach);
  }
  for (int i = 0; i < length; i++) {
    CHECK_EQUAL(live.seq.tokens[i], prompt[i]);
  }
  adopted_tokens += length;
}

void World::grow(Live& live) {
  const uint64_t before = refused;
  reserve(live);
  if (refused > before && below(3) > 0) {
    release(any()); // preempt somebody
  }
}

void World::reserve(Live& live) {
  const int held =
      static_cast<int>(live.seq.tokens.size() + live.pending.size());
  const int n = std::min(below(10), kMaxTokens - held);
  const int total = static_cast<int>(live.pending.size()) + n;
  const bool can = cache_.can_grow(live.seq, total);
  const auto table = live.seq.table.blocks;
  std::vector<int> available;
  std::vector<int> counts;
  bool enough = true;
  for (int g = 0; g < cache_.pool().groups(); g++) {
    available.push_back(cache_.pool().available(g));
    enough = enough && cache_.need(live.seq, total, g) <= available[g];
  }
  CHECK_EQUAL(can, enough);

  std::vector<BlockCopy> copies;
  CHECK_EQUAL(cache_.reserve(live.seq, total, copies), can);
  if (!can) {
    refused++;
    CHECK(copies.empty());
    CHECK(live.seq.table.blocks == table);
    for (int g = 0; g < cache_.pool().groups(); g++) {
      CHECK_EQUAL(cache_.pool().available(g), available[g]);
    }
    return;
  }
  run_copies(copies);
  const auto tokens = random_tokens(n);
  live.pending.insert(live.pending.end(), tokens.begin(), tokens.end());
}

void World::write(Live& live) {
  std::vector<int32_t> tokens = live.seq.tokens;
  tokens.insert(tokens.end(), live.pending.begin(), live.pending.end());
  const auto prints = fingerprints(live.seq.seed, tokens);
  const int waiting = static_cast<int>(live.pending.size()) - live.written;
  const int n = below(2) ? waiting : below(waiting + 1);
  const int begin = static_cast<int>(live.seq.tokens.size()) + live.written;
  for (int g = 0; g < cache_.pool().groups(); g++) {
    for (int p = begin; p < begin + n; p++) {
      const BlockId id = live.seq.table.blocks[g][p / spec_.block_tokens];
      const int slot = p % spec_.block_tokens;
      content_[g][id * spec_.block_tokens + slot] = prints[p];
    }
  }
  live.written += n;
}

void World::commit(Live& live) {
  const int n = below(2) ? live.written : below(live.written + 1);
  cache_.commit(live.seq, std::span(live.pending).first(n));
  live.grown = live.grown || n > 0;
  live.pending.erase(live.pending.begin(), live.pending.begin() + n);
  live.written -= n;
  const int tokens = live.seq.table.n_tokens;
  remember(live.seq, tokens - tokens % spec_.block_tokens);
}

void World::truncate(Live& live) {
  const int before = live.seq.table.n_tokens;
  const int n = below(3) > 0 ? std::max(0, before - 1) : below(before + 1);
  cache_.truncate(live.seq, n);
  live.pending.clear();
  live.written = 0;
  CHECK(live.seq.table.n_tokens <= n);
  const bool global_only = spec_.groups.size() == 1 &&
      spec_.groups[0].kind == AttentionKind::kGlobal;
  if (global_only || (live.grown && n == before - 1)) {
    CHECK_EQUAL(live.seq.table.n_tokens, n);
  }
  live.grown = false;
  if (ample) {
    CHECK(live.seq.table.n_tokens >= n - n % spec_.block_tokens);
  }
}

void World::fork(Live& live) {
  if (live_.size() == kMaxLive) {
    return;
  }
  std::vector<int> used;
  for (int g = 0; g < cache_.pool().groups(); g++) {
    used.push_back(cache_.pool().used(g));
  }
  Live copy{cache_.fork(live.seq), {}, 0, live.grown};
  for (int g = 0; g < cache_.pool().groups(); g++) {
    CHECK_EQUAL(cache_.pool().used(g), used[g]);
  }
  CHECK(copy.seq.tokens == live.seq.tokens);
  live_.push_back(std::move(copy));
}

void World::publish(Live& live) {
  cache_.publish_tail(live.seq);
  remember(live.seq, live.seq.table.n_tokens);
}

void World::release(Live& live) {
  cache_.release(live.seq);
  CHECK_EQUAL(live.seq.table.n_tokens, 0);
  CHECK(live.seq.tokens.empty());
  live_.erase(live_.begin() + (&live - live_.data()));
}

void World::drop_cached(Live&) {
  if (ample || below(5) > 0) {
    return;
  }
  cache_.drop_cached();
  for (int g = 0; g < cache_.pool().groups(); g++) {
    CHECK_EQUAL(cache_.pool().cached(g), 0);
  }
}

void World::remember(const CachedSequence& seq, int tokens) {
  if (tokens == 0) {
    return;
  }
  known_.push_back(
      {seq.seed, {seq.tokens.begin(), seq.tokens.begin() + tokens}});
}

void World::run_copies(const std::vector<BlockCopy>& list) {
  for (const BlockCopy& copy : list) {
    CHECK(copy.src != copy.dst);
    CHECK(copy.n_tokens > 0 && copy.n_tokens < spec_.block_tokens);
    std::vector<uint64_t>& content = content_[copy.group];
    std::copy_n(
        content.begin() + copy.src * spec_.block_tokens,
        copy.n_tokens,
        content.begin() + copy.dst * spec_.block_tokens);
    copies++;
  }
}

void World::check() const {
  check_counts();
  for (const Live& live : live_) {
    check_sequence(live);
  }
}

void World::check_counts() const {
  const BlockPool& pool = cache_.pool();
  for (int g = 0; g < pool.groups(); g++) {
    CHECK_EQUAL(pool.free(g) + pool.cached(g) + pool.used(g), capacity_[g]);
    std::vector<int> holders(capacity_[g], 0);
    for (const Live& live : live_) {
      for (const BlockId id : live.seq.table.blocks[g]) {
        if (id != kNoBlock) {
          holders[id]++;
        }
      }
    }
    int used = 0;
    for (BlockId id = 0; id < capacity_[g]; id++) {
      CHECK_EQUAL(pool.count(g, id), holders[id]);
      used += holders[id] > 0;
    }
    CHECK_EQUAL(pool.used(g), used);
  }
}

void World::check_sequence(const Live& live) const {
  const CachedSequence& seq = live.seq;
  CHECK_EQUAL(seq.tokens.size(), static_cast<size_t>(seq.table.n_tokens));
  CHECK_EQUAL(seq.hashes.size(), seq.tokens.size() / spec_.block_tokens);
  for (int g = 0; g < cache_.pool().groups(); g++) {
    check_table(live, g);
    check_content(live, g);
  }
}

void World::check_table(const Live& live, int group) const {
  const CachedSequence& seq = live.seq;
  const std::vector<BlockId>& blocks = seq.table.blocks[group];
  const int tokens = seq.table.n_tokens;
  const int room = tokens + static_cast<int>(live.pending.size());
  const int size = static_cast<int>(blocks.size());
  CHECK(size >= spec_.blocks_covering(room));
  CHECK(seq.room > tokens || size == spec_.blocks_covering(tokens));

  const LayerGroup& layers = spec_.groups[group];
  const bool sliding = layers.kind == AttentionKind::kSliding;
  // The next token sees window - 1 tokens behind itself.
  const int attended = sliding ? std::max(0, tokens - layers.window + 1) : 0;
  int held = 0;
  for (int i = 0; i < size; i++) {
    const bool needed = (i + 1) * spec_.block_tokens > attended;
    CHECK(!needed || blocks[i] != kNoBlock);
    CHECK(i == 0 || blocks[i] != kNoBlock || blocks[i - 1] == kNoBlock);
    held += blocks[i] != kNoBlock && i < spec_.blocks_covering(tokens);
  }
  CHECK(!sliding || held <= spec_.blocks_covering(layers.window) + 1);
}

/// Held blocks in front of the window must be right too: a cut may come to
/// rely on them.
void World::check_content(const Live& live, int group) const {
  const std::vector<BlockId>& blocks = live.seq.table.blocks[group];
  std::vector<int32_t> tokens = live.seq.tokens;
  tokens.insert(
      tokens.end(), live.pending.begin(), live.pending.begin() + live.written);
  const auto prints = fingerprints(live.seq.seed, tokens);
  for (int p = 0; p < static_cast<int>(tokens.size()); p++) {
    const BlockId id = blocks[p / spec_.block_tokens];
    if (id != kNoBlock) {
      const int slot = p % spec_.block_tokens;
      CHECK_EQUAL(content_[group][id * spec_.block_tokens + slot], prints[p]);
    }
  }
}

} // namespace simulator

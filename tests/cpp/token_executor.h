// An executor for tests of the engine: its "K and V" are the token ids, and
// the next token is a hash of everything the blocks say the sequence holds.
// One wrong, stale or missing block and the answer differs from expected().
#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <thread>

#include "exec/executor.h"

namespace stomp {

class TokenExecutor : public Executor {
 public:
  explicit TokenExecutor(int vocab) : vocab_(vocab) {}

  /// The token that follows these.
  static int32_t expected(std::span<const int32_t> tokens, int vocab) {
    uint64_t h = 1469598103934665603ull;
    for (const int32_t t : tokens) {
      h = (h ^ static_cast<uint64_t>(t + 1)) * 1099511628211ull;
    }
    return static_cast<int32_t>((h >> 20) % vocab);
  }

  /// The same, where texts repeat themselves.
  int32_t next(std::span<const int32_t> tokens) const {
    const int32_t fresh = expected(tokens, vocab_);
    const auto back = static_cast<size_t>(period);
    const bool again = period > 0 && tokens.size() >= back && fresh % 16 != 0;
    return again ? tokens[tokens.size() - back] : fresh;
  }

  ExecutorInfo info() const override {
    return {"cpu", "cpu", "tokens", numerics, 1, 4};
  }
  ExecutorMemory memory() const override { return {}; }
  void load(std::shared_ptr<const Model>, const std::function<void(double)>&)
      override {}

  void allocate_pool(const ModelCacheSpec& spec, const std::vector<int>& blocks)
      override {
    spec_ = spec;
    pool_.assign(
        static_cast<size_t>(blocks[0]) * spec.block_tokens, int32_t{-1});
    held_.reserve(pool_.size());
  }

  Ticket submit(const Step& step) override {
    if (before_step) {
      before_step(step);
    }
    results_.push_back(std::move(spare_));
    spare_ = {};
    Flight& flight = results_.back();
    flight.ticket = ++ticket_;
    flight.tokens.clear();
    flight.logits.resize(std::max(flight.logits.size(), step.slices.size()));
    size_t rows = 0;
    for (const Slice& s : step.slices) {
      rows += s.tokens.size();
      for (size_t i = 0; i < s.tokens.size(); i++) {
        *slot(*s.table, s.position + static_cast<int>(i)) = s.tokens[i];
      }
      held_.clear();
      const int end = s.position + static_cast<int>(s.tokens.size());
      for (int p = 0; p < end; p++) {
        held_.push_back(*slot(*s.table, p));
      }
      answer(s, flight);
    }
    max_rows = std::max(max_rows, rows);
    return ticket_;
  }

  using Executor::collect;
  void collect(Ticket ticket, StepResult& result) override {
    if (results_.empty() || results_.front().ticket != ticket) {
      throw std::logic_error("tickets are collected once and in order");
    }
    spare_ = std::move(results_.front()); // its logits stay valid for a while
    results_.erase(results_.begin());
    result.tokens = spare_.tokens;
    result.logits.assign(
        spare_.logits.begin(),
        spare_.logits.begin() + static_cast<ptrdiff_t>(spare_.tokens.size()));
  }

  /// As an executor with threads does it, last ones first.
  void parallel(int n, const std::function<void(int)>& f) override {
    if (n < 2 || !threaded) {
      Executor::parallel(n, f);
      return;
    }
    std::vector<std::thread> threads;
    for (int i = n - 1; i >= 0; i--) {
      threads.emplace_back(f, i);
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }

  void copy_blocks(std::span<const BlockCopy> copies) override {
    if (!copies.empty() && fail_copies > 0) {
      fail_copies--;
      throw std::runtime_error("no copies");
    }
    blocks_copied += copies.size();
    for (const BlockCopy& c : copies) {
      std::memcpy(
          &pool_[static_cast<size_t>(c.dst) * spec_.block_tokens],
          &pool_[static_cast<size_t>(c.src) * spec_.block_tokens],
          c.n_tokens * sizeof(int32_t));
    }
  }

  // Neutral layout: a token's bytes are its id, repeated.
  void read_block(int, BlockId id, int n, std::span<std::byte> bytes) override {
    for (int i = 0; i < n; i++) {
      std::memcpy(
          bytes.data() + i * sizeof(int32_t),
          &pool_[static_cast<size_t>(id) * spec_.block_tokens + i],
          sizeof(int32_t));
    }
  }
  void write_block(int, BlockId id, int n, std::span<const std::byte> bytes)
      override {
    bytes_written += bytes.size();
    for (int i = 0; i < n; i++) {
      std::memcpy(
          &pool_[static_cast<size_t>(id) * spec_.block_tokens + i],
          bytes.data() + i * sizeof(int32_t),
          sizeof(int32_t));
    }
  }

  std::function<void(const Step&)> before_step;
  std::function<bool(const Slice&)> spoil; // whose rows are to be no numbers
  int period = 0; // most tokens are what came so many tokens before; 0: none
  int fail_copies = 0; // of the next calls that have some to make
  size_t max_rows = 0;
  size_t blocks_copied = 0;
  std::atomic<size_t> bytes_written = 0; // by write_block
  bool threaded = false;
  std::string numerics = "tokens";

 private:
  struct Flight;

  /// What the slice wants, by the tokens in held_.
  void answer(const Slice& s, Flight& flight) {
    const bool wants = s.output != Output::kNone;
    std::vector<float>& logits = flight.logits[flight.tokens.size()];
    flight.tokens.push_back(wants ? next(held_) : -1);
    logits.clear();
    if (s.output == Output::kLogits) {
      logits.assign(vocab_, 0.0f);
      logits[flight.tokens.back()] = 1.0f;
      if (spoil && spoil(s)) {
        logits[0] = std::numeric_limits<float>::quiet_NaN();
      }
    } else if (s.output == Output::kAllLogits) {
      logits.assign(vocab_ * s.tokens.size(), 0.0f);
      for (size_t i = 0; s.decode && i < s.tokens.size(); i++) {
        const size_t known = held_.size() - s.tokens.size() + i + 1;
        const int32_t token = next(std::span(held_).first(known));
        logits[i * vocab_ + token] = 1.0f;
      }
    }
  }

  int32_t* slot(const BlockTable& table, int position) {
    const BlockId id = table.blocks[0].at(position / spec_.block_tokens);
    if (id == kNoBlock) {
      throw std::logic_error("a step reads a block that is gone");
    }
    return &pool_
        [static_cast<size_t>(id) * spec_.block_tokens +
         position % spec_.block_tokens];
  }

  int vocab_;
  ModelCacheSpec spec_;
  std::vector<int32_t> pool_;
  std::vector<int32_t> held_;
  struct Flight {
    Ticket ticket = kNoTicket;
    std::vector<int32_t> tokens;            // by slice
    std::vector<std::vector<float>> logits; // by slice, perhaps more
  };
  std::vector<Flight> results_; // not collected, oldest first
  Flight spare_;
  Ticket ticket_ = kNoTicket;
};

} // namespace stomp

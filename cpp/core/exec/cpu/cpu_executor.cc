// The CPU executor: a step is run when it is submitted, by the calling thread
// and the pool's; collect() only hands over what is there.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "exec/cpu/cpu_ops.h"
#include "exec/cpu/kernel_choice.h"
#include "exec/cpu/kv_pool.h"
#include "exec/cpu/step_rows.h"
#include "exec/executor.h"
#include "model/decoder.h"

namespace stomp {

namespace {

// What a token's arithmetic is. Answers, and everything when numerics are
// exact: int8 activations under a scale for each 32, exact sums within such a
// group, f32 across groups; f32 attention over f16 K and V, or over codes of
// them, 64 positions a piece, 128 a span. Every kernel table computes just
// this. Prompts, where there are matrix units and numerics are fast: bf16
// throughout with f32 sums.
constexpr const char* kExactNumerics = "cpu-int8-v1";
constexpr const char* kTileNumerics = "cpu-int8-bf16-v1";
// Widening all weights to bf16 takes as long as multiplying so many rows.
constexpr int kTileChunkTokens = 64;

/// What a cache of so many bits adds to the numerics.
const char* kv_name(int bits) {
  return bits == 16 ? "-kv-f16" : bits == 8 ? "-kv-q8" : "-kv-q4";
}

std::string wanted_isa() {
  const char* name = std::getenv("STOMP_CPU_ISA");
  return name ? name : "";
}

/// A step's results, until it is collected and then until the next call that
/// may reuse them.
struct Flight {
  Ticket ticket = kNoTicket;
  std::vector<int32_t> tokens; // by slice, -1 where none or not a number
  std::vector<int> first_wanted, n_wanted; // by slice
  std::vector<Output> outputs;             // by slice
  cpu::StepLogits logits;
};

class CpuExecutor : public Executor {
 public:
  explicit CpuExecutor(const ExecutorOptions& options)
      : kernels_(cpu::choose_kernels(wanted_isa())),
        threads_(options.threads > 0 ? options.threads : usable_cores()),
        max_step_tokens_(options.max_step_tokens),
        kv_bits_(options.kv_bits),
        tiles_(kernels_.tiles && !options.exact) {}

  ExecutorInfo info() const override {
    ExecutorInfo info;
    info.name = "cpu";
    info.device = "cpu";
    info.isa = kernels_.isa;
    info.numerics = std::string(tiles_ ? kTileNumerics : kExactNumerics) +
        kv_name(kv_bits_);
    info.threads = threads_.size();
    info.kv = cpu::kv_format(kv_bits_);
    if (tiles_) {
      info.min_chunk_tokens = kTileChunkTokens;
    }
    return info;
  }

  ExecutorMemory memory() const override {
    ExecutorMemory memory;
    if (ops_) {
      memory.weights_bytes = ops_->weights_bytes();
      memory.scratch_bytes = ops_->scratch_bytes();
    }
    memory.pool_bytes = pool_.bytes();
    for (const Flight& flight : flights_) {
      memory.scratch_bytes += flight.logits.rows.size();
    }
    return memory;
  }

  void load(
      std::shared_ptr<const Model> model,
      const std::function<void(double)>& progress) override {
    model_ = std::move(model);
    ops_ = std::make_unique<cpu::CpuOps>(
        model_->config, kernels_, threads_, max_step_tokens_, tiles_);
    decoder_ = std::make_unique<Decoder<cpu::CpuOps>>(
        *ops_, *model_, [&progress](int done, int total) {
          progress(static_cast<double>(done) / total);
        });
  }

  void allocate_pool(
      const ModelCacheSpec& spec,
      const std::vector<int>& blocks_per_group) override {
    // The numerics id tells of the executor's.
    if (spec.kv.bits != kv_bits_) {
      throw std::logic_error("a pool of other kv_bits than the executor's");
    }
    pool_ = cpu::KvPool(spec, blocks_per_group, kernels_);
    ops_->use(pool_);
  }

  Ticket submit(const Step& step) override {
    rows_.assign(
        step, [this](const Slice& slice) { return source_token(slice); });
    if (rows_.n() > max_step_tokens_) {
      throw std::logic_error("a step carries more rows than max_step_tokens");
    }
    Flight flight = next_flight();
    ops_->begin(rows_, flight.logits);
    decoder_->forward(*ops_);
    take_results(flight);
    flights_.push_back(std::move(flight));
    return flights_.back().ticket;
  }

  using Executor::collect;
  void collect(Ticket ticket, StepResult& result) override {
    retire();
    if (uncollected_ == flights_.size() ||
        flights_[uncollected_].ticket != ticket) {
      throw std::logic_error("tickets are collected once and in order");
    }
    const Flight& flight = flights_[uncollected_++];
    result.tokens = flight.tokens;
    result.logits.resize(flight.tokens.size());
    for (size_t i = 0; i < flight.tokens.size(); i++) {
      require_numbers(flight, i);
      result.logits[i] = logits_of(flight, i);
    }
  }

  void parallel(int n, const std::function<void(int)>& f) override {
    threads_.run(n, [&f](int i, int) noexcept { f(i); });
  }

  void copy_blocks(std::span<const BlockCopy> copies) override {
    for (const BlockCopy& copy : copies) {
      pool_.copy(copy);
    }
  }

  void read_block(
      int group,
      BlockId id,
      int n_tokens,
      std::span<std::byte> bytes) override {
    pool_.read(group, id, n_tokens, bytes);
  }

  void write_block(
      int group,
      BlockId id,
      int n_tokens,
      std::span<const std::byte> bytes) override {
    pool_.write(group, id, n_tokens, bytes);
  }

 private:
  /// The token that an earlier step produced for this slice.
  int32_t source_token(const Slice& slice) const {
    for (const Flight& flight : flights_) {
      if (flight.ticket == slice.source.ticket) {
        const int32_t token = flight.tokens.at(slice.source.slice);
        if (token < 0) {
          throw Error(
              Code::kGenerationFailed,
              "the step before this one produced no token to go on from; "
              "start the request again");
        }
        return token;
      }
    }
    throw std::logic_error("the source's ticket is no longer held");
  }

  /// Drops the step collected last: its logits are no longer valid. One more
  /// stays, as a source for the step that is being built.
  void retire() {
    while (uncollected_ > 1) {
      spare_.push_back(std::move(flights_.front()));
      flights_.erase(flights_.begin()); // of two or three
      uncollected_--;
    }
  }

  Flight next_flight() {
    retire();
    Flight flight;
    if (!spare_.empty()) {
      flight = std::move(spare_.back());
      spare_.pop_back();
    }
    flight.ticket = ++last_ticket_;
    return flight;
  }

  void take_results(Flight& flight) {
    flight.tokens.clear();
    flight.first_wanted.clear();
    flight.n_wanted.clear();
    flight.outputs.clear();
    for (const cpu::SliceRows& rows : rows_.slices) {
      const int last = rows.first_wanted + rows.n_wanted - 1;
      flight.tokens.push_back(
          rows.n_wanted ? flight.logits.best[last].index : -1);
      flight.first_wanted.push_back(rows.first_wanted);
      flight.n_wanted.push_back(rows.n_wanted);
      flight.outputs.push_back(rows.slice->output);
      if (rows.n_wanted > 1) {
        close_up(flight.logits, rows);
      }
    }
  }

  /// Several rows are handed out as one span: removes the padding between
  /// them.
  void close_up(cpu::StepLogits& logits, const cpu::SliceRows& rows) const {
    const size_t vocab = model_->config.vocab_size;
    if (logits.stride == vocab) {
      return;
    }
    float* first = logits.rows.as<float>() + rows.first_wanted * logits.stride;
    for (int i = 1; i < rows.n_wanted; i++) {
      const float* from = first + i * logits.stride;
      std::copy(from, from + vocab, first + i * vocab);
    }
  }

  void require_numbers(const Flight& flight, size_t slice) const {
    for (int i = 0; i < flight.n_wanted[slice]; i++) {
      if (flight.logits.best[flight.first_wanted[slice] + i].index < 0) {
        throw Error(
            Code::kGenerationFailed,
            "the model produced logits that are not finite numbers; check "
            "that its weights are sound",
            {{"slice", std::to_string(slice)}});
      }
    }
  }

  std::span<const float> logits_of(const Flight& flight, size_t slice) const {
    if (flight.outputs[slice] != Output::kLogits &&
        flight.outputs[slice] != Output::kAllLogits) {
      return {};
    }
    return {
        flight.logits.row(flight.first_wanted[slice]),
        static_cast<size_t>(flight.n_wanted[slice]) *
            model_->config.vocab_size};
  }

  const cpu::Kernels& kernels_;
  ThreadPool threads_;
  const int max_step_tokens_;
  const int kv_bits_;
  const bool tiles_; // prompts on the matrix units
  std::shared_ptr<const Model> model_;
  cpu::KvPool pool_;
  std::unique_ptr<cpu::CpuOps> ops_;
  std::unique_ptr<Decoder<cpu::CpuOps>> decoder_;
  cpu::StepRows rows_;
  std::vector<Flight> flights_; // ascending; the first `uncollected_` are
  size_t uncollected_ = 0;      // collected: index of the first that is not
  std::vector<Flight> spare_;
  Ticket last_ticket_ = kNoTicket;
};

} // namespace

std::unique_ptr<Executor> make_cpu_executor(const ExecutorOptions& options) {
  check_kv_bits(options.kv_bits);
  return std::make_unique<CpuExecutor>(options);
}

} // namespace stomp

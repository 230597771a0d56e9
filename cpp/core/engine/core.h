// The engine without its thread: a deterministic state machine that is told
// what to do and then asked to work() until there is nothing left. Engine
// thread only; tests drive it directly.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cache/kv_cache.h"
#include "engine/admission_queue.h"
#include "engine/agent_store.h"
#include "engine/chooser.h"
#include "engine/engine.h"
#include "engine/grammar_cache.h"
#include "engine/restore.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"

namespace stomp {

class EngineCore {
 public:
  /// `executor` has the model loaded and no pool yet. `wake` may be called
  /// from any thread when work() has become worth calling again. Throws what
  /// plan_pool and DiskTier throw.
  EngineCore(
      const EngineOptions& options,
      std::shared_ptr<const Model> model,
      std::unique_ptr<Executor> executor,
      Engine::OnStep on_step,
      std::function<void()> wake,
      std::shared_ptr<GrammarCache> grammars =
          std::make_shared<GrammarCache>());
  ~EngineCore();

  EngineInfo info() const;
  EngineStats stats() const;
  AgentStore& agents() { return *agents_; }
  GrammarCache& grammars() { return *grammars_; }

  void submit(Request request);
  void cancel(int32_t request);
  void cancel_agent(const std::string& agent);
  /// See Engine.
  void set_batch_window(int milliseconds);
  void
  clear_caches(bool disk, std::set<std::string> keep, const Engine::Done& done);
  /// From now on requests are refused; those that run are cancelled.
  void shut_down();

  /// After work() has thrown: ends every request with this error.
  void fail_all(const Error& error);

  /// One turn: cancellations, admission, restores, one step, saves. Returns
  /// false when only a command or wake() can bring new work, or the end of a
  /// wait for more requests.
  bool work();
  /// Until when the last work() has kept requests back for more to come.
  std::optional<Clock::time_point> kept_back_until() const {
    return kept_back_until_;
  }

 private:
  // core.cc: life of a request
  uint64_t seed_of(const std::string& salt) const;
  void check(const Request& request) const;
  void check_tokens(const char* what, std::span<const int32_t> tokens) const;
  void check_guidance(const Request& request) const;
  void prepare(Sequence& seq);
  std::optional<Clock::time_point> gathering_until() const;
  void finish(Sequence& seq, Finish reason, std::optional<Error> error = {});
  void for_each(const std::function<void(Sequence&)>& f); // active, waiting
  void sweep(); // takes finished and cancelled sequences out
  void emit();
  /// Runs a request's own work: what it throws ends that request alone. False
  /// when it did.
  template <class Work>
  bool guarded(Sequence& seq, const Work& work) {
    try {
      work();
      return true;
    } catch (const std::exception& e) {
      finish(seq, Finish::kError, as_error(e, Code::kGenerationFailed));
      return false;
    }
  }
  /// Makes copies_, all for the request's agent.
  void copy_blocks(Sequence& seq);

  // admission.cc: waiting -> restoring -> prefill
  bool admit();
  enum class Admission { kAdmitted, kWait, kRefuse };
  bool admit_next(Sequence& seq);
  Admission find_place(Sequence& seq);
  Admission try_admit(Sequence& seq);
  void refuse(Sequence& seq);
  void plan_restore(Sequence& seq);
  void begin_restore(Sequence& seq, std::unique_ptr<AgentFileReader> file);
  void adopt(Sequence& seq);
  Admission make_room(const Sequence& seq);
  int promised(int group) const; // blocks that active sequences may take
  int need(const Sequence& seq, int tokens, int group) const;
  int room(int group) const; // blocks that nobody holds or was promised
  /// Grows when idle agents, saved ones or computed prompts may have made it
  /// easier to admit somebody.
  uint64_t changes() const;
  bool worth_another_try(const Sequence& seq) const;
  void note_standing(Sequence& seq) const;
  void start(SequencePtr seq);
  bool restore();
  bool waits_for_room(Sequence& seq);
  bool restore_blocks(Sequence& seq);
  void restored(Sequence& seq); // as far as it goes

  // preemption.cc: back from the batch into the queue
  bool preempt_behind(const Sequence& seq);
  bool preempt_for(const Sequence& seq);
  void preempt(std::list<SequencePtr>::iterator victim);

  // step.cc: one batch
  bool step();
  void find_ready();
  /// Somebody admitted earlier is computing the blocks that come next here.
  bool waits_for_prefix(const Sequence& seq) const;
  /// Takes over what others have computed since admission.
  void share_more(Sequence& seq);
  /// Rows for each that is ready.
  std::span<int> plan();
  void draft();
  /// Fewer where there is no room for a draft.
  bool reserve(Sequence& seq, int& rows);
  Slice slice_of(const Sequence& seq, int rows) const;
  void run();
  void fail(const Error& error, bool copied);
  /// Chooses the tokens that the executor did not.
  void sample();
  void advance(size_t part);
  void announce(Sequence& seq);
  void accept(Sequence& seq, const Choice& choice);
  void answer(Sequence& seq, std::span<const Choice> choices);
  void note_draft(Sequence& seq, int accepted);
  void begin_answer(Sequence& seq);
  void score(Sequence& seq, int rows, std::span<const float> logits);

  EngineOptions options_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<AgentStore> agents_;
  Engine::OnStep on_step_;
  int max_context_ = 0;
  std::string numerics_;

  const std::shared_ptr<GrammarCache> grammars_;
  Scheduler scheduler_;
  AdmissionQueue waiting_;
  std::list<SequencePtr> active_; // by priority, then in order of admission
  bool short_of_room_ = false;    // somebody's next step had to wait for blocks
  std::map<int32_t, Sequence*> by_id_;
  std::map<Sequence*, Restore> restores_;

  // Of the step under way, kept so that a step allocates nothing.
  struct Part {
    Sequence* seq;
    int rows;
  };
  std::vector<Sequence*> ready_;
  std::vector<Load> loads_; // of those
  std::vector<Part> batch_;
  std::vector<BlockCopy> copies_;
  Step step_;                     // a slice for each part
  StepResult result_;             // likewise
  std::vector<size_t> sampled_;   // parts that wait for a token to be chosen
  std::vector<Chooser> choosers_; // one each
  // By part; none: the executor's choice.
  std::vector<std::span<const Choice>> choices_;
  StepEvents events_;

  bool shutting_down_ = false;
  std::optional<Clock::time_point> kept_back_until_;

  CacheUse use_;
  uint64_t finished_ = 0; // requests
  uint64_t steps_ = 0;
  uint64_t prefill_tokens_ = 0;
  uint64_t decode_tokens_ = 0;
  uint64_t drafted_tokens_ = 0;
  uint64_t accepted_tokens_ = 0;
  uint64_t preemptions_ = 0;
  double step_seconds_ = 0;
};

} // namespace stomp

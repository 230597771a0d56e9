// The queue of admission at random, for as long as one likes: nobody waits for
// more than the lines, the classes and its own length allow.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

#include "check.h"
#include "engine/admission_queue.h"

using namespace stomp;

namespace {

constexpr int kQuantum = AdmissionQueue::kQuantumTokens;
constexpr int kLongest = 3 * kQuantum; // a request, in tokens
constexpr int kAgents = 9;             // a third in each class

/// Turns of other classes between two turns of a class whose requests wait. The
/// higher ones pass it so often; each of the lower ones may be due once
/// meanwhile, but not twice, since for that it must be passed more often.
int most_between(int priority) {
  return AdmissionQueue::kPasses[priority] + kPriorities - 1 - priority;
}

/// Requests come, go, are cancelled and are preempted; after every turn all who
/// could have had it are looked at.
class AdmissionSimulator {
 public:
  explicit AdmissionSimulator(unsigned seed) : random_(seed) {}

  void run(uint64_t turns) {
    for (turns_ = 0; turns_ < turns;) {
      act();
      note_eligible();
    }
  }

 private:
  /// What has happened since a request was the first of its line, with an agent
  /// that was free.
  struct Wait {
    int own_class = 0; // turns
    int others = 0;
    std::map<std::string, int64_t> tokens; // by line of its class
  };

  /// More come than can go: the queue is full most of the time.
  void act() {
    switch (random_() % 8) {
      case 0:
        end();
        break;
      case 1:
        one_in(2) ? cancel() : preempt();
        break;
      case 2:
      case 3:
        take();
        break;
      default:
        arrive();
    }
  }

  bool one_in(int n) { return random_() % n == 0; }

  void arrive() {
    if (queue_.size() > 60) {
      return;
    }
    auto seq = std::make_unique<Sequence>();
    const int n = static_cast<int>(random_() % (2 * kAgents));
    seq->request.id = ++last_id_;
    seq->request.priority = static_cast<Priority>(n % kPriorities);
    if (n < kAgents) {
      seq->request.agent = "agent" + std::to_string(n);
      std::shared_ptr<Agent>& agent = agents_[seq->request.agent];
      agent = agent ? agent : std::make_shared<Agent>();
      seq->agent = agent;
    } else {
      seq->agent = std::make_shared<Agent>();
    }
    seq->target = 1 + static_cast<int>(random_() % (one_in(4) ? kLongest : 99));
    queue_.push(std::move(seq));
  }

  void take() {
    Sequence* next = queue_.next();
    if (!next) {
      return;
    }
    const int64_t paid = next->preempted ? 0 : next->target;
    SequencePtr seq = queue_.take(*next);
    turns_++;
    seq->agent->running = seq.get();
    waits_.erase(seq->request.id);
    for_each_eligible([&](const Sequence& other) { note(other, *seq, paid); });
    batch_.push_back(std::move(seq));
  }

  /// Another one had its turn.
  void note(const Sequence& waiting, const Sequence& taken, int64_t paid) {
    const auto found = waits_.find(waiting.request.id);
    if (found == waits_.end()) {
      return; // only now
    }
    Wait& wait = found->second;
    if (taken.request.priority == waiting.request.priority) {
      wait.own_class++;
      wait.tokens[taken.request.agent] += paid;
    } else {
      wait.others++;
    }
    check(waiting, wait);
  }

  /// A line saves up less than its longest request before it is passed over,
  /// and in each round of those that the request needs gets a quantum.
  static void check(const Sequence& seq, const Wait& wait) {
    const int c = static_cast<int>(seq.request.priority);
    CHECK(wait.others <= (wait.own_class + 1) * most_between(c));
    const int rounds = (seq.target + kQuantum - 1) / kQuantum;
    for (const auto& [line, tokens] : wait.tokens) {
      CHECK(tokens <= int64_t{rounds} * kQuantum + kLongest);
    }
  }

  void end() {
    if (!batch_.empty()) {
      leave(random_() % batch_.size());
    }
  }

  SequencePtr leave(size_t at) {
    SequencePtr seq = std::move(batch_[at]);
    batch_.erase(batch_.begin() + static_cast<ptrdiff_t>(at));
    seq->agent->running = nullptr;
    return seq;
  }

  void preempt() {
    if (!batch_.empty()) {
      SequencePtr seq = leave(random_() % batch_.size());
      seq->preempted = true;
      queue_.push_front(std::move(seq));
    }
  }

  void cancel() {
    int left = queue_.empty() ? 0 : static_cast<int>(random_() % queue_.size());
    queue_.for_each([&](Sequence& seq) {
      if (left-- == 0) {
        seq.phase = Phase::kDone;
        waits_.erase(seq.request.id);
      }
    });
    queue_.erase_done();
  }

  /// The first of each line, if its agent is free.
  template <class F>
  void for_each_eligible(const F& f) {
    std::map<std::pair<std::string, int>, const Sequence*> first;
    queue_.for_each([&](Sequence& seq) {
      first.try_emplace(
          {seq.request.agent, static_cast<int>(seq.request.priority)}, &seq);
    });
    for (const auto& [line, seq] : first) {
      if (!seq->agent->busy()) {
        f(*seq);
      }
    }
  }

  /// Who waits for its own agent, or behind one that came back, begins anew.
  void note_eligible() {
    std::map<int, Wait> waits;
    for_each_eligible([&](const Sequence& seq) {
      const int id = seq.request.id;
      waits[id] = std::move(waits_[id]);
    });
    waits_ = std::move(waits);
  }

  std::mt19937 random_;
  AdmissionQueue queue_;
  std::map<std::string, std::shared_ptr<Agent>> agents_;
  std::vector<SequencePtr> batch_;
  std::map<int, Wait> waits_; // by request
  uint64_t turns_ = 0;
  int last_id_ = 0;
};

} // namespace

TEST("admission: nobody waits for more than lines, classes and length allow") {
  const char* scale = std::getenv("STOMP_TEST_SCALE");
  const uint64_t turns =
      20000 * (scale ? std::strtoull(scale, nullptr, 10) : 1);
  for (unsigned seed = 1; seed <= 5; seed++) {
    try {
      AdmissionSimulator(seed).run(turns / 5);
    } catch (...) {
      std::printf("      admission: seed %u\n", seed);
      throw;
    }
  }
}

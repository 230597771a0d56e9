// Whose turn it is: agents, classes, long and short requests.
#include "engine/admission_queue.h"

#include <map>
#include <set>

#include "check.h"

using namespace stomp;

namespace {

class Queue {
 public:
  int push(
      const std::string& agent,
      int tokens,
      Priority priority = Priority::kNormal) {
    queue.push(make(agent, tokens, priority));
    return last_;
  }

  SequencePtr make(const std::string& agent, int tokens, Priority priority) {
    auto seq = std::make_unique<Sequence>();
    seq->request.id = ++last_;
    seq->request.agent = agent;
    seq->request.priority = priority;
    seq->target = tokens;
    std::shared_ptr<Agent>& of = agents_[agent];
    if (!of || agent.empty()) {
      of = std::make_shared<Agent>();
    }
    seq->agent = of;
    return seq;
  }

  /// The id of the next, which is taken; 0: nobody.
  int take() {
    Sequence* seq = queue.next();
    return seq ? queue.take(*seq)->request.id : 0;
  }

  std::vector<int> all() {
    std::vector<int> ids;
    while (const int id = take()) {
      ids.push_back(id);
    }
    return ids;
  }

  Agent& agent(const std::string& name) { return *agents_.at(name); }

  AdmissionQueue queue;

 private:
  std::map<std::string, std::shared_ptr<Agent>> agents_;
  int last_ = 0;
};

using Ids = std::vector<int>;

} // namespace

TEST("admission: requests of one agent keep their order, whatever their size") {
  Queue q;
  q.push("a", 9000);
  q.push("a", 10);
  q.push("a", 500, Priority::kHigh);
  CHECK(q.all() == Ids({1, 2, 3}));
  CHECK(q.queue.empty());
}

TEST("admission: an agent with many requests does not hold up one with one") {
  Queue q;
  for (int i = 0; i < 50; i++) {
    q.push("", 2000);
  }
  const int late = q.push("b", 2000);
  q.take();
  CHECK_EQUAL(q.take(), late);
}

TEST("admission: a long request waits for as many turns as it is long") {
  Queue q;
  const int longest = q.push("long", 3 * AdmissionQueue::kQuantumTokens);
  std::set<int> before;
  for (int i = 0; i < 6; i++) {
    q.push("short", AdmissionQueue::kQuantumTokens);
  }
  for (int id = q.take(); id != longest; id = q.take()) {
    before.insert(id);
  }
  CHECK_EQUAL(before.size(), 2u);
}

TEST("admission: agents get tokens alike, not requests alike") {
  Queue q;
  std::map<int, int> size;
  for (int i = 0; i < 100; i++) {
    size[q.push("", 4000)] = 4000;
    size[q.push("b", 1000)] = 1000;
  }
  std::map<int, int> got;
  for (int i = 0; i < 50; i++) {
    got[size[q.take()]]++;
  }
  CHECK(got[1000] >= 36 && got[4000] >= 8);
}

TEST("admission: a request behind one that runs lets others pass") {
  Queue q;
  const int first = q.push("a", 10);
  const int other = q.push("b", 10);
  Sequence running;
  q.agent("a").running = &running;
  CHECK_EQUAL(q.take(), other);
  CHECK_EQUAL(q.take(), 0);
  q.agent("a").running = nullptr;
  CHECK_EQUAL(q.take(), first);
}

TEST("admission: the more urgent class goes first, and the lower ones too") {
  Queue q;
  const int low = q.push("low", 10, Priority::kLow);
  const int normal = q.push("normal", 10);
  std::map<int, int> place;
  for (int i = 0; i < 40; i++) {
    q.push("h" + std::to_string(i), 10, Priority::kHigh);
    place[q.take()] = i;
  }
  CHECK_EQUAL(place.at(normal), AdmissionQueue::kPasses[1]);
  CHECK_EQUAL(place.at(low), AdmissionQueue::kPasses[2]);
}

TEST("admission: an agent is as urgent as the most urgent of its requests") {
  Queue q;
  const int idle = q.push("other", 10);
  const int first = q.push("a", 10, Priority::kLow);
  const int urgent = q.push("a", 10, Priority::kHigh);
  const int after = q.push("a", 10, Priority::kLow);
  CHECK(q.all() == Ids({first, urgent, idle, after}));
}

TEST("admission: what was preempted is next of its class and pays nothing") {
  Queue q;
  const int first = q.push("a", 10);
  SequencePtr back = q.make("b", 100000, Priority::kNormal);
  back->preempted = true;
  const int id = back->request.id;
  q.queue.push_front(std::move(back));
  CHECK(q.all() == Ids({id, first}));
}

TEST("admission: what has ended is dropped, whoever is left goes on") {
  Queue q;
  for (int i = 0; i < 6; i++) {
    q.push(i % 2 ? "a" : "", 10, i == 3 ? Priority::kHigh : Priority::kNormal);
  }
  q.queue.for_each([](Sequence& seq) {
    if (seq.request.id % 2 == 0 && seq.request.id != 6) {
      seq.phase = Phase::kDone;
    }
  });
  q.queue.erase_done();
  CHECK_EQUAL(q.queue.size(), 4);
  const Ids left = q.all();
  CHECK(std::set<int>(left.begin(), left.end()) == std::set<int>({1, 3, 5, 6}));
}

TEST("admission: who cancels requests does not put off others of the line") {
  Queue q;
  const int patient = q.push("", 10);
  for (int i = 0; i < 20; i++) {
    q.push("agent" + std::to_string(i), 10);
    const int regretted = q.push("", 10);
    q.queue.for_each([&](Sequence& seq) {
      if (seq.request.id == regretted) {
        seq.phase = Phase::kDone;
      }
    });
    q.queue.erase_done();
    if (q.take() == patient) {
      CHECK_EQUAL(i, 0);
      return;
    }
  }
  CHECK(false); // passed by everybody
}

// Drafts: found where a text repeats itself, as long as they pay.
#include "engine/speculation.h"

#include <random>

#include "check.h"
#include "engine/scheduler.h"

using namespace stomp;

namespace {

using Tokens = std::vector<int32_t>;

Tokens draft(const Tokens& text, size_t n) {
  PromptLookup lookup;
  lookup.expect(text.size());
  lookup.follow(text);
  Tokens out;
  lookup.draft(text, n, out);
  return out;
}

constexpr DraftTerms kCheap = {.price = 0.01, .most = 8};

/// A text of one token for ever: every draft is full.
struct Rig {
  Tokens text = Tokens(20, 7);
  Speculation speculation{100};

  int propose(const DraftTerms& terms, int most = 100) {
    speculation.propose(text, most, terms);
    return speculation.drafted();
  }
};

} // namespace

TEST("drafts: what came behind the same tokens, the newest of the longest") {
  CHECK(draft({1, 2, 3, 4, 9, 8, 1, 2, 3, 4}, 2) == Tokens({9, 8}));
  CHECK(draft({1, 2, 5, 5, 1, 2, 6, 5, 1, 2}, 2) == Tokens({6, 5}));
  CHECK(draft({3, 1, 2, 6, 4, 1, 2, 7, 3, 1, 2}, 1) == Tokens({6}));
}

TEST("drafts: none where fewer than two tokens came before") {
  CHECK(draft({1, 2, 3, 4, 5, 1}, 4).empty());
  CHECK(draft({1}, 4).empty());
  CHECK(draft({}, 4).empty());
}

TEST("drafts: a text that repeats its end goes on in its draft") {
  CHECK(draft({5, 1, 2, 3, 1, 2, 3}, 7) == Tokens({1, 2, 3, 1, 2, 3, 1}));
  CHECK(draft({4, 4, 4}, 5) == Tokens({4, 4, 4, 4, 4}));
}

TEST("drafts: tables too small for a text still yield what it holds") {
  std::mt19937 random(3);
  PromptLookup lookup;
  lookup.expect(1);
  Tokens text;
  int found = 0;
  for (int i = 0; i < 3000; i++) {
    text.push_back(static_cast<int32_t>(random() % 40));
    lookup.follow(text);
    Tokens out;
    lookup.draft(text, 1, out);
    if (out.empty()) {
      continue;
    }
    found++;
    const Tokens said = {text[i - 1], text[i], out[0]};
    CHECK(!std::ranges::search(text, said).empty());
  }
  CHECK(found > 100);
}

TEST("drafts: longer as they turn out right, shorter and none as they do not") {
  Rig rig;
  const DraftTerms terms = {.price = 0.3, .most = 15};
  const int first = rig.propose(terms);
  for (int i = 0; i < 10; i++) {
    rig.speculation.learn(rig.propose(terms));
  }
  CHECK(rig.propose(terms) > first);
  for (int i = 0; i < 40; i++) {
    if (rig.propose(terms) > 0) {
      rig.speculation.learn(0);
    }
  }
  CHECK_EQUAL(rig.propose(terms), 0);
}

TEST("drafts: what has not paid is tried again, and may pay again") {
  Rig rig;
  const DraftTerms terms = {.price = 0.5, .most = 15};
  for (int i = 0; i < 20; i++) {
    rig.propose(terms);
    rig.speculation.learn(0);
  }
  int tried = 0;
  for (int i = 0; i < 500; i++) {
    const int n = rig.propose(terms);
    tried += n > 0;
    CHECK(n <= 2);
  }
  CHECK(tried >= 5 && tried <= 15);
  for (int i = 0; i < 1000; i++) {
    if (const int n = rig.propose(terms)) {
      rig.speculation.learn(n);
    }
  }
  CHECK(rig.propose(terms) > 2);
}

TEST("drafts: no longer than they may be, none where none may") {
  Rig rig;
  CHECK_EQUAL(rig.propose(kCheap), 8);
  CHECK_EQUAL(rig.propose(kCheap, 3), 3);
  CHECK_EQUAL(rig.propose(kCheap, 0), 0);
  CHECK_EQUAL(rig.propose({}), 0);
  CHECK_EQUAL(rig.speculation.rows().size(), size_t{1});
}

TEST("drafts: dear rows for many answers are not worth it, cheap ones are") {
  Scheduler s({.prefill_step_tokens = 512});
  CHECK_EQUAL(s.draft_terms(1).most, 0); // no step has been measured yet
  for (int i = 0; i < 50; i++) {
    s.observe({.decode = 2}, 0.010);
    s.observe({.decode = 2, .draft = 4}, 0.014); // 1 ms a row
  }
  s.observe({.decode = 2}, 0.010);
  const DraftTerms one = s.draft_terms(1);
  CHECK(one.price > 0.09 && one.price < 0.11);
  CHECK_EQUAL(one.most, kDraftRows);
  const DraftTerms five = s.draft_terms(5);
  CHECK(five.price > 0.45 && five.price < 0.55);
  CHECK(five.most == 2 || five.most == 1); // all together no more than a step
}

TEST("drafts: a step without any is made now and then, to compare with") {
  Scheduler s({.prefill_step_tokens = 512});
  s.observe({.decode = 1}, 0.010);
  int plain = 0;
  for (int i = 0; i < 1000; i++) {
    const bool drafts = s.draft_terms(1).most > 0;
    plain += !drafts;
    s.observe({.decode = 1, .draft = drafts ? 4 : 0}, 0.010);
  }
  CHECK(plain >= 10 && plain <= 20);
}

TEST(
    "drafts: prompts beside answers with drafts get their share all the same") {
  Scheduler s({.prefill_step_tokens = 512});
  for (int i = 0; i < 50; i++) {
    s.observe({.prefill = 512}, 0.512); // 1 ms a row
    s.observe({.decode = 2}, 0.020);
    s.observe({.decode = 2, .draft = 8}, 0.028);
    s.observe({.decode = 2, .draft = 8, .prefill = 20}, 0.048);
  }
  std::vector<Load> loads = {
      {.decoding = true, .drafted = 8}, {.pending = 4000}};
  const std::span<const int> rows = s.plan(loads);
  CHECK_EQUAL(rows[0], 9);
  CHECK(rows[1] >= 18 && rows[1] <= 22);
}

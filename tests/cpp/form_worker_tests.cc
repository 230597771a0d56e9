#include "engine/form_worker.h"

#include <condition_variable>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "engine/grammar_cache.h"

using namespace stomp;

namespace {

/// Every byte is a token.
void give_bytes(GrammarCache& cache) {
  std::vector<char> bytes;
  std::vector<int32_t> ends;
  for (int b = 0; b < 256; b++) {
    bytes.push_back(static_cast<char>(b));
    ends.push_back(b + 1);
  }
  cache.set_vocabulary(bytes, ends);
}

std::string word(const std::string& text) {
  return R"({"rules":{"root":{"text":")" + text + R"("}}})";
}

} // namespace

TEST("forms are made one after the other, and what fails says why") {
  std::string order;
  std::promise<std::optional<Error>> last;
  FormWorker worker;
  worker.run(
      [&] { order += 'a'; },
      [&](const std::optional<Error>& error) { order += error ? '!' : 'b'; });
  worker.run(
      [&] {
        order += 'c';
        throw Error(Code::kInvalidRequest, "no grammar");
      },
      [&](std::optional<Error> error) { last.set_value(std::move(error)); });
  const std::optional<Error> error = last.get_future().get();
  CHECK_EQUAL(order, std::string("abc"));
  CHECK(error && error->code() == Code::kInvalidRequest);
}

TEST("an engine that is closed finishes the form at hand and drops the rest") {
  std::promise<void> begun;
  std::promise<void> go;
  std::vector<std::optional<Error>> told;
  const auto tell = [&](std::optional<Error> error) {
    told.push_back(std::move(error));
  };
  bool ran = false;
  {
    FormWorker worker;
    worker.run(
        [&] {
          begun.set_value();
          go.get_future().wait();
        },
        tell);
    worker.run([&] { ran = true; }, tell);
    begun.get_future().wait();
    std::thread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      go.set_value();
    }).detach();
  }
  CHECK(!ran);
  CHECK_EQUAL(told.size(), size_t{2});
  CHECK(!told[0]);
  CHECK(told[1] && told[1]->code() == Code::kShuttingDown);
}

TEST("many threads may ask for grammars while the vocabulary changes") {
  GrammarCache cache(4);
  give_bytes(cache);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 200; i++) {
        const auto grammar = cache.get(word(std::to_string((i + t) % 7)));
        CHECK(GrammarMatcher(grammar).accept('0' + (i + t) % 7));
        if (t == 0 && i % 50 == 0) {
          give_bytes(cache);
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(!cache.has(word("x")));
  const auto grammar = cache.get(word("x"));
  CHECK(cache.has(word("x")));
  CHECK(cache.get(word("x")) == grammar);
}

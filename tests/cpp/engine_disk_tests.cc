// Agents that are saved, evicted, restored; files that are damaged or full.
#include <filesystem>
#include <fstream>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

void turn_a_bit(const std::string& path, size_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char c = static_cast<char>(file.get() ^ 4);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(c);
}

} // namespace

TEST("an agent restored from disk goes on as if it had never left") {
  EngineOptions o;
  o.cache_dir = temporary_folder("restore");
  const auto prompt = words(100, 14);
  const auto longer = joined(joined(prompt, answer(prompt, 10)), words(20, 15));
  {
    Bench b(64, o);
    b.finish(b.submit("A.gent-1", prompt, 10));
    b.save("A.gent-1");
  }
  {
    Bench b(64, o);
    CHECK_EQUAL(b.core->agents().list().size(), 1u);
    CHECK_EQUAL(b.core->agents().transcript("A.gent-1"), "t:A.gent-1");
    const int id = b.submit("A.gent-1", longer, 10);
    const Finished& f = b.finish(id);
    CHECK_EQUAL(f.usage.restored_tokens, 109);
    CHECK(b.tokens[id] == answer(longer, 10));
  }
  std::filesystem::remove_all(o.cache_dir);
}

TEST("caches of other numerics are refused by name, the agent starts cold") {
  EngineOptions o;
  o.cache_dir = temporary_folder("numerics");
  const auto prompt = words(50, 16);
  {
    Bench b(64, o, "one");
    b.finish(b.submit("a", prompt, 10));
    b.save("a");
  }
  Bench b(64, o, "two");
  const int id = b.submit("a", prompt, 10);
  const Finished& f = b.finish(id);
  CHECK_EQUAL(f.usage.cached_tokens, 0);
  CHECK(f.usage.miss_reason.find("one") != std::string::npos);
  CHECK(b.tokens[id] == answer(prompt, 10));
  std::filesystem::remove_all(o.cache_dir);
}

TEST("a damaged file means a cold start with a reason, and is set aside") {
  namespace fs = std::filesystem;
  EngineOptions o;
  o.cache_dir = temporary_folder("damaged");
  const auto prompt = words(80, 17);
  {
    Bench b(64, o);
    b.finish(b.submit("a", prompt, 10));
    b.save("a");
  }
  const std::string file = o.cache_dir + "/feedbeef/a.safetensors";
  const auto size = fs::file_size(file);
  std::string good(size, '\0');
  {
    FILE* in = std::fopen(file.c_str(), "rb");
    CHECK_EQUAL(std::fread(good.data(), 1, size, in), size);
    std::fclose(in);
  }
  const auto next = joined(joined(prompt, answer(prompt, 10)), words(4, 18));
  // Every kind of place: header, token ids, blocks, checksums, seal; cut or
  // with one bit turned.
  for (size_t at = 0; at < size; at += size / 60 + 1) {
    for (const bool cut : {true, false}) {
      std::string bad = good;
      if (cut) {
        bad.resize(at);
      } else {
        bad[at] = static_cast<char>(bad[at] ^ 4);
      }
      FILE* out = std::fopen(file.c_str(), "wb");
      std::fwrite(bad.data(), 1, bad.size(), out);
      std::fclose(out);
      Bench b(64, o);
      const int id = b.submit("a", next, 5);
      const Finished& f = b.finish(id);
      CHECK(f.reason == Finish::kLength);
      CHECK(b.tokens[id] == answer(next, 5));
      CHECK(f.usage.miss_reason.find("set aside") != std::string::npos);
      CHECK(fs::exists(file + ".corrupt"));
    }
  }
  fs::remove_all(o.cache_dir);
}

TEST("a second engine on the same cache folder is refused") {
  EngineOptions o;
  o.cache_dir = temporary_folder("lock");
  {
    Bench b(64, o);
    CHECK_ERROR(Bench(64, o), Code::kCacheInUse);
  }
  Bench again(64, o); // the lock went with its holder
  std::filesystem::remove_all(o.cache_dir);
}

TEST("dirty agents are saved before they leave the pool") {
  EngineOptions o;
  o.cache_dir = temporary_folder("spill");
  Bench b(12, o);
  const auto one = words(90, 19);
  b.finish(b.submit("one", one, 10));
  const auto two = words(150, 20);
  const int second = b.submit("two", two, 20);
  CHECK(b.finish(second).reason == Finish::kLength);
  const int third = b.submit("one", joined(one, answer(one, 10)), 10);
  const Finished& f = b.finish(third);
  CHECK(f.usage.restored_tokens > 0);
  CHECK(b.tokens[third] == answer(joined(one, answer(one, 10)), 10));
  std::filesystem::remove_all(o.cache_dir);
}

TEST("when the disk refuses, a full pool says so and nothing is lost") {
  EngineOptions o;
  o.cache_dir = temporary_folder("full");
  Bench b(12, o);
  const auto one = words(90, 21);
  b.finish(b.submit("one", one, 10));
  // The agent's file cannot be created: a folder stands in its place.
  std::filesystem::create_directories(
      o.cache_dir + "/feedbeef/one.safetensors/x");
  const int second = b.submit("two", words(150, 22), 20);
  const Finished& f = b.finish(second);
  CHECK(f.error && f.error->code() == Code::kPoolExhausted);
  CHECK(b.core->stats().save_failures >= 1);
  const int third = b.submit("one", joined(one, answer(one, 10)), 10);
  CHECK(b.finish(third).usage.own_tokens == 99);
  // Once the disk takes it, all is well again.
  std::filesystem::remove_all(o.cache_dir + "/feedbeef/one.safetensors");
  const int fourth = b.submit("two", words(150, 22), 20);
  b.run();
  const int fifth = b.submit("two", words(150, 22), 20);
  CHECK(b.finish(fifth).reason == Finish::kLength);
  CHECK(b.done.count(fourth));
  std::filesystem::remove_all(o.cache_dir);
}

TEST("ids that differ in case only get files of their own") {
  CHECK(agent_file_name("Agent") != agent_file_name("agent"));
  for (const std::string id : {"Agent", "aGENT.x", "a-b_c.D", "A", "9"}) {
    CHECK_EQUAL(*agent_of_file_name(agent_file_name(id)), id);
  }
  CHECK(!agent_of_file_name("x.safetensors.tmp"));
  CHECK(!agent_of_file_name("X.safetensors"));
}

TEST("an evicted agent's new transcript is saved without its cache in memory") {
  EngineOptions o;
  o.cache_dir = temporary_folder("transcript");
  const auto prompt = words(100, 5);
  {
    Bench b(10, o);
    b.finish(b.submit("a", prompt, 4));
    b.save("a");
    b.core->agents().evict("a", {});
    b.finish(b.submit("b", words(130, 6), 20)); // has the pool to itself
    const int used = b.core->stats().pool_capacity[0];
    CHECK(used - b.core->stats().pool_free[0] >= 9);
    bool saved = false;
    b.core->agents().save("a", "new", [&](const std::optional<Error>& e) {
      CHECK(!e);
      saved = true;
    });
    b.run();
    CHECK(saved);
  }
  Bench b(10, o);
  CHECK_EQUAL(b.core->agents().transcript("a"), std::string("new"));
  const int id = b.submit("a", prompt, 4);
  CHECK(b.finish(id).usage.restored_tokens > 90);
  CHECK(b.tokens[id] == answer(prompt, 4));
  std::filesystem::remove_all(o.cache_dir);
}

TEST("a save that has to copy a damaged file fails, and sets it aside") {
  EngineOptions o;
  o.cache_dir = temporary_folder("damagedcopy");
  Bench b(64, o);
  b.finish(b.submit("a", words(100, 5), 4));
  b.save("a");
  b.core->agents().evict("a", {});
  const std::string file = o.cache_dir + "/feedbeef/a.safetensors";
  turn_a_bit(file, std::filesystem::file_size(file) / 2);
  std::optional<Error> failure;
  b.core->agents().save(
      "a", "new", [&](std::optional<Error> e) { failure = std::move(e); });
  b.run();
  CHECK(failure && failure->code() == Code::kCacheCorrupt);
  CHECK(std::filesystem::exists(file + ".corrupt"));
  b.finish(b.submit("a", words(100, 5), 4)); // and the agent goes on
  b.save("a");
  CHECK(std::filesystem::exists(file));
  std::filesystem::remove_all(o.cache_dir);
}

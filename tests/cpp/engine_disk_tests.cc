// Agents that are saved, evicted, restored; files that are damaged or full.
#include <filesystem>

#include <sys/resource.h>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace {

void turn_a_bit(const std::string& path, size_t at) {
  std::string bytes = read_file(path);
  bytes.at(at) = static_cast<char>(bytes.at(at) ^ 4);
  write_file(path, bytes);
}

/// An agent answers a prompt with ten tokens and is saved by an engine that
/// ends.
void save_turn(
    const EngineOptions& o,
    const std::string& agent,
    const std::vector<int32_t>& prompt) {
  Bench b(64, o);
  b.finish(b.submit(agent, prompt, 10));
  b.save(agent);
}

/// A folder where an agent's file should be: it can be neither written nor
/// removed.
std::string obstacle(const EngineOptions& o, const std::string& agent) {
  const std::string path = o.cache_dir + "/feedbeef/" + agent_file_name(agent);
  std::filesystem::create_directories(path + "/x");
  return path;
}

} // namespace

TEST("an agent restored from disk goes on as if it had never left") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
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
}

#if defined(__linux__)
TEST("the file that a transcript came from is held until its request is done") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  const auto prompt = words(100, 14);
  {
    Bench b(64, o);
    b.finish(b.submit("a", prompt, 10));
    b.save("a");
  }
  const auto mapped = [&] {
    return contains(read_file("/proc/self/maps"), dir.path());
  };
  Bench b(64, o);
  CHECK(!mapped());
  b.core->agents().transcript("a");
  CHECK(mapped());
  const int id = b.submit(
      "a", joined(joined(prompt, answer(prompt, 10)), words(4, 15)), 5);
  CHECK_EQUAL(b.finish(id).usage.restored_tokens, 109);
  CHECK(!mapped());
}
#endif

TEST("caches of other numerics are refused by name, the agent starts cold") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
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
}

TEST("a damaged file means a cold start with a reason, and is set aside") {
  namespace fs = std::filesystem;
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  const auto prompt = words(80, 17);
  save_turn(o, "a", prompt);
  const std::string file = o.cache_dir + "/feedbeef/a.safetensors";
  const std::string good = read_file(file);
  const size_t size = good.size();
  CHECK(size > 0);
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
      write_file(file, bad);
      Bench b(64, o);
      const int id = b.submit("a", next, 5);
      const Finished& f = b.finish(id);
      CHECK(f.reason == Finish::kLength);
      CHECK(b.tokens[id] == answer(next, 5));
      CHECK(f.usage.miss_reason.find("set aside") != std::string::npos);
      CHECK(fs::exists(file + ".corrupt"));
    }
  }
}

TEST("a file of a later version is set aside, not written over") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  const auto prompt = words(80, 17);
  save_turn(o, "a", prompt);
  const std::string file = o.cache_dir + "/feedbeef/a.safetensors";
  make_later(file);
  const std::string later = read_file(file);
  Bench b(64, o);
  CHECK_ERROR(b.core->agents().transcript("a"), Code::kIncompatibleCache);
  const int id = b.submit("a", prompt, 5);
  CHECK(
      b.finish(id).usage.miss_reason.find("format version is 9") !=
      std::string::npos);
  b.save("a");
  CHECK(read_file(file + ".corrupt") == later);
  CHECK(read_file(file) != later);
}

TEST("a request is told of a damaged file, whoever came upon it before") {
  namespace fs = std::filesystem;
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  const auto prompt = words(80, 17);
  const std::string file = o.cache_dir + "/feedbeef/a.safetensors";
  for (const bool listed : {true, false}) {
    save_turn(o, "a", prompt);
    write_file(file, read_file(file).substr(0, 1000));
    Bench b(64, o);
    if (listed) {
      CHECK_EQUAL(b.core->agents().list().size(), 1u);
    } else {
      CHECK_ERROR(b.core->agents().transcript("a"), Code::kCacheCorrupt);
    }
    const int id = b.submit("a", prompt, 5);
    const Finished& f = b.finish(id);
    CHECK(f.usage.miss_reason.find("set aside") != std::string::npos);
    CHECK(fs::exists(file + ".corrupt"));
  }
}

TEST("a second engine on the same cache folder is refused") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  {
    Bench b(64, o);
    CHECK_ERROR(Bench(64, o), Code::kCacheInUse);
  }
  Bench again(64, o); // the lock went with its holder
}

TEST("dirty agents are saved before they leave the pool") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
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
}

TEST("when the disk refuses, a full pool says so and nothing is lost") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
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
  std::this_thread::sleep_for(std::chrono::milliseconds(1100)); // its next try
  const int fourth = b.submit("two", words(150, 22), 20);
  b.run();
  const int fifth = b.submit("two", words(150, 22), 20);
  CHECK(b.finish(fifth).reason == Finish::kLength);
  CHECK(b.done.count(fourth));
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
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  const auto prompt = words(100, 5);
  {
    Bench b(10, o);
    b.finish(b.submit("a", prompt, 4));
    b.save("a");
    b.core->agents().evict("a", {});
    b.finish(b.submit("b", words(130, 6), 20)); // has the pool to itself
    const int used = b.core->stats().pool_capacity[0];
    CHECK(used - b.core->stats().pool_free[0] >= 9);
    CHECK(!b.try_save("a", "new"));
  }
  Bench b(10, o);
  CHECK_EQUAL(b.core->agents().transcript("a"), std::string("new"));
  const int id = b.submit("a", prompt, 4);
  CHECK(b.finish(id).usage.restored_tokens > 90);
  CHECK(b.tokens[id] == answer(prompt, 4));
}

TEST("an agent that was made before its first request is kept as it is") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  const auto prompt = words(100, 14);
  {
    Bench b(64, o);
    b.core->agents().create("a");
    CHECK_ERROR(b.core->agents().create("a"), Code::kAgentExists);
    b.save("a");
    CHECK(b.core->agents().list().at(0).saved);
  }
  Bench b(64, o);
  CHECK_ERROR(b.core->agents().create("a"), Code::kAgentExists);
  CHECK_EQUAL(b.core->agents().transcript("a"), "t:a");
  b.load("a"); // there is nothing to bring
  const int id = b.submit("a", prompt, 10);
  const Finished& f = b.finish(id);
  const std::string fresh = "a new agent, and no cached prefix matches";
  CHECK_EQUAL(f.usage.miss_reason, fresh);
  CHECK_EQUAL(f.usage.cached_tokens, 0);
  CHECK(b.tokens[id] == answer(prompt, 10));
}

TEST("an agent that is loaded is in the pool, all of it, before it is asked") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  const auto prompt = words(100, 14);
  const auto longer = joined(joined(prompt, answer(prompt, 10)), words(20, 15));
  Bench b(64, o);
  CHECK_ERROR(b.load("a"), Code::kAgentNotFound);
  b.finish(b.submit("a", prompt, 10));
  b.save("a");
  b.core->agents().evict("a", {});
  CHECK_EQUAL(b.core->agents().hot(), 0);
  b.load("a");
  b.load("a"); // it is there
  CHECK_EQUAL(b.core->agents().hot(), 1);
  CHECK_EQUAL(b.core->agents().list().at(0).tokens, 109);
  const int id = b.submit("a", longer, 10);
  const Finished& f = b.finish(id);
  CHECK_EQUAL(f.usage.own_tokens, 109);
  CHECK_EQUAL(f.usage.restored_tokens, 0);
  CHECK(b.tokens[id] == answer(longer, 10));
}

TEST("a save that has to copy a damaged file fails, and sets it aside") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  Bench b(64, o);
  b.finish(b.submit("a", words(100, 5), 4));
  b.save("a");
  b.core->agents().evict("a", {});
  const std::string file = o.cache_dir + "/feedbeef/a.safetensors";
  turn_a_bit(file, std::filesystem::file_size(file) / 2);
  const std::optional<Error> failure = b.try_save("a", "new");
  CHECK(failure && failure->code() == Code::kCacheCorrupt);
  CHECK(std::filesystem::exists(file + ".corrupt"));
  b.finish(b.submit("a", words(100, 5), 4)); // and the agent goes on
  b.save("a");
  CHECK(std::filesystem::exists(file));
}

TEST("a save that cannot be made is not answered with yes") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  {
    Bench b(64, o, "one");
    b.finish(b.submit("a", words(40, 1), 4));
    b.save("a");
  }
  Bench b(64, o, "two");
  const std::optional<Error> failure = b.try_save("a", "new");
  CHECK(failure && failure->code() == Code::kIncompatibleCache);
  CHECK(b.core->agents().unsaved());
}

TEST("who is not saved is known by name, also when others were saved since") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  Bench b(64, o);
  b.finish(b.submit("aa", words(40, 1), 4));
  obstacle(o, "aa");
  const std::optional<Error> failure = b.try_save("aa", "t");
  CHECK(failure);
  b.finish(b.submit("zz", words(40, 2), 4));
  b.save("zz");
  const std::optional<Error> unsaved = b.core->agents().unsaved();
  CHECK(unsaved && unsaved->code() == Code::kCachePersistence);
  CHECK(std::string(unsaved->what()).find("'aa'") != std::string::npos);
  CHECK(std::string(unsaved->what()).find("zz") == std::string::npos);
}

TEST("an agent that cannot be saved does not keep others in memory") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  Bench b(14, o);
  b.finish(b.submit("stuck", words(40, 1), 4)); // the oldest
  obstacle(o, "stuck");
  for (const std::string name : {"b", "c"}) {
    b.finish(b.submit(name, words(40, 2), 4));
    b.save(name);
  }
  const int id = b.submit("d", words(120, 3), 4);
  CHECK(b.finish(id).reason == Finish::kLength);
}

TEST("with a limit on agents in memory a full disk is not tried all the time") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  o.max_agents = 1;
  Bench b(64, o);
  obstacle(o, "a");
  obstacle(o, "b");
  b.finish(b.submit("a", words(40, 1), 4));
  b.finish(b.submit("b", words(40, 2), 4));
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  while (std::chrono::steady_clock::now() < end) {
    b.core->work();
  }
  CHECK(b.core->stats().save_failures <= 4);
  b.core->shut_down();
  b.core->agents().save_all_dirty();
  b.run();
  CHECK(!b.core->agents().saving());
}

TEST("removing an agent while it is saved leaves no file, or says so later") {
  for (const bool blocked : {false, true}) {
    const TempDir dir;
    EngineOptions o;
    o.cache_dir = dir.path();
    Bench b(64, o);
    b.finish(b.submit("a", words(300, 1), 4));
    bool answered = false;
    b.core->agents().save(
        "a", "t", [&](const std::optional<Error>&) { answered = true; });
    b.core->work(); // the save has begun
    const std::string path = o.cache_dir + "/feedbeef/a.safetensors";
    if (blocked) {
      obstacle(o, "a");
    }
    b.core->agents().remove("a");
    b.run();
    CHECK(answered);
    CHECK_EQUAL(std::filesystem::exists(path), blocked);
    CHECK(!b.core->agents().known("a"));
    CHECK_EQUAL(b.finish(b.submit("a", words(300, 1), 4)).usage.own_tokens, 0);
  }
}

TEST("a file that cannot be opened just now is left alone") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  Bench b(64, o);
  b.finish(b.submit("a", words(40, 1), 4));
  b.save("a");
  b.core->agents().evict("a", {});
  rlimit old{};
  getrlimit(RLIMIT_NOFILE, &old);
  rlimit none = old;
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  std::optional<Code> code;
  try {
    b.core->agents().transcript("a");
  } catch (const Error& e) {
    code = e.code();
  }
  setrlimit(RLIMIT_NOFILE, &old);
  CHECK(code == Code::kCachePersistence);
  CHECK_EQUAL(b.core->agents().transcript("a"), std::string("t:a"));
  CHECK(std::filesystem::exists(o.cache_dir + "/feedbeef/a.safetensors"));
}

TEST("what was computed under one cache salt serves no other, from disk too") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  const auto prompt = words(100, 7);
  const auto ask = [&](Bench& b, const std::string& agent, const char* salt) {
    Request r;
    r.id = ++b.last_id;
    r.agent = agent;
    r.prompt = prompt;
    r.max_tokens = 3;
    r.cache_salt = salt;
    b.core->submit(r);
    return b.finish(r.id).usage;
  };
  {
    Bench b(64, o);
    ask(b, "a", "tenant");
    b.save("a");
  }
  Bench b(64, o);
  b.fork("a", "copy");
  CHECK_EQUAL(ask(b, "", "").cached_tokens, 0);
  CHECK_EQUAL(ask(b, "copy", "tenant").cached_tokens, 99);
  b.core->agents().evict("a", {});
  const Usage other = ask(b, "a", "");
  CHECK_EQUAL(other.restored_tokens, 0);
}

TEST("a cache of more blocks than a reader accepts is refused, not written") {
  AgentFileHeader h;
  h.agent = "a";
  h.spec.n_layers = 32;
  h.spec.n_kv_heads = h.spec.key_dim = h.spec.value_dim = 1;
  h.spec.block_tokens = 16;
  h.spec.groups.resize(1);
  for (int l = 0; l < 32; l++) {
    h.spec.groups[0].layers.push_back(l);
  }
  h.tokens.assign(size_t{16} * 8000, 1);
  for (int i = 0; i < 8000; i++) {
    h.blocks.push_back({0, i, 16});
  }
  const TempDir dir;
  CHECK_ERROR(AgentFileWriter(dir / "a", h), Code::kCachePersistence);
}

TEST("the longest ids in capitals have file names that a disk takes") {
  const std::string id(128, 'A');
  const std::string name = agent_file_name(id);
  CHECK(name.size() < 200);
  CHECK(agent_of_file_name(name) == id);
  CHECK_EQUAL(
      agent_file_name("Ab_CdEf"), std::string("ab_cdef=92.safetensors"));
  CHECK(!agent_of_file_name("A.safetensors"));
  CHECK(!agent_of_file_name("a=0.safetensors"));
  CHECK(!agent_of_file_name("a=f.safetensors"));
  CHECK(!agent_of_file_name("a==1.safetensors"));
  CHECK(!agent_of_file_name("=.safetensors"));
}

TEST("agents on disk are listed with their tokens, before anybody uses them") {
  const TempDir dir;
  EngineOptions o;
  o.cache_dir = dir.path();
  {
    Bench b(64, o);
    b.finish(b.submit("a", words(40, 1), 5));
    b.save("a");
    b.finish(b.submit("bad", words(40, 2), 5));
    b.save("bad");
  }
  turn_a_bit(o.cache_dir + "/feedbeef/bad.safetensors", 20);
  Bench b(64, o);
  const std::vector<AgentInfo> list = b.core->agents().list();
  CHECK_EQUAL(list.size(), size_t{2});
  CHECK_EQUAL(list[0].tokens, 44);
  CHECK_EQUAL(list[1].tokens, 0);
}

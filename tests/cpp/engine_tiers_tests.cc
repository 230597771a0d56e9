// Warm and cold: what agents share lies on the disk once, and a budget lets
// those used longest ago go cold.
#include <filesystem>

#include "engine_bench.h"

using namespace stomp;
using namespace stomp::test;

namespace fs = std::filesystem;

namespace {

EngineOptions in(const TempDir& dir, uint64_t budget = 0) {
  EngineOptions o;
  o.cache_dir = dir.path();
  o.disk_budget_bytes = budget;
  return o;
}

std::string folder(const TempDir& dir) {
  return dir.path() + "/feedbeef";
}

std::vector<fs::path> files_in(const std::string& path) {
  std::vector<fs::path> files;
  if (fs::exists(path)) {
    for (const auto& file : fs::directory_iterator(path)) {
      if (file.is_regular_file()) {
        files.push_back(file.path());
      }
    }
  }
  return files;
}

std::vector<fs::path> segments(const TempDir& dir) {
  return files_in(folder(dir) + "/shared");
}

/// A parent of 160 tokens, ten blocks, and forks that each say something else.
void save_family(Bench& b, int forks) {
  const auto prompt = words(160, 1);
  b.finish(b.submit("parent", prompt, 1));
  for (int i = 0; i < forks; i++) {
    const std::string id = "fork" + std::to_string(i);
    b.fork("parent", id);
    b.finish(b.submit(id, joined(prompt, words(20, 10 + i)), 4));
    b.save(id);
  }
}

void check_fork(Bench& b, int i, int restored) {
  const auto own = joined(words(160, 1), words(20, 10 + i));
  const auto longer = joined(joined(own, answer(own, 4)), words(5, 50));
  const int id = b.submit("fork" + std::to_string(i), longer, 5);
  CHECK_EQUAL(b.finish(id).usage.restored_tokens, restored);
  CHECK(b.tokens[id] == answer(longer, 5));
}

AgentTier tier_of(Bench& b, const std::string& id) {
  for (const AgentInfo& info : b.core->agents().list()) {
    if (info.id == id) {
      return info.tier;
    }
  }
  throw std::logic_error("no agent " + id);
}

} // namespace

TEST("what forks share lies on the disk once, and comes back to each of them") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 4);
    CHECK_EQUAL(segments(dir).size(), 1u);
    const uint64_t segment = fs::file_size(segments(dir)[0]);
    const EngineStats stats = b.core->stats();
    CHECK_EQUAL(stats.disk_shared_bytes, 3 * segment);
    // 24 tokens of 184 are their own.
    CHECK(fs::file_size(folder(dir) + "/fork3.safetensors") < segment);
  }
  for (int i = 0; i < 4; i++) {
    Bench b(128, in(dir));
    check_fork(b, i, 183);
  }
}

TEST("agents that begin alike share on the disk, forked or not") {
  const TempDir dir;
  Bench b(128, in(dir));
  const auto system = words(64, 2);
  for (const char* id : {"a", "b"}) {
    b.finish(b.submit(id, joined(system, words(30, id[0])), 4));
  }
  b.save("a");
  b.save("b");
  CHECK_EQUAL(segments(dir).size(), 1u);
  // A third one whose beginning nobody holds in memory any more.
  b.core->agents().evict("a", {});
  b.core->agents().evict("b", {});
  b.fork("a", "c");
  b.save("c"); // and what else it has of a's, in a second segment
  CHECK_EQUAL(segments(dir).size(), 2u);
  b.fork("c", "d");
  b.save("d");
  CHECK_EQUAL(segments(dir).size(), 2u);
}

TEST("a segment goes with the last agent that uses it") {
  const TempDir dir;
  Bench b(128, in(dir));
  save_family(b, 2);
  b.core->agents().remove("fork0");
  CHECK_EQUAL(segments(dir).size(), 1u);
  b.core->agents().remove("fork1");
  CHECK_EQUAL(segments(dir).size(), 0u);
}

TEST("segments that nobody uses are removed at the start, those in use stay") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 2);
  }
  const fs::path segment = segments(dir)[0];
  const std::string other =
      segment.parent_path() / "00000000000000000000000000000000.safetensors";
  fs::copy_file(segment, other);
  write_file(segment.string() + ".1-1.tmp", "left by a writer");
  Bench b(128, in(dir));
  CHECK_EQUAL(segments(dir).size(), 1u);
  CHECK(segments(dir)[0] == segment);
  check_fork(b, 1, 183);
}

TEST("a missing or damaged segment costs the cache, not the conversation") {
  for (const bool missing : {true, false}) {
    const TempDir dir;
    {
      Bench b(128, in(dir));
      save_family(b, 2);
    }
    const std::string path = segments(dir)[0].string();
    if (missing) {
      fs::remove(path);
    } else {
      std::string bytes = read_file(path);
      bytes[bytes.size() / 2] ^= 4;
      write_file(path, bytes);
    }
    Bench b(128, in(dir));
    CHECK_EQUAL(b.core->agents().transcript("fork0"), std::string("t:fork0"));
    const auto own = joined(words(160, 1), words(20, 10));
    const int id = b.submit("fork0", own, 5);
    const Usage usage = b.finish(id).usage;
    CHECK_EQUAL(usage.restored_tokens < 160, true);
    CHECK(!fs::exists(folder(dir) + "/fork0.safetensors.corrupt"));
    CHECK(contains(usage.miss_reason, "shares with others"));
    CHECK(b.tokens[id] == answer(own, 5));
    // What is saved from now on does not lean on it.
    b.save("fork0");
    b.fork("fork0", "twin");
    b.save("twin");
    b.core->agents().evict("twin", {});
    CHECK_EQUAL(b.core->agents().transcript("twin"), std::string("t:twin"));
  }
}

TEST("a segment of another beginning is not taken for an agent's own") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 2);
  }
  std::string swapped;
  {
    const TempDir other;
    Bench b(128, in(other));
    b.finish(b.submit("x", words(160, 99), 1));
    b.fork("x", "y");
    b.save("y");
    swapped = read_file(segments(other)[0].string());
  }
  write_file(segments(dir)[0].string(), swapped);
  Bench b(128, in(dir));
  const auto own = joined(words(160, 1), words(20, 10));
  const int id = b.submit("fork0", own, 5);
  CHECK_EQUAL(b.finish(id).usage.restored_tokens, 0);
  CHECK(b.tokens[id] == answer(own, 5));
}

TEST(
    "beyond the disk's budget those used longest ago go cold, not the others") {
  const TempDir dir;
  uint64_t one = 0;
  {
    Bench b(64, in(dir));
    b.finish(b.submit("a", words(200, 1), 4));
    b.save("a");
    one = fs::file_size(folder(dir) + "/a.safetensors");
    b.core->agents().evict("a", {});
  }
  Bench b(64, in(dir, one * 5 / 2));
  for (const char* id : {"b", "c"}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    b.finish(b.submit(id, words(200, id[0]), 4));
    b.save(id);
    b.core->agents().evict(id, {});
    b.run();
  }
  CHECK(tier_of(b, "a") == AgentTier::kCold);
  CHECK(tier_of(b, "b") == AgentTier::kWarm);
  CHECK(tier_of(b, "c") == AgentTier::kWarm);
  CHECK_EQUAL(b.core->stats().demotions, 1u);
  CHECK_EQUAL(b.core->agents().transcript("a"), std::string("t:a"));
  const int id = b.submit("a", words(200, 1), 4);
  const Usage usage = b.finish(id).usage;
  CHECK_EQUAL(usage.cached_tokens, 0);
  CHECK(contains(usage.miss_reason, "room on the disk"));
  CHECK(b.tokens[id] == answer(words(200, 1), 4));
}

TEST("the budget counts other models' agents and files set aside") {
  const TempDir dir;
  uint64_t one = 0;
  {
    Bench b(64, in(dir));
    b.finish(b.submit("a", words(200, 1), 4));
    b.save("a");
    one = fs::file_size(folder(dir) + "/a.safetensors");
  }
  fs::rename(folder(dir), dir.path() + "/0ther");
  write_file(
      dir.path() + "/0ther/x.safetensors.corrupt", std::string(one, 'x'));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  Bench b(64, in(dir, one * 3 / 2));
  b.finish(b.submit("b", words(200, 2), 4));
  b.save("b");
  b.core->agents().evict("b", {});
  b.run();
  CHECK(!fs::exists(dir.path() + "/0ther/x.safetensors.corrupt"));
  const AgentFileReader other(dir.path() + "/0ther/a.safetensors", "");
  CHECK(other.header().cold);
  CHECK_EQUAL(other.header().transcript, std::string("t:a"));
  CHECK(tier_of(b, "b") == AgentTier::kWarm);
}

TEST("an agent is removed from a folder that no engine uses, else refused") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 2);
    CHECK_ERROR(
        remove_stored_agent(dir.path(), "feedbeef", "fork0"),
        Code::kCacheInUse);
  }
  CHECK(!remove_stored_agent(dir.path(), "feedbeef", "nobody"));
  CHECK(!remove_stored_agent(dir.path(), "0ther", "fork0"));
  CHECK(!fs::exists(dir.path() + "/0ther"));
  CHECK(remove_stored_agent(dir.path(), "feedbeef", "fork0"));
  CHECK_EQUAL(segments(dir).size(), 1u);
  CHECK(remove_stored_agent(dir.path(), "feedbeef", "fork1"));
  CHECK_EQUAL(segments(dir).size(), 0u);
}

TEST("segments stay while it is not known what all agents use") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 2);
  }
  const std::string later = folder(dir) + "/fork0.safetensors";
  const std::string file = read_file(later);
  make_later(later);
  {
    Bench b(128, in(dir));
    b.core->agents().remove("fork1");
    CHECK_EQUAL(segments(dir).size(), 1u);
  }
  write_file(later, file);
  Bench b(128, in(dir));
  check_fork(b, 0, 183);
}

TEST("one agent's damaged segment costs the next one that uses it no more") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 3);
  }
  const std::string path = segments(dir)[0].string();
  std::string bytes = read_file(path);
  bytes[bytes.size() / 2] ^= 4;
  write_file(path, bytes);
  {
    Bench b(128, in(dir));
    for (const int i : {0, 1}) {
      const auto own = joined(words(160, 1), words(20, 10 + i));
      b.finish(b.submit("fork" + std::to_string(i), own, 4));
      b.save("fork" + std::to_string(i));
    }
  }
  // The segment was written anew, for those who had not asked as well.
  Bench b(128, in(dir));
  check_fork(b, 2, 183);
}

TEST("a file that cannot go cold stays, and is not tried again and again") {
  const TempDir dir;
  {
    Bench b(64, in(dir));
    b.finish(b.submit("a", words(200, 1), 4));
    b.save("a");
  }
  make_later(folder(dir) + "/a.safetensors");
  Bench b(64, in(dir, 100));
  b.run(); // comes to an end
  CHECK(b.core->stats().disk_bytes > 100);
  CHECK_EQUAL(b.core->stats().demotions, 0u);
  CHECK(fs::exists(folder(dir) + "/a.safetensors"));
}

TEST("an agent removed while it goes cold does not come back") {
  const TempDir dir;
  {
    Bench b(64, in(dir));
    b.finish(b.submit("a", words(200, 1), 4));
    b.save("a");
  }
  Bench b(64, in(dir, 100));
  b.core->work(); // it begins to
  b.core->agents().remove("a");
  b.run();
  CHECK(!b.core->agents().known("a"));
  CHECK(!fs::exists(folder(dir) + "/a.safetensors"));
}

TEST("an agent used while it goes cold is saved again") {
  const TempDir dir;
  const auto prompt = words(200, 1);
  {
    Bench b(64, in(dir));
    b.finish(b.submit("a", prompt, 4));
    b.save("a");
  }
  {
    Bench b(64, in(dir, 100));
    b.core->work(); // it begins to
    b.load("a");
    b.core->shut_down();
    b.core->agents().save_all_dirty();
    b.run();
    CHECK(!b.core->agents().unsaved());
  }
  Bench b(64, in(dir));
  const int id = b.submit("a", joined(prompt, answer(prompt, 4)), 4);
  CHECK(b.finish(id).usage.restored_tokens > 0);
}

TEST("a file set aside counts for the budget, and goes before any agent") {
  const TempDir dir;
  uint64_t one = 0;
  {
    Bench b(64, in(dir));
    for (const char* id : {"a", "b"}) {
      b.finish(b.submit(id, words(200, id[0]), 4));
      b.save(id);
    }
    one = fs::file_size(folder(dir) + "/a.safetensors");
  }
  const std::string path = folder(dir) + "/a.safetensors";
  std::string bytes = read_file(path);
  bytes[bytes.size() / 2] ^= 4;
  write_file(path, bytes);
  Bench b(64, in(dir, one * 5 / 2));
  b.finish(b.submit("a", words(200, 'a'), 4));
  CHECK(fs::exists(path + ".corrupt"));
  b.save("a");
  b.run();
  CHECK(!fs::exists(path + ".corrupt"));
  CHECK_EQUAL(b.core->stats().demotions, 0u);
}

TEST("other models' segments go with the agents that used them") {
  const TempDir dir;
  {
    Bench b(128, in(dir));
    save_family(b, 2);
  }
  const std::string other = dir.path() + "/0ther";
  fs::rename(folder(dir), other);
  write_file(other + "/notes.tmp", "somebody's own");
  write_file(other + "/fork0.safetensors.7-1.tmp", "left by a writer");
  {
    Bench b(64, in(dir, 1));
    b.run();
    CHECK_EQUAL(b.core->stats().demotions, 2u);
    CHECK(files_in(other + "/shared").empty());
    CHECK(fs::exists(other + "/notes.tmp"));
    CHECK(!fs::exists(other + "/fork0.safetensors.7-1.tmp"));
  }
  Bench again(64, in(dir, 1));
  again.run();
  CHECK_EQUAL(again.core->stats().demotions, 0u); // they are cold already
}

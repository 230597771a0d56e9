#include "engine/grammar_cache.h"

#include <vector>

#include "base/error.h"

namespace stomp {

void GrammarCache::set_vocabulary(
    std::span<const char> bytes,
    std::span<const int32_t> ends) {
  std::vector<std::string> tokens;
  tokens.reserve(ends.size());
  size_t from = 0;
  for (const int32_t end : ends) {
    const auto to = static_cast<size_t>(end);
    if (end < 0 || to < from || to > bytes.size()) {
      throw Error(
          Code::kInvalidRequest,
          "The ends of the vocabulary's tokens must rise, up to the number of "
          "its bytes.");
    }
    tokens.emplace_back(bytes.data() + from, to - from);
    from = to;
  }
  auto vocabulary = std::make_shared<const Vocabulary>(tokens);
  const std::lock_guard lock(mutex_);
  vocabulary_ = std::move(vocabulary);
  places_.clear();
  entries_.clear();
}

std::shared_ptr<const Grammar> GrammarCache::find(const std::string& json) {
  const auto found = places_.find(json);
  if (found == places_.end()) {
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  return entries_.front().grammar;
}

bool GrammarCache::has(const std::string& json) {
  const std::lock_guard lock(mutex_);
  return find(json) != nullptr;
}

std::shared_ptr<const Grammar> GrammarCache::get(const std::string& json) {
  std::shared_ptr<const Vocabulary> vocabulary;
  {
    const std::lock_guard lock(mutex_);
    if (auto known = find(json)) {
      return known;
    }
    vocabulary = vocabulary_;
  }
  if (!vocabulary) {
    throw Error(
        Code::kInvalidRequest,
        "An answer's form needs the vocabulary, which was not set.");
  }
  auto grammar = Grammar::compile(json, vocabulary);
  const std::lock_guard lock(mutex_);
  if (vocabulary != vocabulary_ || find(json)) {
    return grammar; // of another vocabulary, or kept by somebody meanwhile
  }
  entries_.push_front({json, grammar});
  places_[entries_.front().json] = entries_.begin();
  if (entries_.size() > capacity_) {
    places_.erase(entries_.back().json);
    entries_.pop_back();
  }
  return grammar;
}

} // namespace stomp

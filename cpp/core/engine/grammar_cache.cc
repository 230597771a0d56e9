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
  vocabulary_ = std::make_shared<const Vocabulary>(tokens);
  places_.clear();
  entries_.clear();
}

std::shared_ptr<const Grammar> GrammarCache::get(const std::string& json) {
  const auto found = places_.find(json);
  if (found != places_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return entries_.front().grammar;
  }
  if (!vocabulary_) {
    throw Error(
        Code::kInvalidRequest,
        "An answer's form needs the vocabulary, which was not set.");
  }
  entries_.push_front({json, Grammar::compile(json, vocabulary_)});
  places_[entries_.front().json] = entries_.begin();
  if (entries_.size() > capacity_) {
    places_.erase(entries_.back().json);
    entries_.pop_back();
  }
  return entries_.front().grammar;
}

} // namespace stomp

#include "evaluate/results.hpp"

#include <algorithm>
#include <cmath>

namespace rota_lm::eval {

byte_sums& byte_sums::operator+=(const byte_sums& more) {
  packed += more.packed;
  dense += more.dense;
  worst_ratio = std::max(worst_ratio, more.worst_ratio);
  tokens += more.tokens;
  all_tokens += more.all_tokens;
  groups += more.groups;
  all_groups += more.all_groups;
  read += more.read;
  return *this;
}

double tokens_kept(const row_result& r) {
  if (r.spec.reading()) return 1;
  return r.spec.packed() ? r.bytes.tokens_kept() : r.spec.kv_budget;
}

double groups_kept(const row_result& r) {
  if (r.spec.reading()) return 1;
  return r.spec.packed() ? r.bytes.rho() : r.spec.kv_budget;
}

double bytes_ratio(const row_result& r) {
  return r.spec.packed() || r.spec.reading() ? r.bytes.ratio() : r.spec.kv_budget;
}

double read_bytes_ratio(const row_result& r) {
  return r.spec.packed() || r.spec.reading() ? r.bytes.read_ratio() : r.spec.kv_budget;
}

int retention_map::at(std::size_t layer, std::size_t head, std::size_t token) const {
  return kept[(layer * heads + head) * tokens + token];
}

const row_result* evaluation::find(row_spec::kind what) const {
  for (const row_result& r : rows) {
    if (r.spec.what == what) return &r;
  }
  return nullptr;
}

estimate score_of(const row_result& r, const task& t, std::uint64_t seed) {
  const auto found = r.outcomes.find(t.name);
  if (found == r.outcomes.end() || !r.failure.empty()) return {};
  if (t.is_perplexity()) return perplexity(found->second, seed);
  return hits_only(found->second) ? accuracy(found->second) : mean_share(found->second, seed);
}

double word_perplexity(const row_result& r, const task& t) {
  const auto found = r.outcomes.find(t.name);
  if (found == r.outcomes.end() || !r.failure.empty() || t.words.empty()) return unknown;
  double loss = 0, words = 0;
  for (std::size_t i = 0; i < found->second.size(); ++i) {
    loss += found->second[i].score;
    words += t.words[i];
  }
  return words > 0 ? std::exp(loss / words) : unknown;
}

estimate difference_to_dense(const evaluation& e, const row_result& r, const task& t) {
  const row_result* dense = e.find(row_spec::kind::dense);
  const auto mine = r.outcomes.find(t.name);
  if (dense == nullptr || mine == r.outcomes.end() || !r.failure.empty()) return {};
  const std::vector<outcome>& theirs = dense->outcomes.at(t.name);
  if (!t.is_perplexity() && hits_only(mine->second) && hits_only(theirs)) {
    return paired_difference(paired_hits(mine->second, theirs));
  }
  return paired_difference(mine->second, theirs, e.how.seed,
                           [&](double mean) { return t.is_perplexity() ? std::exp(mean) : mean; });
}

}  // namespace rota_lm::eval

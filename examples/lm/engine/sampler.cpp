#include "engine/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/error.hpp"

namespace rota_lm {

token_id greedy(std::span<const float> logits) {
  if (logits.empty()) fail("sampler", "no logits");
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) fail("sampler", "logit " + std::to_string(i) + " is not a number");
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<token_id>(best);
}

sampler::sampler(const sampling& how) : how_(how), state_(how.seed) {
  if (!(how.temperature >= 0 && std::isfinite(how.temperature))) {
    fail("sampler", "temperature must be finite and not below 0");
  }
  if (!(how.top_p > 0 && how.top_p <= 1)) fail("sampler", "top_p must be in (0, 1]");
}

token_id sampler::operator()(std::span<const float> logits) {
  const token_id best = greedy(logits);
  if (how_.temperature == 0) return best;
  const std::vector<candidate> kept = candidates(logits, logits[static_cast<std::size_t>(best)]);
  double total = 0;
  for (const candidate& c : kept) total += c.weight;
  double mark = uniform() * total;
  for (const candidate& c : kept) {
    mark -= c.weight;
    if (mark < 0) return c.id;
  }
  return kept.back().id;  // rounding only
}

std::vector<sampler::candidate> sampler::candidates(std::span<const float> logits,
                                                    float top) const {
  std::vector<candidate> all;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    // Compared first: infinity less infinity is no number.
    const double gap = logits[i] == top ? 0.0 : static_cast<double>(logits[i]) - top;
    all.push_back({static_cast<token_id>(i), std::exp(gap / how_.temperature)});
  }
  std::ranges::stable_sort(
      all, [](const candidate& a, const candidate& b) { return a.weight > b.weight; });
  if (how_.top_k != 0 && how_.top_k < all.size()) all.resize(how_.top_k);
  double total = 0;
  for (const candidate& c : all) total += c.weight;
  double seen = 0;
  std::size_t count = 0;
  while (count < all.size() && seen < how_.top_p * total) seen += all[count++].weight;
  all.resize(std::max<std::size_t>(count, 1));
  return all;
}

double sampler::uniform() {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return static_cast<double>((z ^ z >> 31) >> 11) * 0x1p-53;
}

}  // namespace rota_lm

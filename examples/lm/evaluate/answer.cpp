#include "evaluate/answer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/generate.hpp"
#include "engine/sampler.hpp"

namespace rota_lm::eval {
namespace {

/// Log probability of `id` in a row of logits, and whether it is the likeliest.
struct prediction {
  double log_probability;
  bool best;
};

prediction predict(const matrix& logits, Eigen::Index row, token_id id) {
  const auto all = logits.row(row);
  Eigen::Index top = 0;
  const double most = static_cast<double>(all.maxCoeff(&top));
  const double sum = static_cast<double>((all.array() - static_cast<float>(most)).exp().sum());
  return {static_cast<double>(all(id)) - most - std::log(sum), top == id};
}

/// Runs `ids` through the cache but for their last, after `before` (logits of the token before
/// them), and hands f(prediction) of each.
template <class F>
void follow(const model& lm, attention_cache& cache, const matrix& before, const token_ids& ids,
            F&& f) {
  f(predict(before, before.rows() - 1, ids[0]));
  if (ids.size() == 1) return;
  const matrix logits = lm.forward(std::span(ids).first(ids.size() - 1), cache, model::all_tokens);
  for (std::size_t i = 1; i < ids.size(); ++i) {
    f(predict(logits, static_cast<Eigen::Index>(i - 1), ids[i]));
  }
}

double log_likelihood(const model& lm, attention_cache& cache, const matrix& before,
                      const token_ids& ids) {
  double sum = 0;
  follow(lm, cache, before, ids, [&](const prediction& p) { sum += p.log_probability; });
  return sum;
}

std::size_t likeliest(const model& lm, attention_cache& cache, const matrix& before,
                      const std::vector<token_ids>& answers) {
  const std::size_t start = cache.next_position();
  std::size_t best = 0;
  double most = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const double sum = log_likelihood(lm, cache, before, answers[i]);
    cache.truncate(start);
    if (sum > most) {
      most = sum;
      best = i;
    }
  }
  return best;
}

/// ASCII letters made small: what RULER's substring match compares.
std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

}  // namespace

std::string write_greedily(const model& lm, const tokenizer& text, attention_cache& cache,
                           const matrix& before, std::size_t count) {
  token_ids ids;
  sampler greedy({});
  generate(lm, cache, before, greedy, count, text.size(), [&](token_id id) { ids.push_back(id); });
  return text.decode(ids);
}

double share_contained(const std::string& text, const std::vector<std::string>& references) {
  const std::string written = lower(text);
  const auto found = std::count_if(references.begin(), references.end(), [&](const auto& wanted) {
    return written.find(lower(wanted)) != std::string::npos;
  });
  return static_cast<double>(found) / static_cast<double>(references.size());
}

outcome answer(const model& lm, const tokenizer& text, const prepared& sample,
               const token_ids& prompt, attention_cache& cache) {
  const matrix before = lm.forward(prompt, cache);
  switch (sample.how) {
    case scoring::perplexity:
      return {-log_likelihood(lm, cache, before, sample.answers[0]),
              static_cast<double>(sample.answers[0].size())};
    case scoring::choice:
      return {likeliest(lm, cache, before, sample.answers) == sample.correct ? 1.0 : 0.0, 1};
    case scoring::contains:
      return {share_contained(write_greedily(lm, text, cache, before, sample.new_tokens),
                              sample.references),
              1};
    case scoring::exact:
      break;
  }
  bool all_best = true;
  follow(lm, cache, before, sample.answers[0],
         [&](const prediction& p) { all_best = all_best && p.best; });
  return {all_best ? 1.0 : 0.0, 1};
}

}  // namespace rota_lm::eval

// What a run finds out, row by row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "evaluate/method.hpp"
#include "evaluate/options.hpp"
#include "evaluate/statistics.hpp"
#include "evaluate/task.hpp"

namespace rota_lm::eval {

inline constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// Sums over all samples that a row compressed.
struct byte_sums {
  double packed = 0;       ///< measured, without tails
  double dense = 0;        ///< the dense store's, of the same tokens
  double worst_ratio = 0;  ///< of a single sample
  double tokens = 0;       ///< kept, over layers and kv heads
  double all_tokens = 0;
  double groups = 0;      ///< kept inside the survivors
  double all_groups = 0;  ///< of the survivors
  double read = 0;        ///< of a step: `packed`, or less where a step reads a part

  byte_sums& operator+=(const byte_sums& more);
  double ratio() const { return dense > 0 ? packed / dense : unknown; }
  double tokens_kept() const { return all_tokens > 0 ? tokens / all_tokens : unknown; }
  double read_ratio() const { return dense > 0 ? read / dense : unknown; }
  double rho() const { return all_groups > 0 ? groups / all_groups : unknown; }
};

struct row_result {
  row_spec spec;
  std::string failure;  ///< why there are no numbers; empty where there are
  std::map<std::string, std::vector<outcome>> outcomes;  ///< of each task, by number of the sample
  byte_sums bytes;
  double decode_ms = unknown;          ///< per token
  double attend_time_ratio = unknown;  ///< over dense
};

// What a row keeps and reads, as shares of dense; the references' are 1 and 0.
double tokens_kept(const row_result& r);
double groups_kept(const row_result& r);
double bytes_ratio(const row_result& r);
double read_bytes_ratio(const row_result& r);

/// How many groups each token of one sample keeps: the paper's diagnostic.
struct retention_map {
  static constexpr int evicted = -1;

  std::string row;  ///< whose it is
  std::size_t layers = 0, heads = 0, tokens = 0;
  int groups = 0;
  std::vector<std::int8_t> kept;  ///< [layers, heads, tokens]: groups, or evicted
  std::size_t window = 0;         ///< protected tokens at the end
  std::size_t question = 0;       ///< of these, tokens of the question
  double depth = 0;               ///< where the asked statement begins, 0..1 of the context

  int at(std::size_t layer, std::size_t head, std::size_t token) const;
};

struct evaluation {
  options how;
  std::vector<task> tasks;
  std::vector<row_result> rows;
  std::vector<retention_map> retention;  ///< one a method that selects groups
  std::size_t dense_bytes_while_packed_decodes = 0;
  std::size_t memory_checks = 0;
  double seconds = 0;

  const row_result* find(row_spec::kind what) const;
};

/// What a task's outcomes come to: a perplexity, or an accuracy.
estimate score_of(const row_result& r, const task& t, std::uint64_t seed);

/// exp of the loss per word, where the words are known. Perplexities of models with different
/// tokenizers compare by word only.
double word_perplexity(const row_result& r, const task& t);

/// The same minus dense's, on the same samples.
estimate difference_to_dense(const evaluation& e, const row_result& r, const task& t);

}  // namespace rota_lm::eval

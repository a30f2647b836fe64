// The results as text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "evaluate/results.hpp"

namespace rota_lm::eval {

/// A number with so many places; "-" when there is none.
std::string fixed(double x, int places);

/// Lines of cells, columns aligned: the first to the left, the others to the right.
class text_table {
 public:
  void add(std::vector<std::string> cells) { lines_.push_back(std::move(cells)); }
  /// A line that is not cut into columns.
  void add_note(std::string text) { lines_.push_back({std::move(text)}); }

  std::string text() const;

 private:
  std::vector<std::vector<std::string>> lines_;
};

/// What a reader must know of a run to read its numbers, in two lines.
std::string protocol_line(const options& o);
std::string selectors_line(const options& o);

/// Whether a row reads less than it keeps.
bool reads_in_part(const evaluation& e);
void add_row(text_table& t, const evaluation& e, const row_result& r);

/// Says which tasks have fewer samples than were asked for; nothing where none has.
std::string fewer_samples(const evaluation& e);

/// One line a row: the same as the JSON.
std::string results_table(const evaluation& e);

/// 0.935 as "93.5 [89.2, 96.2]" percent, or a perplexity as it is.
std::string with_interval(const estimate& x, bool percent, bool sign);

/// 95% intervals of dense and of what the other rows lose, on the same samples.
std::string difference_table(const evaluation& e);

}  // namespace rota_lm::eval

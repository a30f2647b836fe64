#include "evaluate/table.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <optional>

namespace rota_lm::eval {

std::string fixed(double x, int places) {
  if (!std::isfinite(x)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", places, x);
  return text;
}

std::string text_table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& line : lines_) {
    if (line.size() < 2) continue;
    widths.resize(std::max(widths.size(), line.size()));
    for (std::size_t i = 0; i < line.size(); ++i) {
      widths[i] = std::max(widths[i], line[i].size());
    }
  }
  std::string out;
  for (const auto& line : lines_) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string pad(line.size() < 2 ? 0 : widths[i] - line[i].size(), ' ');
      if (i > 0) out += "  ";
      out += i == 0 ? line[i] + pad : pad + line[i];
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  }
  return out;
}

std::string protocol_line(const options& o) {
  return "question " + name_of(protocol_names, o.when) + " while compressing, context " +
         std::to_string(o.context) + " tokens, " + std::to_string(o.samples) +
         " samples a cell, seed " + std::to_string(o.seed);
}

std::string selectors_line(const options& o) {
  return "tokens by " + describe(std::optional(o.tokens)) + "; groups by " +
         describe(std::optional(o.groups)) +
         " (every token kept: " + describe(std::optional(o.every_token_groups)) + "); fill " +
         name_of(fill_names, o.stand_in);
}

bool reads_in_part(const evaluation& e) {
  return std::any_of(e.rows.begin(), e.rows.end(),
                     [](const row_result& r) { return r.spec.reading(); });
}

void add_row(text_table& t, const evaluation& e, const row_result& r) {
  const options& o = e.how;
  if (!r.failure.empty()) {
    t.add_note(r.spec.title() + ": " + r.failure);
    return;
  }
  std::vector<std::string> cells{r.spec.how.name, fixed(tokens_kept(r), 3),
                                 fixed(groups_kept(r), 3), fixed(r.spec.kv_budget, 4),
                                 fixed(bytes_ratio(r), 4)};
  if (reads_in_part(e)) cells.push_back(fixed(read_bytes_ratio(r), 4));
  for (const task& asked : e.tasks) {
    cells.push_back(fixed(score_of(r, asked, o.seed).value, 3));
    if (!asked.words.empty()) cells.push_back(fixed(word_perplexity(r, asked), 3));
  }
  cells.push_back(std::to_string(o.samples));
  cells.push_back(fixed(r.decode_ms, 3));
  cells.push_back(fixed(r.attend_time_ratio, 3));
  t.add(std::move(cells));
}

std::string fewer_samples(const evaluation& e) {
  std::string out;
  for (const task& t : e.tasks) {
    if (t.samples < e.how.samples) {
      out += (out.empty() ? "all there are: " : ", ") + t.name + " " + std::to_string(t.samples);
    }
  }
  return out.empty() ? out : out + " samples\n";
}

std::string results_table(const evaluation& e) {
  text_table t;
  std::vector<std::string> head{"method", "tokens_kept", "rho", "kv_budget", "kv_bytes_ratio"};
  if (reads_in_part(e)) head.push_back("read_bytes_ratio");
  for (const task& asked : e.tasks) {
    head.push_back(asked.name);
    if (!asked.words.empty()) head.push_back("per word");
  }
  for (const char* name : {"n", "decode_ms_per_token", "attend_time_ratio"}) head.push_back(name);
  t.add(head);
  for (const row_result& r : e.rows) add_row(t, e, r);
  return protocol_line(e.how) + "\n" + selectors_line(e.how) + "\n" + fewer_samples(e) + "\n" +
         t.text();
}

std::string with_interval(const estimate& x, bool percent, bool sign) {
  if (!x.known()) return "-";
  const double scale = percent ? 100 : 1;
  const int places = percent ? 1 : 2;
  const std::string plus = sign && x.value >= 0 ? "+" : "";
  return plus + fixed(x.value * scale, places) + " [" + fixed(x.range.low * scale, places) + ", " +
         fixed(x.range.high * scale, places) + "]";
}

std::string difference_table(const evaluation& e) {
  text_table t;
  std::vector<std::string> head{"row"};
  for (const task& asked : e.tasks) {
    head.push_back(asked.name + (asked.is_perplexity() ? "" : " %"));
  }
  t.add(head);
  for (const row_result& r : e.rows) {
    if (!r.failure.empty()) continue;
    std::vector<std::string> cells{r.spec.title()};
    for (const task& asked : e.tasks) {
      const bool is_dense = r.spec.what == row_spec::kind::dense;
      const estimate x =
          is_dense ? score_of(r, asked, e.how.seed) : difference_to_dense(e, r, asked);
      cells.push_back(with_interval(x, !asked.is_perplexity(), !is_dense));
    }
    t.add(std::move(cells));
  }
  return "difference to dense on the same samples (dense: its own), 95% intervals\n" + t.text();
}

}  // namespace rota_lm::eval
